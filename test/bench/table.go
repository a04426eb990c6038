package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// A result is one run. Sizes are bytes of payload before base64.
type result struct {
	cpu      time.Duration // user and system, of the whole process
	wall     time.Duration
	rss      int64 // most resident memory, bytes
	payload  int64
	written  int64
	objects  int64
	requests int64
	repeated int64  // publications asked for twice
	again    int64  // shards read again from a checkpoint
	reread   int64  // payload sent more than once, not in payload
	warnings string // what its log says of that
}

func newResult(state *os.ProcessState, wall time.Duration, p progress) result {
	r := result{
		cpu: state.UserTime() + state.SystemTime(), wall: wall,
		payload: p.Payload, written: p.Bucket.Bytes, objects: p.Bucket.Objects, requests: p.Bucket.Requests, repeated: p.Bucket.Repeated,
		again: p.Again.Shards, reread: p.Again.Payload,
	}
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		r.rss = int64(u.Maxrss) << 10 // KiB on Linux
	}
	return r
}

func (r result) perGB() float64   { return r.cpu.Seconds() / (float64(r.payload) / 1e9) }
func (r result) perCore() float64 { return float64(r.payload) / 1e6 / r.cpu.Seconds() }
func (r result) megaRSS() float64 { return float64(r.rss) / 1e6 }
func (r result) ratio() float64   { return float64(r.payload) / float64(r.written) }

func (r result) String() string {
	return fmt.Sprintf("%.2f CPU-s/GB  %.0f MB/s per core  RSS %.0f MB  ratio %.2f  %d MB in %.1f s  %d objects  %d S3 requests, %d repeated",
		r.perGB(), r.perCore(), r.megaRSS(), r.ratio(), r.payload/1e6, r.wall.Seconds(), r.objects, r.requests, r.repeated)
}

// A table gathers the runs of each program.
type table struct {
	programs []program
	results  map[program][]result
}

func newTable(programs []program) *table {
	return &table{programs: programs, results: map[program][]result{}}
}

func (t *table) add(p program, r result) { t.results[p] = append(t.results[p], r) }

// print ends with how much more each program takes than the first one, as the
// median of the rounds' own quotients: what disturbed a round disturbed both.
func (t *table) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "program\tCPU-s/GB\tMB/s per core\tpeak RSS MB\tratio\tagainst %s\n", t.programs[0])
	first := t.results[t.programs[0]]
	for _, p := range t.programs {
		all := t.results[p]
		against := make([]float64, len(all))
		for n, r := range all {
			against[n] = r.perGB() / first[n].perGB()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p, spread(all, result.perGB, "%.2f"), spread(all, result.perCore, "%.0f"),
			spread(all, result.megaRSS, "%.0f"), spread(all, result.ratio, "%.2f"), figures(against, "%.2f"))
	}
	w.Flush()
}

func spread(all []result, figure func(result) float64, format string) string {
	v := make([]float64, len(all))
	for n, r := range all {
		v[n] = figure(r)
	}
	return figures(v, format)
}

// figures is "median (least-most)".
func figures(v []float64, format string) string {
	if len(v) == 0 {
		return "-"
	}
	v = slices.Sorted(slices.Values(v))
	median := (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	return fmt.Sprintf(format+" ("+format+"-"+format+")", median, v[0], v[len(v)-1])
}
