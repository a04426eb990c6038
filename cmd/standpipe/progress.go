package main

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/standpipe/standpipe/cmd/standpipe/internal/produce"
)

const (
	barInterval  = 100 * time.Millisecond
	lineInterval = 5 * time.Second
	// rejectionsShown is how many rejections get a line of their own.
	rejectionsShown = 20
)

// A goal is what a progress bar runs towards: records, or bytes of input; a
// negative max is unknown.
type goal struct {
	max   int64
	bytes bool
}

// progress shows on standard error how produce gets on: a bar on a terminal,
// else a line now and then. Rejections and waits are shown in both.
type progress struct {
	out  *console
	goal goal
	on   bool

	mu       sync.Mutex
	bar      *progressbar.ProgressBar // nil without a terminal
	shown    int64                    // rejections
	lastWait time.Time
}

func newProgress(out *console, quiet bool, g goal) *progress {
	p := &progress{out: out, goal: g, on: !quiet}
	if p.on && out.stderrTTY {
		p.bar = progressbar.NewOptions64(g.max,
			progressbar.OptionSetWriter(out.stderr),
			progressbar.OptionShowBytes(g.bytes),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(30),
			progressbar.OptionEnableColorCodes(false),
			progressbar.OptionSetPredictTime(g.max > 0),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

// follow shows what summary says until the function returned is called, which
// waits for the last word.
func (p *progress) follow(summary func() produce.Summary, input *produce.Input) (stop func()) {
	if !p.on {
		return func() {}
	}
	interval := lineInterval
	if p.bar != nil {
		interval = barInterval
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.show(summary(), input)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bar != nil {
			_ = p.bar.Finish()
			_ = p.bar.Clear()
		}
	}
}

func (p *progress) show(s produce.Summary, input *produce.Input) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		s.Unsent = 0 // on its way, not left over
		p.out.note("%s", summaryText(s))
		return
	}
	at := s.Records + s.Rejected
	if p.goal.bytes && input != nil {
		at = input.Read()
	}
	if p.goal.max > 0 {
		at = min(at, p.goal.max)
	}
	_ = p.bar.Set64(at)
}

// rejected shows the first rejections; the summary counts the rest.
func (p *progress) rejected(r produce.Rejection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown++
	if p.shown > rejectionsShown {
		return
	}
	p.clear()
	p.out.note("rejected %v", &r)
}

// waiting says why nothing moves, at most every few seconds.
func (p *progress) waiting(cause error, _ time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on || time.Since(p.lastWait) < lineInterval {
		return
	}
	p.lastWait = time.Now()
	p.clear()
	p.out.note("trying again: %v", cause)
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// hidden says how many rejections got no line.
func (p *progress) hidden(out *console) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown > rejectionsShown {
		out.note("… and %s more rejected", formatCount(p.shown-rejectionsShown))
	}
}
