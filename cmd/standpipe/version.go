package main

import (
	"fmt"
	"runtime/debug"

	"github.com/standpipe/standpipe/status"
)

// Set at link time where the toolchain can't know: -X main.version=v0.3.1.
var version, commit, date string

type versionCommand struct {
	JSON bool `help:"Write JSON."`
}

func (versionCommand) Help() string {
	return `Examples:

    standpipe version
    standpipe version --json | jq -r .version`
}

func (v *versionCommand) Run(out *console) error {
	b := build()
	if v.JSON {
		return out.writeJSON(b)
	}
	_, err := fmt.Fprintln(out.stdout, describe(b))
	return err
}

// build is what the toolchain stamped, overridden by what the linker was told.
func build() status.Build {
	info, _ := debug.ReadBuildInfo()
	return stamp(status.ReadBuild(info), version, commit, date)
}

func stamp(b status.Build, version, commit, date string) status.Build {
	if version != "" {
		b.Version = version
	}
	if commit != "" {
		b.Commit, b.Modified = commit, false
	}
	if date != "" {
		b.Date = date
	}
	return b
}

// describe is a build on one line.
func describe(b status.Build) string {
	s := "standpipe " + b.Version
	if b.Commit != "" {
		s += " commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			s += "+changes"
		}
	}
	if b.Date != "" {
		s += " of " + b.Date
	}
	return s + " " + b.Go + " " + b.Platform
}
