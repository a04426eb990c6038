package main

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/standpipe/standpipe/compare"
)

// compareProgress shows on standard error how a comparison gets on: a bar per
// phase on a terminal, else a line now and then. Safe for concurrent use.
type compareProgress struct {
	out *console
	on  bool

	mu    sync.Mutex
	phase string
	bar   *progressbar.ProgressBar
	last  time.Time
}

func newCompareProgress(out *console, quiet bool) *compareProgress {
	return &compareProgress{out: out, on: !quiet, last: time.Now()}
}

func (p *compareProgress) show(at compare.Progress) {
	if !p.on {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.out.stderrTTY {
		if time.Since(p.last) >= lineInterval {
			p.last = time.Now()
			p.out.note("%s: %s objects, %s of %s, %s lines", at.Phase, formatCount(at.Objects), formatBytes(at.Bytes), formatBytes(at.Total), formatCount(at.Lines))
		}
		return
	}
	if at.Phase != p.phase {
		p.clear()
		p.phase = at.Phase
		total := at.Total
		if total == 0 {
			total = -1
		}
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.out.stderr),
			progressbar.OptionSetDescription(at.Phase),
			progressbar.OptionShowBytes(true),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionSetWidth(30),
			progressbar.OptionEnableColorCodes(false),
			progressbar.OptionThrottle(barInterval),
			progressbar.OptionSetPredictTime(total > 0),
			progressbar.OptionClearOnFinish(),
		)
	}
	if at.Total > 0 {
		at.Bytes = min(at.Bytes, at.Total)
	}
	_ = p.bar.Set64(at.Bytes)
}

func (p *compareProgress) clear() {
	if p.bar != nil {
		_ = p.bar.Finish()
		_ = p.bar.Clear()
	}
}

// end takes the bar away.
func (p *compareProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.bar = nil
}
