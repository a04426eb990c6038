package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestTerminateReturnsTheExitCodeTheProcessChose(t *testing.T) {
	p := startChild(t, "polite")
	if _, err := p.WaitLine(within(t), "ready"); err != nil {
		t.Fatal(err)
	}
	code, _, err := p.Terminate(30 * time.Second)
	if err != nil || code != 3 {
		t.Fatalf("exit code %d, %v, want 3", code, err)
	}
}

func TestTerminateReportsAProcessThatStays(t *testing.T) {
	p := startChild(t, "stubborn")
	if _, err := p.WaitLine(within(t), "ready"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Terminate(50 * time.Millisecond); err == nil {
		t.Fatal("a process that ignores SIGTERM was reported as ended")
	}
	p.Crash()
	if p.ExitCode() != -1 {
		t.Fatalf("exit code %d after kill -9, want -1", p.ExitCode())
	}
}

func TestKillEndsTheGrandchildrenToo(t *testing.T) {
	p := startChild(t, "parent")
	line, err := p.WaitLine(within(t), "grandchild ")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(line, "grandchild %d", &pid); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	// The orphan stays a zombie until init collects it; a zombie holds nothing.
	err = Poll(within(t), "the grandchild's end", func() error {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
			return nil
		}
		return errors.New("it is alive")
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWaitingForALineEndsWithTheProcess(t *testing.T) {
	p := startChild(t, "dying")
	_, err := p.WaitLine(within(t), "ready")
	if err == nil || !strings.Contains(err.Error(), "the process ended") {
		t.Fatalf("got %v, want the news that the process ended", err)
	}
	if p.ExitCode() != 7 || !strings.Contains(p.Output(), "cannot go on") {
		t.Fatalf("exit code %d, output %q", p.ExitCode(), p.Output())
	}
}

func TestOutputKeepsHeadAndTail(t *testing.T) {
	var o output
	fmt.Fprint(&o, "head")
	fmt.Fprint(&o, strings.Repeat("x", 3*outputPart))
	fmt.Fprint(&o, "tail")
	s := o.String()
	if !strings.HasPrefix(s, "head") || !strings.HasSuffix(s, "tail") || len(s) > 2*outputPart+100 {
		t.Fatalf("%d bytes, from %q to %q", len(s), s[:10], s[len(s)-10:])
	}
}

func TestKillAtKillsAtEveryMomentAndStartsAgain(t *testing.T) {
	t.Setenv("STANDPIPE_E2E_SEED", "7")
	starts, looks := 0, 0
	moments := Moments(t, 5, 50*time.Millisecond)
	if err := KillAt(t, nil, moments, func() *Process { starts++; return startChild(t, "stubborn") }, func(n int) error { looks = n; return nil }); err != nil {
		t.Fatal(err)
	}
	if starts != 5 || looks != 5 {
		t.Fatalf("started %d times and looked %d times, want 5", starts, looks)
	}
	if err := KillAt(t, nil, []Moment{{Wait: time.Minute}}, func() *Process { return startChild(t, "dying") }, func(int) error { return nil }); err == nil {
		t.Fatal("a process that died by itself went unnoticed")
	}
}

func TestTheSameSeedGivesTheSameMoments(t *testing.T) {
	t.Setenv("STANDPIPE_E2E_SEED", "42")
	a, b := Moments(t, 30, time.Second), Moments(t, 30, time.Second)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("moment %d is %v, then %v", i, a[i], b[i])
		}
	}
}

func TestAPausedProcessStandsStillAndGoesOnWhenItIsResumed(t *testing.T) {
	p := startChild(t, "polite")
	if _, err := p.WaitLine(within(t), "ready"); err != nil {
		t.Fatal(err)
	}
	p.Pause()
	// A stopped process takes no SIGTERM; it is kept for later.
	if _, _, err := p.Terminate(50 * time.Millisecond); err == nil {
		t.Fatal("a stopped process ended")
	}
	p.Resume()
	if code, err := p.Wait(30 * time.Second); err != nil || code != 3 {
		t.Fatalf("exit code %d, %v, want 3", code, err)
	}
}
