package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/jobs"
)

// A Record is what is sent. Key says where it came from and is the same
// whenever it is sent.
type Record struct {
	Key  string
	Data []byte
}

// A Refusal is the stream's word that it will never take this content.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

// A Target stores records.
type Target interface {
	// Send tries to store all of batch once: the client below it must not
	// repeat. It returns one error for each record, nil for a stored one, or a
	// single error for all. A *Refusal and an error of class Throttled, Denied,
	// NotFound or Fatal say that nothing of what they speak about was stored;
	// after a Retryable one it may have been.
	Send(ctx context.Context, batch []Record) ([]error, error)
	// Limits are the most records and bytes (data and keys) of one Send.
	Limits() (records, bytes int)
	// RecordMax is the largest record, data and key, in bytes.
	RecordMax() int
}

// settleDefault is how long a request may take to be stored after its sender
// gave up on it: longer than any call's deadline at AWS's edge.
const settleDefault = 20 * time.Second

// sendsMax is how often one batch is sent or looked for in one try of a slice.
const sendsMax = 12

// sendRests are the waits between them.
var sendRests = backoff.Policy{Min: 200 * time.Millisecond, Max: 10 * time.Second}

// A Stream sends records into a stream. See doc.go for what "once" rests on.
type Stream struct {
	From archive.Store
	To   Target
	// Find reports which of the keys the stream holds, of records that were sent
	// at since or later. See Finder.
	Find func(ctx context.Context, since time.Time, keys map[string]bool) (found map[string]bool, err error)
	// Settle is waited for before Find: 20 s when zero.
	Settle time.Duration
	// Rests replaces the waits between sends, for tests.
	Rests backoff.Policy
}

// Do is the jobs.Handler.
func (s *Stream) Do(ctx context.Context, t jobs.Task) (json.RawMessage, error) {
	w, err := begin(t)
	if err != nil {
		return nil, err
	}
	seed := backoff.Seed()
	for ; w.at.Object < len(w.items); w.at.Object++ {
		o := &objectRun{Stream: s, work: &w, item: w.items[w.at.Object], rand: mathrand.New(mathrand.NewPCG(seed, uint64(w.at.Object)))}
		switch err := o.do(ctx); {
		case errors.Is(err, errChanged):
			w.fail(w.at.Object, err)
		case err != nil:
			return nil, fmt.Errorf("redrive %s: %w", o.item.Key, err)
		default:
			w.at.Report.Objects++
		}
		w.at.From, w.at.To, w.at.Since = 0, 0, ""
	}
	state, err := json.Marshal(w.at)
	if err != nil {
		return nil, fmt.Errorf("encode the progress: %w", err)
	}
	// Before the end, which after a failure keeps the last progress alone: a
	// resumed slice must not send again.
	if err := t.Save(ctx, state); err != nil {
		return nil, err
	}
	return w.end()
}

// An objectRun sends one object, batch by batch.
type objectRun struct {
	*Stream
	*work
	item  Item
	rand  *mathrand.Rand
	batch batch
}

// A batch is a range of entries with what counts of them.
type batch struct {
	first, next int64 // entries
	records     []Record
	lines       []int64 // of records
	bytes       int     // data and keys
	report      Report
}

func (o *objectRun) do(ctx context.Context) error {
	id := digest(o.spec.Source, o.item.Key, o.item.ETag)
	o.batch = batch{first: o.at.From, next: o.at.From}
	err := read(ctx, o.From, o.item, func(e entry) error {
		if e.number < o.at.From {
			return nil // counted before
		}
		return o.take(ctx, id, e)
	})
	if err == nil {
		err = o.flush(ctx)
	}
	return err
}

func (o *objectRun) take(ctx context.Context, id string, e entry) error {
	r := Record{Key: fmt.Sprintf("redrive-%s-%d", id, e.number), Data: e.failure.Raw}
	size := len(r.Key) + len(r.Data)
	records, bytes := o.To.Limits()
	// A batch that was about to be sent is made anew exactly.
	resumed := o.at.To > 0 && e.number == o.at.To
	full := o.at.To == 0 && len(o.batch.records) > 0 && (len(o.batch.records) == records || o.batch.bytes+size > bytes)
	if resumed || full {
		if err := o.flush(ctx); err != nil {
			return err
		}
	}
	o.batch.next = e.number + 1
	switch wanted := o.batch.report.note(o.spec, o.item, e); {
	case !wanted:
	case size > o.To.RecordMax():
		o.batch.report.reject(o.item.Key, e.line, fmt.Sprintf("%d bytes with its key, the stream takes %d", size, o.To.RecordMax()))
	default:
		o.batch.records, o.batch.lines = append(o.batch.records, r), append(o.batch.lines, e.line)
		o.batch.bytes += size
	}
	return nil
}

