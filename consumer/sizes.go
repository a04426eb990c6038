package consumer

import (
	"time"

	"github.com/standpipe/standpipe"
)

// maxRecords is the most records a page can hold (GetRecords.Limit).
const maxRecords = 10_000

// sizes is what a reader knows of the sizes of its pages.
type sizes struct {
	mean  float64 // moving average of body lengths, bytes
	last  int64   // length of the last body
	pages int     // pages seen
	whole int64   // room the page that did not fit needs, or 0
	limit int32   // records to ask for
	// longer is the time an answer gets beyond callTimeout: one record may be more
	// than the connection carries in that.
	longer time.Duration
}

// tooLarge notes a page that did not fit and says what will: twice its length if
// that is known, for it grows until it is asked for again, else the most there is.
func (s *sizes) tooLarge(received int64, announced bool, room int64) *TooLargeError {
	s.whole = MaxPage
	if announced {
		s.whole = bounded(2 * received)
	}
	if room >= MaxPage {
		s.whole = MaxPage
		if s.limit > 1 {
			s.fewer() // larger than any page should be
		} else {
			s.whole = max(MaxPage, received+received/4)
		}
	}
	return &TooLargeError{Need: s.whole, Room: room, received: received}
}

// fewer asks for fewer records at a time, in steps of eight, for each try costs
// a page of the shard's bandwidth.
func (s *sizes) fewer() { s.limit = max(1, s.limit/8) }

// longerMost bounds one page: 14 MiB of base64 in it are 80 kB/s. A shard that
// does nothing else for five minutes is given up, and a Fetch may have to list the
// shards before and to ask for an iterator.
const longerMost = 3*time.Minute - callTimeout

// slow notes that a page began to come and was not there in time. The same page
// would take as long again, for ever if the connection is as fast as it gets.
func (s *sizes) slow() {
	if s.limit > 1 {
		s.fewer()
		return
	}
	s.longer = min(2*s.longer+callTimeout, longerMost)
}

// fits notes the length of a body that was read.
func (s *sizes) fits(n int64) {
	if s.pages == 0 {
		s.mean = float64(n)
	}
	s.mean += (float64(n) - s.mean) / 4
	s.last, s.whole, s.longer = n, 0, 0
	s.pages++
	s.limit = min(s.limit*2, maxRecords)
}

// estimate is the room to reserve for the next page.
func (s *sizes) estimate() int64 {
	if s.whole > 0 {
		return s.whole
	}
	return bounded(int64(max(s.mean*3/2, float64(s.last)*5/4)))
}

func bounded(n int64) int64 { return min(max(roundUp(n), MinPage), MaxPage) }

// Estimate is the room in bytes to reserve before Fetch: half as much again as
// recent pages needed, at least MinPage. Before the first page it is what can
// have arrived since the start at a shard's write limit of 1 MiB/s, at most
// MaxPage; after a page that did not fit, what that page needs.
func (r *Reader) Estimate() int64 {
	if r.sizes.pages > 0 || r.sizes.whole > 0 {
		return r.sizes.estimate()
	}
	since := r.seen
	switch r.start.Position.Sequence {
	case standpipe.Latest:
		return MinPage
	case standpipe.AtTimestamp:
		since = r.start.Time
	}
	if since.IsZero() {
		return MaxPage
	}
	seconds := max(time.Since(since).Seconds(), 0)
	if seconds > 16 {
		return MaxPage
	}
	return bounded(int64(seconds * 1.5 * (1 << 20)))
}
