// Command compare measures `standpipe compare` as a process: peak memory, and
// lines and bytes per second of one core, beside plain decompression of the
// same bytes by the same library in the same run.
//
//	go build -o bin/standpipe ./cmd/standpipe
//	go run ./test/bench/compare -gib 10
//
// It writes both sides under a temporary folder (-dir), about a sixth of their
// size in gzip, and removes them.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
)

func main() {
	gib := flag.Float64("gib", 1, "size of each side before compression, in GiB")
	object := flag.Int("object", 64, "size of A's objects before compression, in MiB; B's are 40 of them")
	dropped := flag.Int("dropped", 5000, "lines that B lacks; more than the smallest sketch holds")
	program := flag.String("program", "bin/standpipe", "the program to measure")
	dir := flag.String("dir", "", "where to write the archives (default: a temporary folder)")
	flag.Parse()
	if err := measure(os.Stdout, *program, *dir, int64(*gib*(1<<30)), *object<<20, *dropped); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(w io.Writer, program, parent string, size int64, object, dropped int) error {
	dir, err := os.MkdirTemp(parent, "standpipe-bench-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	lines := size / lineBytes
	if err := errors.Join(generate(a, lines, object, 0), generate(b, lines, object*40/64, dropped)); err != nil {
		return err
	}
	plain, cpu, err := decompress(a, b)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%-24s %8.2f GiB plain, %7.1f s of one core, %6.0f MiB/s per core\n", "plain gunzip", gibs(plain), cpu.Seconds(), rate(plain, cpu))
	return compareThem(w, program, dir, plain, cpu, dropped)
}

// lineBytes is about the length of a line.
const lineBytes = 210

// line is line number i: two thirds repeat, a third does not.
func line(buf []byte, i int64) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 20220418))
	return fmt.Appendf(buf, `{"danji_id":"A%010d","name":"Hangang Raemian %d","addr":"Seoul Special City, Mapo-gu","households":%d,"manager":"kim-%d","token":"%016x%016x","note":"maintenance fee of the month, paid in full"}`+"\n",
		i, i%97, r.IntN(5000), r.IntN(100), r.Uint64(), r.Uint64())
}

// generate writes an archive, with objects of so many plain bytes and every
// n-th line left out so that dropped of them are.
func generate(dir string, lines int64, object, dropped int) error {
	var plain []byte
	skip := int64(-1)
	if dropped > 0 {
		skip = lines / int64(dropped)
	}
	n := 0
	flush := func() error {
		if len(plain) == 0 {
			return nil
		}
		path := filepath.Join(dir, fmt.Sprintf("2026/11/21/%02d/bench-1-2026-11-21-%02d-%02d-09-%06d.gz", n%24, n%24, n/24%60, n))
		n++
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, 1)
		if err != nil {
			return err
		}
		_, werr := w.Write(plain)
		err = errors.Join(werr, w.Close(), os.MkdirAll(filepath.Dir(path), 0o755))
		if err == nil {
			err = os.WriteFile(path, z.Bytes(), 0o644)
		}
		plain = plain[:0]
		return err
	}
	for i := range lines {
		if skip > 0 && i%skip == skip/2 && i/skip < int64(dropped) {
			continue
		}
		if plain = line(plain, i); len(plain) >= object {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// decompress reads both sides on one core and throws the bytes away.
func decompress(dirs ...string) (plain int64, cpu time.Duration, err error) {
	before := used()
	buf := make([]byte, 256<<10)
	var z gzip.Reader
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := z.Reset(f); err != nil {
				return err
			}
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{&z}, buf)
			plain += n
			return err
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return plain, used() - before, nil
}

func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compareThem compares a and b in dir, and keeps what it needs there as well.
func compareThem(w io.Writer, program, dir string, plain int64, gunzip time.Duration, dropped int) error {
	a, b, twin := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "twin")
	if err := link(a, twin); err != nil {
		return err
	}
	for _, run := range []struct {
		name    string
		missing int
		args    []string
	}{
		{"compare, equal", 0, []string{a, twin}},
		{"compare, different", dropped, []string{a, b}},
		{"compare, on disk", dropped, []string{"--capacity=1", a, b}},
	} {
		cmd := exec.Command(program, append([]string{"compare", "--json", "--quiet", "--settle=0s", "--jobs", filepath.Join(dir, "jobs"), "--spill-dir", dir}, run.args...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		began := time.Now()
		if err := cmd.Start(); err != nil {
			return err
		}
		peak := watch(cmd.Process.Pid)
		_ = cmd.Wait() // the report says how it ended
		peakBytes := peak()
		took, cpu := time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
		var report struct {
			Verdict string
			Counts  struct{ MissingInA, MissingInB int64 }
			Sides   [2]struct{ PlainBytes, Lines int64 }
			Method  struct{ Spilled bool }
		}
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			return fmt.Errorf("%s: %w", run.name, err)
		}
		bytes := report.Sides[0].PlainBytes + report.Sides[1].PlainBytes
		fmt.Fprintf(w, "%-24s %8.2f GiB plain, %7.1f s of one core, %6.0f MiB/s per core (%.2f of gunzip), %5.1f M lines/s per core, %6.1f s, peak %d MiB; %s, %d missing, on disk %v\n",
			run.name, gibs(bytes), cpu.Seconds(), rate(bytes, cpu), rate(bytes, cpu)/rate(plain, gunzip),
			float64(report.Sides[0].Lines+report.Sides[1].Lines)/cpu.Seconds()/1e6, took.Seconds(), peakBytes>>20, report.Verdict, report.Counts.MissingInB, report.Method.Spilled)
		if want := int64(run.missing); report.Counts.MissingInB != want {
			return fmt.Errorf("%s: %d lines missing, want %d", run.name, report.Counts.MissingInB, want)
		}
	}
	return nil
}

// link makes a second archive of the same objects: one is not compared with itself.
func link(from, to string) error {
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return os.Link(path, filepath.Join(to, rel))
	})
}

// watch follows the most memory a process had resident. Its resource usage
// does not tell: on Linux that begins with what the parent had at the fork.
func watch(pid int) (stop func() int64) {
	quit, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var peak int64
		for {
			peak = max(peak, highWater(pid))
			select {
			case <-tick.C:
			case <-quit:
				most <- peak
				return
			}
		}
	}()
	return func() int64 {
		close(quit)
		return <-most
	}
}

func highWater(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		var kib int64
		if n, _ := fmt.Sscanf(string(line), "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

func gibs(n int64) float64 { return float64(n) / (1 << 30) }

func rate(n int64, d time.Duration) float64 { return float64(n) / (1 << 20) / d.Seconds() }