// flush sends the batch and counts it.
func (o *objectRun) flush(ctx context.Context) error {
	unknown := o.at.To > 0
	since := time.Now()
	switch {
	case len(o.batch.records) == 0:
	case unknown:
		var err error
		if since, err = time.Parse(time.RFC3339Nano, o.at.Since); err != nil {
			return &standpipe.Error{Class: standpipe.Fatal, Op: "read the slice's progress", Err: err}
		}
	default:
		o.at.From, o.at.To, o.at.Since = o.batch.first, o.batch.next, since.UTC().Format(time.RFC3339Nano)
		state, err := json.Marshal(o.at)
		if err != nil {
			return fmt.Errorf("encode the progress: %w", err)
		}
		if err := o.task.Save(ctx, state); err != nil {
			return err
		}
	}
	left := make([]int, len(o.batch.records))
	for i := range left {
		left[i] = i
	}
	if err := o.deliver(ctx, left, since, unknown); err != nil {
		return err
	}
	o.at.Report.Add(o.batch.report)
	o.at.From, o.at.To, o.at.Since = o.batch.next, 0, ""
	o.batch = batch{first: o.batch.next, next: o.batch.next}
	state, err := json.Marshal(o.at)
	if err != nil {
		return fmt.Errorf("encode the progress: %w", err)
	}
	// Whoever stops here, in good order, need not look into the stream later.
	o.task.Report(state)
	return nil
}

// deliver sends the records with the indexes left until each is stored or
// refused. unknown says that an earlier send, not before since, may have
// stored some.
func (o *objectRun) deliver(ctx context.Context, left []int, since time.Time, unknown bool) error {
	var last error
	for tries := 1; len(left) > 0; tries++ {
		if tries > sendsMax {
			return last
		}
		if unknown {
			missing, err := o.missing(ctx, left, since)
			if err != nil {
				return err
			}
			left, unknown = missing, false
			if len(left) == 0 {
				return nil
			}
		}
		results, err := o.To.Send(ctx, o.pick(left))
		if _, refused := errors.AsType[*Refusal](err); refused && len(left) > 1 {
			// One of them spoils the request.
			for _, i := range left {
				if err := o.deliver(ctx, []int{i}, since, false); err != nil {
					return err
				}
			}
			return nil
		}
		if results == nil {
			results = make([]error, len(left))
			for i := range results {
				results[i] = err
			}
		}
		if left, unknown, last = o.judge(left, results); len(left) == 0 {
			return nil
		}
		if class := standpipe.ClassOf(last); class != standpipe.Throttled && class != standpipe.Retryable {
			return last
		}
		if err := backoff.Sleep(ctx, o.rests().Delay(tries, o.rand)); err != nil {
			return err
		}
	}
	return nil
}

// judge counts what is stored and what is refused and returns the rest,
// whether some of it may be stored, and why it is left: a hopeless error before
// one that may heal.
func (o *objectRun) judge(sent []int, results []error) (left []int, unknown bool, last error) {
	for n, i := range sent {
		err := results[n]
		refusal, refused := errors.AsType[*Refusal](err)
		switch {
		case err == nil:
			o.stored(i)
			continue
		case refused:
			o.batch.report.reject(o.item.Key, o.batch.lines[i], refusal.Reason)
			continue
		}
		left = append(left, i)
		class := standpipe.ClassOf(err)
		unknown = unknown || class == standpipe.Retryable
		if last == nil || class != standpipe.Throttled && class != standpipe.Retryable {
			last = err
		}
	}
	return left, unknown, last
}

func (o *objectRun) stored(i int) {
	o.batch.report.Redriven++
	o.batch.report.Bytes += int64(len(o.batch.records[i].Data))
}

// missing looks in the stream for the records left, counts those it holds and
// returns the others.
func (o *objectRun) missing(ctx context.Context, left []int, since time.Time) (rest []int, err error) {
	settle := o.Settle
	if settle == 0 {
		settle = settleDefault
	}
	if err := backoff.Sleep(ctx, settle); err != nil {
		return nil, err
	}
	keys := make(map[string]bool, len(left))
	for _, i := range left {
		keys[o.batch.records[i].Key] = true
	}
	found, err := o.Find(ctx, since, keys)
	if err != nil {
		return nil, fmt.Errorf("look in the stream for what may have been sent: %w", err)
	}
	for _, i := range left {
		if found[o.batch.records[i].Key] {
			o.stored(i)
		} else {
			rest = append(rest, i)
		}
	}
	return rest, nil
}

func (o *objectRun) pick(left []int) []Record {
	picked := make([]Record, len(left))
	for n, i := range left {
		picked[n] = o.batch.records[i]
	}
	return picked
}

func (o *objectRun) rests() backoff.Policy {
	if o.Rests == (backoff.Policy{}) {
		return sendRests
	}
	return o.Rests
}
