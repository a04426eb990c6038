package delivery

import (
	"time"

	"github.com/standpipe/standpipe/sink"
)

// A router gives each record its prefix, from the record's arrival time and
// never from the wall clock: a replay of yesterday lands in yesterday. It
// evaluates the prefix expression once per span of equal prefixes. Owned by
// the shard's goroutine.
type router struct {
	keyer *sink.Keyer
	// oldest makes Firehose's rule: the whole object goes where its oldest
	// record belongs, so nothing splits a batch.
	oldest bool

	from, until time.Time
	prefix      string
}

func (r *router) route(arrival time.Time) string {
	if r.oldest {
		return ""
	}
	if arrival.Before(r.from) || !arrival.Before(r.until) {
		r.from, r.until = r.keyer.Span(arrival)
		r.prefix = r.keyer.Route(arrival)
	}
	return r.prefix
}
