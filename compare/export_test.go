package compare

import (
	"bytes"
	"context"
	"io"

	"github.com/standpipe/standpipe/archive"
)

// ForceSpill makes every run of c count on disk.
func ForceSpill(c *Config) { c.spillAlways = true }

// LineAt reads the line at a place of a folder, the slow way.
func LineAt(dir string, p Place) string {
	store, err := archive.Open(context.Background(), dir)
	if err != nil {
		return err.Error()
	}
	raw, _, err := store.Open(context.Background(), p.Key)
	if err != nil {
		return err.Error()
	}
	defer raw.Close()
	plain, _, err := archive.Decode(raw, p.Key)
	if err != nil {
		return err.Error()
	}
	defer plain.Close()
	all, err := io.ReadAll(plain)
	if err != nil {
		return err.Error()
	}
	line := bytes.Split(all, []byte("\n"))[p.Line-1]
	if !bytes.HasPrefix(all[p.Offset:], line) {
		return "line and offset disagree"
	}
	return string(line)
}
