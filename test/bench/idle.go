package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// idle measures what one worker costs that has nothing to deliver: calls a
// second to Kinesis and to the table, processor time and memory, over a window
// that begins when every shard was read once.
func idle(ctx context.Context, o options, stub *stub, dir string, out io.Writer) (err error) {
	o.shards, o.pages = o.idle, 0
	if err := stub.reset(ctx, o); err != nil {
		return err
	}
	cmd, err := command(o, stub, dir, program{name: "standpipe", format: "GZIP", level: "1"})
	if err != nil {
		return err
	}
	table := &counted{}
	if o.dynamodb != "" {
		if err := table.start(o.dynamodb); err != nil {
			return err
		}
		defer table.stop()
		cmd.Args = append(cmd.Args, "--create-table")
		cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL_DYNAMODB="+table.url)
	}
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	before, after, err := window(ctx, o, stub, table, cmd, exited)
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	if err == nil {
		err = <-exited
	}
	if err != nil {
		_ = cmd.Process.Kill()
		return fmt.Errorf("%w; its last output:\n%s", err, output.end())
	}
	return printIdle(out, o, before, after)
}

// A sample is what a process has done so far.
type sample struct {
	at      time.Time
	kinesis map[string]int64
	table   map[string]int64
	cpu     time.Duration
	rss     int64 // bytes
}

// window takes a sample when every shard was read, and one at its end.
func window(ctx context.Context, o options, stub *stub, table *counted, cmd *exec.Cmd, exited <-chan error) (before, after sample, err error) {
	if err := stub.untilDone(ctx, exited); err != nil {
		return before, after, err
	}
	if before, err = take(ctx, stub, table, cmd.Process.Pid); err != nil {
		return before, after, err
	}
	timer := time.NewTimer(o.window)
	defer timer.Stop()
	select {
	case <-timer.C:
	case err := <-exited:
		return before, after, fmt.Errorf("it ended by itself: %w", err)
	case <-ctx.Done():
		return before, after, context.Cause(ctx)
	}
	after, err = take(ctx, stub, table, cmd.Process.Pid)
	return before, after, err
}

func take(ctx context.Context, stub *stub, table *counted, pid int) (s sample, err error) {
	p, err := stub.progress(ctx)
	if err != nil {
		return s, err
	}
	s = sample{at: time.Now(), kinesis: p.Calls, table: table.now()}
	s.cpu, s.rss, err = usage(pid)
	return s, err
}

// clockTick is Linux's USER_HZ, which is 100 on every architecture Go runs on.
const clockTick = 10 * time.Millisecond

// usage reads a living process's processor time and resident memory; proc(5).
func usage(pid int) (cpu time.Duration, rss int64, err error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("read the use of a process, which needs Linux: %w", err)
	}
	// The name in parentheses may hold anything; fields count from behind it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime, resident = 11, 12, 21
	if len(fields) <= resident {
		return 0, 0, errors.New("read the use of a process: /proc has fewer fields than proc(5) says")
	}
	number := func(n int) int64 {
		v, parseErr := strconv.ParseInt(string(fields[n]), 10, 64)
		err = errors.Join(err, parseErr)
		return v
	}
	cpu = time.Duration(number(utime)+number(stime)) * clockTick
	return cpu, number(resident) * int64(os.Getpagesize()), err
}

func printIdle(out io.Writer, o options, before, after sample) error {
	took := after.at.Sub(before.at)
	store := "embedded"
	if o.dynamodb != "" {
		store = "DynamoDB"
	}
	fmt.Fprintf(out, "one worker, %d idle shards, %s store, %.0f s after every shard was read once\n\n", o.idle, store, took.Seconds())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rates := func(service string, before, after map[string]int64) {
		for _, operation := range slices.Sorted(maps.Keys(after)) {
			if n := after[operation] - before[operation]; n > 0 {
				fmt.Fprintf(w, "%s\t%s\t%d calls\t%.2f a second\n", service, operation, n, float64(n)/took.Seconds())
			}
		}
	}
	rates("Kinesis", before.kinesis, after.kinesis)
	rates("table", before.table, after.table)
	cpu := after.cpu - before.cpu
	fmt.Fprintf(w, "processor\t\t%.1f s\t%.1f %% of a core\n", cpu.Seconds(), 100*cpu.Seconds()/took.Seconds())
	fmt.Fprintf(w, "memory\t\t%.0f MB resident\t%.0f KB a shard\n", float64(after.rss)/1e6, float64(after.rss)/1e3/float64(o.idle))
	return w.Flush()
}

// counted is a proxy before DynamoDB that counts calls. The zero value has
// counted none.
type counted struct {
	url    string
	server *http.Server

	mu    sync.Mutex
	calls map[string]int64
}

func (c *counted) start(endpoint string) error {
	target, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("-dynamodb: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.url, c.calls = "http://"+listener.Addr().String(), map[string]int64{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the signature covers it
	}}
	c.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get("X-Amz-Target")
		c.mu.Lock()
		c.calls[name[strings.LastIndexByte(name, '.')+1:]]++
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = c.server.Serve(listener) }() // ends with stop
	return nil
}

func (c *counted) stop() { _ = c.server.Close() }

func (c *counted) now() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}
