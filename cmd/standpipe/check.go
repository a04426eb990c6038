package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/standpipe/standpipe/config"
)

type checkCommand struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	Strict bool   `help:"Warnings fail too."`
	JSON   bool   `help:"Write problems and warnings as JSON."`
}

func (checkCommand) Help() string {
	return `Reads the file as run does and shows every problem at once, each with its line, its column and
what to write instead. Asks nobody: neither the stream nor the bucket is looked at.

Exit codes: 0 valid, 2 not valid (or, with --strict, warnings).

Examples:

    standpipe check -c standpipe.yaml
    standpipe check -c standpipe.yaml --strict --json`
}

func (k *checkCommand) Run(_ context.Context, out *console) error {
	c, err := validators().Load(k.Config)
	problems, invalid := errors.AsType[config.Problems](err)
	if err != nil && !invalid {
		return usage(err)
	}
	var warnings config.Problems
	if c != nil {
		warnings = c.Warnings
	}
	if k.JSON {
		if err := out.writeJSON(map[string]config.Problems{"problems": notNil(problems), "warnings": notNil(warnings)}); err != nil {
			return err
		}
	} else if err := k.show(problems, warnings, out); err != nil {
		return err
	}
	switch {
	case invalid:
		return usagef("%s has %s", k.Config, plural(len(problems), "problem"))
	case k.Strict && len(warnings) > 0:
		return usagef("%s has %s", k.Config, plural(len(warnings), "warning"))
	}
	return nil
}

func (k *checkCommand) show(problems, warnings config.Problems, out *console) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	if err := problems.Render(out.stderr); err != nil {
		return err
	}
	if len(problems) == 0 {
		if _, err := fmt.Fprintf(out.stdout, "%s is valid\n", k.Config); err != nil {
			return err
		}
	}
	if len(warnings) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(out.stderr, "warnings:"); err != nil {
		return err
	}
	return warnings.Render(out.stderr)
}

func notNil(p config.Problems) config.Problems {
	if p == nil {
		return config.Problems{}
	}
	return p
}
