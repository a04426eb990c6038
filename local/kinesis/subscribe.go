package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"errors"
	"net/http"
	"time"
)

// The terms of fan-out.
const (
	// subscriptionLife and takeOverAfter are of the API reference, SubscribeToShard.
	subscriptionLife = 5 * time.Minute
	takeOverAfter    = 5 * time.Second
	// heartbeat is how long a subscription may be silent: clients take silence
	// for a dead connection (KCL 3.5 after a minute, older ones after 35 s).
	heartbeat = 5 * time.Second
	// eventBytes bounds an event; half of what a shard gives a consumer a second.
	eventBytes = 1 << 20
	// goodbyeAfter is how much longer than its life a subscription may be stuck
	// in a write to a client that does not read.
	goodbyeAfter = 10 * time.Second
)

// A subscription is a consumer's right to be sent a shard's records. It is
// guarded by its stream's lock but for gone, which anybody may wait for.
type subscription struct {
	started int64 // ms
	gone    chan struct{}
	cause   error // why it ended; written before gone is closed
}

// errDropped ends a subscription by dropping its connection.
var errDropped = errors.New("connection dropped by order")

func (sub *subscription) end(cause error) {
	select {
	case <-sub.gone:
	default:
		sub.cause = cause
		close(sub.gone)
	}
}

// hangUp ends every subscription of the consumer, or of all of the stream's;
// the caller holds mu.
func (k *consumer) hangUp(cause error) (n int) {
	for shard, sub := range k.subs {
		sub.end(cause)
		delete(k.subs, shard)
		n++
	}
	return n
}

func (st *stream) hangUp(cause error) (n int) {
	for _, k := range st.consumers {
		n += k.hangUp(cause)
	}
	return n
}

