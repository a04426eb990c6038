package status

import (
	"runtime"
	"runtime/debug"
)

// A Build says which program runs.
type Build struct {
	// Version is a semantic version with its v, or "(devel)".
	Version string `json:"version"`
	// Commit is the full git hash, or empty.
	Commit string `json:"commit,omitempty"`
	// Date is the time of that commit, RFC 3339, or empty.
	Date string `json:"date,omitempty"`
	// Modified says that the tree held changes that no commit has.
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ReadBuild returns what the toolchain stamped into the running binary. info
// may be nil: then only the Go version and the platform are known.
func ReadBuild(info *debug.BuildInfo) Build {
	b := Build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
