package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	rounds   int
	kind     string
	shards   int
	pages    int
	pace     int
	buffer   int
	memory   string
	programs string
	binary   string
	limit    int
	check    bool
	verbose  bool
	idle     int
	window   time.Duration
	dynamodb string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the table has their median, least and most")
	flag.StringVar(&o.kind, "kind", "click", "payloads: small (173 B), click (951 B) or large (10 KB)")
	flag.IntVar(&o.shards, "shards", 16, "shards")
	flag.IntVar(&o.pages, "pages", 32, "MiB of payload in each shard")
	flag.IntVar(&o.pace, "pace", 0, "KiB of payload that arrive in each shard each second; 0: all are there from the start")
	flag.IntVar(&o.buffer, "buffer", 16, "MiB of an object before compression (SizeInMBs)")
	flag.StringVar(&o.memory, "memory", "256MiB", "standpipe's MemoryLimit")
	flag.StringVar(&o.programs, "programs", "standpipe:GZIP:1,plain:1", "what to run: standpipe:FORMAT:LEVEL, plain:LEVEL")
	flag.StringVar(&o.binary, "standpipe", "", "standpipe program to measure; empty builds ./cmd/standpipe")
	flag.IntVar(&o.limit, "limit", 2<<20, "bytes a second that plain reads from each shard; standpipe keeps to Kinesis's 2 MiB always; 0: no limit")
	flag.BoolVar(&o.check, "check", false, "keep the objects and count the lines in them; takes memory and time")
	flag.BoolVar(&o.verbose, "v", false, "print each run")
	flag.IntVar(&o.idle, "idle", 0, "measure that many shards without records instead, at most 1000: calls, processor time, memory")
	flag.DurationVar(&o.window, "window", time.Minute, "with -idle, how long")
	flag.StringVar(&o.dynamodb, "dynamodb", "", "with -idle, URL of a DynamoDB (dynalite, DynamoDB Local) for the checkpoints; empty: the embedded store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "standpipe-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := parsePrograms(o.programs)
	if err != nil {
		return err
	}
	targets := map[string]string{"stub": "./test/bench/stub", "plain": "./test/bench/plain"}
	if o.idle > 0 {
		delete(targets, "plain")
	}
	if o.binary == "" {
		targets["standpipe"] = "./cmd/standpipe"
		o.binary = filepath.Join(dir, "standpipe")
	}
	for name, pkg := range targets {
		if err := build(ctx, filepath.Join(dir, name), pkg); err != nil {
			return err
		}
	}
	stub, err := startStub(ctx, dir)
	if err != nil {
		return err
	}
	defer stub.stop()
	if o.idle > 0 {
		return idle(ctx, o, stub, dir, out)
	}

	t := newTable(programs)
	for round := range o.rounds {
		for n := range programs {
			// Each round begins with another program.
			p := programs[(n+round)%len(programs)]
			r, err := measure(ctx, o, stub, dir, p)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, p, err)
			}
			t.add(p, r)
			if r.again > 0 || r.reread > 0 {
				fmt.Fprintf(out, "round %d  %s: %d shards read again, %.1f MB sent more than once, which is in its processor time and not in its payload\n%s",
					round+1, p, r.again, float64(r.reread)/1e6, r.warnings)
			}
			if o.verbose {
				fmt.Fprintf(out, "round %d  %-18s %s\n", round+1, p, r)
			}
		}
	}
	fmt.Fprintf(out, "%s payloads, %d shards of %d MiB, pace %d KiB/s (0: at once), objects of %d MiB, %d rounds: median (least-most)\n\n",
		o.kind, o.shards, o.pages, o.pace, o.buffer, o.rounds)
	t.print(out)
	return nil
}

func build(ctx context.Context, program, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s (run this from the root of the source): %w\n%s", pkg, err, out)
	}
	return nil
}

// A program is one line of the table.
type program struct {
	name   string // standpipe or plain
	format string
	level  string
}

func (p program) String() string {
	return strings.TrimSpace(p.name + " " + strings.ToLower(p.format) + "-" + p.level)
}

func parsePrograms(text string) (all []program, err error) {
	for item := range strings.SplitSeq(text, ",") {
		f := strings.Split(item, ":")
		switch {
		case f[0] == "standpipe" && len(f) == 3:
			all = append(all, program{f[0], f[1], f[2]})
		case f[0] == "plain" && len(f) == 2:
			all = append(all, program{f[0], "compress/gzip", f[1]})
		default:
			return nil, fmt.Errorf("%q is neither standpipe:FORMAT:LEVEL nor plain:LEVEL", item)
		}
	}
	return all, nil
}

// runLimit bounds one run: the slowest is paced at 1 MiB/s.
const runLimit = 20 * time.Minute

var errLost = errors.New("what was read is not what was written")

// measure is one run of one program.
func measure(ctx context.Context, o options, stub *stub, dir string, p program) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	if err := stub.reset(ctx, o); err != nil {
		return r, err
	}
	cmd, err := command(o, stub, dir, p)
	if err != nil {
		return r, err
	}
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	err = stub.untilDone(ctx, exited)
	// SIGTERM is how it is stopped in production: what is in hand is delivered.
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	if err == nil {
		select {
		case err = <-exited:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		_ = cmd.Process.Kill()
		return r, fmt.Errorf("%w; its last output:\n%s", err, output.end())
	}
	progress, err := stub.progress(ctx)
	if err != nil {
		return r, err
	}
	warnings := output.lines("reading again", "delivery failed", "reading is held up")
	if err := complete(o, p, progress); err != nil {
		return r, fmt.Errorf("%w\n%s", err, warnings)
	}
	r = newResult(cmd.ProcessState, time.Since(begun), progress)
	r.warnings = warnings
	return r, nil
}

// complete refuses a run that lost or repeated something. Every payload is a
// line.
func complete(o options, p program, got progress) error {
	switch b := got.Bucket; {
	case len(b.Broken) > 0:
		return fmt.Errorf("%w: %s", errLost, b.Broken[0])
	case p.name == "standpipe" && b.Committed != got.Records:
		return fmt.Errorf("%w: manifests have %d lines, %d were served", errLost, b.Committed, got.Records)
	case o.check && b.Lines != got.Records:
		return fmt.Errorf("%w: objects have %d lines, %d were served", errLost, b.Lines, got.Records)
	case b.Bytes == 0:
		return fmt.Errorf("%w: no object was written", errLost)
	}
	return nil
}

// tail keeps the last MiB of what a child prints. Written by one copying
// goroutine, read after it has ended.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - 1<<20; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

// end is the last of it, for people.
func (t *tail) end() string { return string(t.b[max(0, len(t.b)-8<<10):]) }

// lines are the first ten that have the first of the words, then the second, ….
func (t *tail) lines(words ...string) string {
	var found []string
	for _, w := range words {
		for line := range strings.Lines(string(t.b)) {
			if len(found) < 10 && strings.Contains(line, w) {
				found = append(found, line)
			}
		}
	}
	return strings.Join(found, "")
}
