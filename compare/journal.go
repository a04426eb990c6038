package compare

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare/sketch"
)

// errJournal says that the journal cannot be written: the run would not be
// resumable.
var errJournal = errors.New("write the journal")

// ErrResume says that a journal does not fit the run that wants to resume it.
var ErrResume = errors.New("cannot resume")

// A journal is a file with one line of JSON, journalHead, and a sketch: all that
// was read so far, at a moment between objects. It is replaced whole.
type journalHead struct {
	Version  int             `json:"version"`
	Settings settings        `json:"settings"`
	JSON     bool            `json:"jsonRecords"`
	Reads    []journalObject `json:"objects"`
}

const journalVersion = 1

type journalObject struct {
	Side  Side          `json:"side"`
	Key   string        `json:"key"`
	ETag  string        `json:"etag"`
	Lines int64         `json:"lines"`
	Plain int64         `json:"plain"`
	Codec archive.Codec `json:"codec"`
	Hi    uint64        `json:"hi"`
	Lo    uint64        `json:"lo"`
	// Error is why it could not be read whole. The lines before the fault are in
	// the sketch; an object that could not be opened at all is left out, and so
	// is read again.
	Error string `json:"error,omitempty"`
}

func writeJournal(c *Config, inv *inventory, records bool, t *tally) error {
	head := journalHead{Version: journalVersion, Settings: c.settings(), JSON: records}
	for i, r := range t.reads {
		if r == nil || r.err != nil && r.plain == 0 {
			continue
		}
		j := journalObject{
			Side: inv.objects[i].side, Key: inv.objects[i].Key, ETag: inv.objects[i].ETag,
			Lines: r.lines, Plain: r.plain, Codec: r.codec, Hi: r.digest.hi, Lo: r.digest.lo,
		}
		if r.err != nil {
			j.Error = r.err.Error()
		}
		head.Reads = append(head.Reads, j)
	}
	return replace(c.Journal, func(w io.Writer) error {
		if err := json.NewEncoder(w).Encode(head); err != nil {
			return err
		}
		_, err := t.sketch.WriteTo(w)
		return err
	})
}

// replace writes a file beside the one there was and renames it.
func replace(path string, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w %s: %w", errJournal, path, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when it was renamed
	w := bufio.NewWriter(f)
	if err := errors.Join(write(w), w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// resume fills the tally with what the journal has.
func resume(c *Config, inv *inventory, t *tally) (records bool, err error) {
	f, err := os.Open(c.Journal)
	if errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("%w: there is no journal %s: leave --resume out, or give the flags and archives of the run that was interrupted", ErrResume, c.Journal)
	}
	if err != nil {
		return false, fmt.Errorf("open the journal: %w", err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return false, fmt.Errorf("%w: journal %s is cut short", ErrResume, c.Journal)
	}
	var head journalHead
	if err := json.Unmarshal(line, &head); err != nil || head.Version != journalVersion {
		return false, fmt.Errorf("%w: %s is no journal of this version", ErrResume, c.Journal)
	}
	if head.Settings != c.settings() {
		return false, fmt.Errorf("%w: journal %s is of another comparison: other archives, window or flags", ErrResume, c.Journal)
	}
	if t.sketch, err = sketch.Read(r); err != nil {
		return false, fmt.Errorf("%w: journal %s: %w", ErrResume, c.Journal, err)
	}
	return head.JSON, head.restore(inv, t)
}

// restore counts the journal's objects again. An object that is another one
// now, or gone, is in the sketch and cannot be taken out of it.
func (h journalHead) restore(inv *inventory, t *tally) error {
	type name struct {
		side Side
		key  string
	}
	index := make(map[name]int, len(inv.objects))
	for i, o := range inv.objects {
		index[name{o.side, o.Key}] = i
	}
	for _, j := range h.Reads {
		i, listed := index[name{j.Side, j.Key}]
		switch {
		case !listed:
			return fmt.Errorf("%w: %s of side %s is gone since the journal was written: start again without --resume", ErrResume, j.Key, j.Side)
		case inv.objects[i].ETag != j.ETag:
			return fmt.Errorf("%w: %s of side %s changed since the journal was written: start again without --resume", ErrResume, j.Key, j.Side)
		}
		r := read{index: i, lines: j.Lines, plain: j.Plain, codec: j.Codec, digest: digest{j.Hi, j.Lo}}
		if j.Error != "" {
			r.err = errors.New(j.Error)
		}
		t.count(inv.objects[i], r)
	}
	return nil
}
