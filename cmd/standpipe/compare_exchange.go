package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/standpipe/standpipe/compare"
	"github.com/standpipe/standpipe/compare/page"
	"github.com/standpipe/standpipe/compare/sketch"
)

type compareSketch struct {
	compareReading

	Output string `short:"o" required:"" placeholder:"FILE" help:"Where to write the sketch."`
	Place  string `arg:"" help:"The archive: s3://bucket/prefix/ or a folder."`
}

func (compareSketch) Help() string {
	return `A sketch holds hashes, no lines: some megabytes, whatever the archive's size. Make both with the same
flags, --records lines or json rather than auto, and hold them against one another with compare diff.

Examples:

    standpipe compare sketch s3://lake/raw/ -o a.sketch --records json --from 2026-11-21T00:00:00Z --to 2026-11-22T00:00:00Z`
}

func (c *compareSketch) Run(ctx context.Context, g *globals, out *console) (err error) {
	defer func() { err = undecided(err) }()
	cfg, err := c.config(time.Now())
	if err != nil {
		return err
	}
	if err := openArchives(ctx, g, &cfg, c.Place); err != nil {
		return err
	}
	bar := newCompareProgress(out, c.Quiet)
	cfg.Progress = bar.show
	var (
		side     compare.SideReport
		problems []compare.Problem
	)
	err = writeFile(c.Output, func(w io.Writer) (err error) {
		side, problems, err = compare.Sketch(ctx, cfg, w)
		return err
	})
	bar.end()
	if errors.Is(err, compare.ErrSettings) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %s lines in %s objects\n", c.Output, formatCount(side.Lines), formatCount(side.Objects))
	return incomplete(out, problems)
}

// incomplete names what could not be read and is nil when that is nothing.
func incomplete(out *console, problems []compare.Problem) error {
	for _, p := range problems {
		out.note("standpipe: %s %s: %s", p.Kind, p.Key, p.Error)
	}
	if len(problems) == 0 {
		return nil
	}
	return &exitError{code: exitIncomplete, err: fmt.Errorf("%d problems: it is not complete", len(problems))}
}

type compareDiff struct {
	Show int    `default:"1000" placeholder:"N" help:"How many differing lines are listed; all are counted."`
	JSON bool   `help:"Print the report as JSON: the hashes compare find takes."`
	HTML string `placeholder:"FILE" help:"Also write the report as one HTML file."`
	A    string `arg:"" help:"The sketch of the archive that is to take over."`
	B    string `arg:"" help:"The sketch it is held against."`
}

func (compareDiff) Help() string {
	return `Examples:

    standpipe compare diff a.sketch b.sketch
    standpipe compare diff a.sketch b.sketch --json > diff.json`
}

func (c *compareDiff) Run(out *console) (err error) {
	defer func() { err = undecided(err) }()
	if filepath.Clean(c.A) == filepath.Clean(c.B) {
		return usagef("A and B are both %s: a sketch is equal to itself", c.A)
	}
	a, err := readExchange(c.A)
	if err != nil {
		return err
	}
	b, err := readExchange(c.B)
	if err != nil {
		return err
	}
	report, err := compare.Diff(a, b, compare.Config{Shown: max(c.Show, 0), Legal: [2]bool{false, true}, Now: time.Now()})
	if err != nil {
		return usage(err)
	}
	if c.HTML != "" {
		if err := writeFile(c.HTML, func(w io.Writer) error { return page.HTML(w, report) }); err != nil {
			return err
		}
	}
	if c.JSON {
		err = out.writeJSON(report)
	} else {
		err = page.Text(out.stdout, report)
	}
	if err != nil {
		return err
	}
	return verdict(report)
}

func readExchange(name string) (*compare.Exchange, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usage(err)
	}
	defer f.Close()
	e, err := compare.ReadExchange(f)
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return e, nil
}

type compareFind struct {
	compareReading

	Place  string `arg:"" help:"The archive: s3://bucket/prefix/ or a folder."`
	Hashes string `arg:"" help:"A file with a report of compare diff --json, or one hash a line."`
}

func (compareFind) Help() string {
	return `Prints one JSON object per hash: how often the archive has the line, where, and its beginning.
Use the flags the sketch was made with.

Examples:

    standpipe compare find s3://lake/raw/ diff.json --records json`
}

func (c *compareFind) Run(ctx context.Context, g *globals, out *console) (err error) {
	defer func() { err = undecided(err) }()
	cfg, err := c.config(time.Now())
	if err != nil {
		return err
	}
	hashes, err := readHashes(c.Hashes)
	if err != nil {
		return usage(err)
	}
	if err := openArchives(ctx, g, &cfg, c.Place); err != nil {
		return err
	}
	bar := newCompareProgress(out, c.Quiet)
	cfg.Progress = bar.show
	found, problems, err := compare.Find(ctx, cfg, hashes)
	bar.end()
	if errors.Is(err, compare.ErrSettings) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	e := json.NewEncoder(out.stdout)
	e.SetEscapeHTML(false)
	for _, f := range found {
		row := struct {
			Hash   string          `json:"hash"`
			Copies int64           `json:"copies"`
			Core   int64           `json:"core"`
			Places []compare.Place `json:"places"`
			Text   string          `json:"text"`
		}{f.Hash, f.A, f.Copies, f.PlacesA, f.Text}
		if err := e.Encode(row); err != nil {
			return fmt.Errorf("write the output: %w", err)
		}
	}
	return incomplete(out, problems)
}

// readHashes reads a report or a list.
func readHashes(name string) ([]sketch.Hash, error) {
	body, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var report compare.Report
	var words []string
	if err := json.Unmarshal(body, &report); err == nil {
		for _, d := range report.Differences {
			words = append(words, d.Hash)
		}
	} else {
		for s := bufio.NewScanner(strings.NewReader(string(body))); s.Scan(); {
			if line := strings.TrimSpace(s.Text()); line != "" {
				words = append(words, line)
			}
		}
	}
	var hashes []sketch.Hash
	for _, w := range words {
		h, err := sketch.ParseHash(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}
