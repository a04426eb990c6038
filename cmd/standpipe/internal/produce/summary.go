package produce

import (
	"sync"
	"time"
)

// rejectionsMax bounds the rejections a Summary keeps; all are counted and
// all are shown as they happen.
const rejectionsMax = 100

// A Summary is what became of the records.
type Summary struct {
	Target string `json:"target"`
	Run    string `json:"run,omitempty"`
	// Records and Bytes are stored; bytes are of data, without keys.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// Retried counts repeats of a record, not requests.
	Retried  int64 `json:"retried"`
	Rejected int64 `json:"rejected"`
	// Unsent were read and neither stored nor rejected when the run ended early.
	Unsent   int64   `json:"unsent"`
	Requests int64   `json:"requests"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"recordsPerSecond"`
	// Rejections are the first rejectionsMax.
	Rejections []Rejection `json:"rejections"`
}

// A tally is a Summary in the making. Safe for concurrent use.
type tally struct {
	mu    sync.Mutex
	s     Summary
	begin time.Time
}

func (t *tally) add(change func(s *Summary)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.s)
}

func (t *tally) take() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Unsent++
}

func (t *tally) reject(r Rejection, wasTaken bool) {
	t.add(func(s *Summary) {
		s.Rejected++
		if wasTaken {
			s.Unsent--
		}
		if len(s.Rejections) < rejectionsMax {
			s.Rejections = append(s.Rejections, r)
		}
	})
}

func (t *tally) snapshot(now time.Time) Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	s.Rejections = append([]Rejection{}, s.Rejections...)
	if !t.begin.IsZero() {
		s.Seconds = now.Sub(t.begin).Seconds()
	}
	if s.Seconds > 0 {
		s.Rate = float64(s.Records) / s.Seconds
	}
	return s
}
