package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is a child in a process group of its own, so that whatever it
// started ends with it. Its output is kept and printed when the test failed.
type Process struct {
	name string
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed after the process was waited for
	exit int           // written before done is closed
}

// Start starts the command and arranges for its end with the test's. A Stdout
// that the command has is its own; everything else is the process's output.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, cmd: cmd, done: make(chan struct{})}
	var all io.Writer = &p.out
	if dir := os.Getenv("STANDPIPE_E2E_LOGS"); dir != "" {
		all = io.MultiWriter(&p.out, keep(t, dir, name))
	}
	if cmd.Stderr = all; cmd.Stdout == nil {
		cmd.Stdout = all
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Wait returns this long after the exit even if a grandchild holds the pipes.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go p.wait()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %s, pid %d, exit code %d:\n%s", name, cmd.Process.Pid, p.exit, p.Output())
		}
	})
	return p
}

// keep is a file for everything that a process prints.
func keep(t testing.TB, dir, name string) *os.File {
	t.Helper()
	file, err := os.CreateTemp(dir, time.Now().UTC().Format("150405.000")+" "+name+" *.log")
	if err != nil {
		t.Fatalf("keep the output of %s: %v", name, err)
	}
	t.Cleanup(func() { _ = file.Close() }) // after the process ended: its cleanup was added later
	return file
}

func (p *Process) wait() {
	defer close(p.done)
	err := p.cmd.Wait()
	p.exit = p.cmd.ProcessState.ExitCode()
	if ee, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		fmt.Fprintf(&p.out, "\nharness: wait for the process: %v\n", err)
	} else if ok && ee.ExitCode() < 0 {
		fmt.Fprintf(&p.out, "\nharness: %v\n", ee)
	}
}

// Output is what the process has written so far, its first 64 KiB and its
// last 64 KiB.
func (p *Process) Output() string { return p.out.String() }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is valid once Done is closed; -1 after a signal.
func (p *Process) ExitCode() int { return p.exit }

// Kill ends the process and everything it started with SIGKILL, and waits.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Crash is kill -9 of the process alone, as the kernel or an operator would do
// it, and waits for its end. What the process had started has to notice.
func (p *Process) Crash() {
	// The process may have ended by itself in this moment.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause stops the process where it stands, as SIGSTOP, a frozen virtual
// machine or a long swap does: it does not notice. Resume lets it go on.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume continues what Pause stopped.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// SignalGroup sends a signal to the process and everything it started, as a
// terminal or a service manager does.
func (p *Process) SignalGroup(sig syscall.Signal) { p.signal(sig) }

// Children are the ids of the processes it has started that still run; none where
// that cannot be known.
func (p *Process) Children() (pids []int) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil {
		return nil
	}
	for _, file := range files {
		list, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		for field := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Peak is the most memory a living process has had resident, in bytes; 0 where
// that cannot be known.
func (p *Process) Peak() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var kilobytes int64
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return 0
}

// Terminate sends SIGTERM and returns the exit code, or an error if the
// process is still there after the limit. The time it took is returned too.
func (p *Process) Terminate(limit time.Duration) (int, time.Duration, error) {
	start := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, 0, fmt.Errorf("send SIGTERM to %s: %w", p.name, err)
	}
	code, err := p.Wait(limit)
	return code, time.Since(start), err
}

// Wait returns the exit code, or an error if the process is still there after
// the limit.
func (p *Process) Wait(limit time.Duration) (int, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.exit, nil
	case <-timer.C:
		return 0, fmt.Errorf("%s still runs after %v", p.name, limit)
	}
}

// Until polls cond every 20 ms until it says nil. It gives up when ctx ends or
// the process does, with cond's last answer.
func (p *Process) Until(ctx context.Context, what string, cond func() error) error {
	return poll(ctx, 20*time.Millisecond, p.done, fmt.Sprintf("%s: %s", p.name, what), cond)
}

// WaitLine waits until a line of the output contains the text, and returns it.
func (p *Process) WaitLine(ctx context.Context, text string) (string, error) {
	var found string
	err := p.Until(ctx, fmt.Sprintf("a line with %q", text), func() error {
		for line := range strings.Lines(p.Output()) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				found = strings.TrimSpace(line)
				return nil
			}
		}
		return errors.New("not printed yet")
	})
	return found, err
}

// signal reaches the whole group. The group is gone only when its last member
// is, so an error is of no interest.
func (p *Process) signal(sig syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, sig)
}

// Poll calls cond every 20 ms until it says nil or ctx ends, and then returns
// cond's last answer with what was waited for.
func Poll(ctx context.Context, what string, cond func() error) error {
	return poll(ctx, 20*time.Millisecond, nil, what, cond)
}

func poll(ctx context.Context, every time.Duration, gone <-chan struct{}, what string, cond func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		last := cond()
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-gone:
			if last = cond(); last == nil {
				return nil
			}
			return fmt.Errorf("wait for %s: the process ended: %w", what, last)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, context.Cause(ctx), last)
		}
	}
}

// output keeps the head and the tail of what is written to it.
type output struct {
	mu         sync.Mutex
	head, tail bytes.Buffer
}

const outputPart = 64 << 10

var _ io.Writer = (*output)(nil)

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(b)
	if room := outputPart - o.head.Len(); room > 0 {
		k := min(room, len(b))
		o.head.Write(b[:k])
		b = b[k:]
	}
	o.tail.Write(b)
	if extra := o.tail.Len() - outputPart; extra > 0 {
		o.tail.Next(extra)
	}
	return n, nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tail.Len() < outputPart {
		return o.head.String() + o.tail.String()
	}
	return o.head.String() + "\n[…]\n" + o.tail.String()
}