func (s *Server) subscribeToShard(c *call) (any, error) {
	var in struct {
		ConsumerARN      *string
		ShardId          *string
		StartingPosition *struct {
			Type           *string
			SequenceNumber *string
			Timestamp      *instant
		}
		DryRun *bool
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	v.text(in.ConsumerARN, "consumerARN", true, 1, 2048, consumerRule)
	v.text(in.ShardId, "shardId", true, 1, 128, namePattern)
	if p := in.StartingPosition; p == nil {
		v.add(nil, "startingPosition", "not be null")
	} else {
		v.enum(p.Type, "startingPosition.type", true, "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
		v.text(p.SequenceNumber, "startingPosition.sequenceNumber", false, 1, 129, sequencePattern)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	streamName, name := splitConsumerARN(*in.ConsumerARN)
	if name == "" {
		return nil, consumerNotFound(*in.ConsumerARN, s.cfg.Account)
	}
	st, err := s.readable(streamRef{StreamARN: &streamName}, c.now)
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	k := st.consumerByARN(*in.ConsumerARN, c.now.UnixMilli())
	if k == nil {
		return nil, consumerNotFound(*in.ConsumerARN, s.cfg.Account)
	}
	if k.status(c.now.UnixMilli()) != active {
		return nil, inUse("Consumer %s with creation timestamp %d under stream %s and account %s is not in ACTIVE status.", k.name, k.created/1000, st.name, s.cfg.Account)
	}
	index, ok := parseShardName(*in.ShardId)
	if !ok {
		return nil, notFound("Shard %s in stream %s under account %s does not exist", *in.ShardId, st.name, s.cfg.Account)
	}
	sh, err := s.shard(st, index, c.now)
	if err != nil {
		return nil, err
	}
	sh.log.expire(st.horizon(c.now.UnixMilli()))
	p := in.StartingPosition
	next, err := s.start(st, sh, *p.Type, p.SequenceNumber, p.Timestamp, c.now)
	if err != nil {
		return nil, err
	}
	dry := in.DryRun != nil && *in.DryRun
	sub, err := s.takeOver(st, k, sh, c.now, dry)
	if err != nil {
		return nil, err
	}
	return &feed{s: s, st: st, sh: sh, k: k, sub: sub, codec: c.codec, next: next}, nil
}

// takeOver makes the consumer's subscription to the shard; the caller holds mu.
// A live one is ended by it, unless it is younger than five seconds.
func (s *Server) takeOver(st *stream, k *consumer, sh *shard, now time.Time, dry bool) (*subscription, error) {
	other := inUse("Another active subscription exists for this consumer: %s:%s:%s:%s", s.cfg.Account, st.name, k.name, sh.name())
	old := k.subs[sh.index]
	if old != nil && now.UnixMilli()-old.started < takeOverAfter.Milliseconds() {
		return nil, other
	}
	if dry {
		return nil, dryRun()
	}
	if old != nil {
		old.end(other)
	}
	sub := &subscription{started: now.UnixMilli(), gone: make(chan struct{})}
	if k.subs == nil {
		k.subs = map[uint32]*subscription{}
	}
	k.subs[sh.index] = sub
	return sub, nil
}

// A feed is the answer to SubscribeToShard: messages until it ends. It runs on
// the request's goroutine.
type feed struct {
	s     *Server
	st    *stream
	sh    *shard
	k     *consumer
	sub   *subscription
	codec codec
	next  uint64 // the least sequence index not sent
	buf   []byte
}

// leave gives the subscription up, if it is still this feed's.
func (f *feed) leave() {
	f.st.mu.Lock()
	defer f.st.mu.Unlock()
	if f.k.subs[f.sh.index] == f.sub {
		delete(f.k.subs, f.sh.index)
	}
}

// serve sends messages until the client leaves or the subscription ends.
func (f *feed) serve(w http.ResponseWriter, r *http.Request) {
	defer f.leave()
	out := http.NewResponseController(w)
	// Not every writer has deadlines; without one, only the client's end ends a
	// write that is stuck.
	_ = out.SetWriteDeadline(time.Now().Add(f.s.cfg.SubscriptionLife + goodbyeAfter))
	defer func() { _ = out.SetWriteDeadline(time.Time{}) }() // the connection goes on
	w.Header().Set("Content-Type", contentEvents)
	w.WriteHeader(http.StatusOK)
	send := func(headers []header, payload func([]byte) []byte) bool {
		f.buf = appendMessage(f.buf[:0], headers, payload)
		if _, err := w.Write(f.buf); err != nil {
			return false // the client went away
		}
		return out.Flush() == nil
	}
	// A client waits for this one before it says that the call has succeeded.
	if !send(f.event("initial-response"), func(b []byte) []byte { return f.codec.append(b, nil) }) {
		return
	}
	cause := f.push(r, send)
	if errors.Is(cause, errDropped) {
		panic(http.ErrAbortHandler)
	}
	if e, ok := errors.AsType[*apiError](cause); ok {
		send([]header{{messageType, "exception"}, {exceptionType, e.code}, {payloadType, f.codec.contentType()}}, func(b []byte) []byte {
			return f.codec.append(b, struct {
				Message string `json:"message"`
			}{e.message})
		})
	}
}

func (f *feed) event(kind string) []header {
	return []header{{messageType, "event"}, {eventType, kind}, {payloadType, f.codec.contentType()}}
}

// push sends events: at once when there are records, else every heartbeat. It
// returns why the subscription ended; nil is the end of its life, of the shard
// or of the client.
func (f *feed) push(r *http.Request, send func([]header, func([]byte) []byte) bool) error {
	life, beat := time.NewTimer(f.s.cfg.SubscriptionLife), time.NewTimer(heartbeat)
	defer life.Stop()
	defer beat.Stop()
	for due := true; ; {
		changed, moved := f.sh.log.changed(), f.s.clock.moved() // before a look: nothing is missed in between
		a, ended, err := f.read()
		if err != nil {
			return err
		}
		if f.s.clock.now().UnixMilli()-f.sub.started >= f.s.cfg.SubscriptionLife.Milliseconds() {
			return nil
		}
		if due = due || ended || a.page.count > 0; due {
			if !send(f.event("SubscribeToShardEvent"), func(b []byte) []byte { return f.codec.append(b, a) }) || ended {
				return nil
			}
			f.next = a.page.next
			beat.Reset(heartbeat)
		}
		var wait <-chan struct{} = changed
		var pace <-chan time.Time
		if a.page.more {
			wait, pace = nil, closedTimer
		}
		if f.s.cfg.Throttle && a.page.size > 0 {
			wait, pace = nil, time.After(time.Duration(float64(a.page.size)/readBytes*float64(time.Second)))
		}
		due = false
		select {
		case <-f.sub.gone:
			return f.sub.cause
		case <-r.Context().Done():
			return nil
		case <-f.s.hungUp:
			return nil
		case <-life.C:
			return nil
		case <-beat.C:
			due = true
		case <-wait:
		case <-pace:
		case <-moved:
		}
	}
}

// closedTimer never makes anybody wait.
var closedTimer = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// read makes the next event.
func (f *feed) read() (recordsAnswer, bool, error) {
	now := f.s.clock.now()
	f.st.mu.RLock()
	defer f.st.mu.RUnlock()
	if _, err := f.s.shard(f.st, f.sh.index, now); err != nil {
		return recordsAnswer{}, false, err
	}
	a, ended := f.st.page(f.sh, f.next, getRecordsMax, eventBytes, now)
	if !ended {
		a.continuation = f.continuation(a.page, now).String()
	}
	return a, ended, nil
}

// continuation is a number from which AT_ and AFTER_SEQUENCE_NUMBER go on
// behind the page. Without records it is one that no record has: just above
// the place of the last one.
func (f *feed) continuation(p page, now time.Time) sequence {
	if n := len(p.runs); n > 0 {
		last := p.runs[n-1].entries[len(p.runs[n-1].entries)-1]
		return f.sh.sequence(last.index, last.arrival)
	}
	if p.next == 0 {
		return f.sh.firstSequence()
	}
	q := f.sh.sequence(p.next-1, now.UnixMilli())
	if e, ok := f.sh.log.lookup(p.next - 1); ok {
		q.time = max(q.time, e.arrival/1000) + 1
	}
	return q
}
