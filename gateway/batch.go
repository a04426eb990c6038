package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// The limits of one PutRecords: records, and bytes of data and keys.
const (
	batchRecords = 500
	batchBytes   = 10 << 20
	// batchCallMax bounds the one call for many; each of them has its own
	// time-out beside it.
	batchCallMax = timeoutMax
	// batchGroups bounds the streams, and headers, that are gathered at once: a
	// template can take both from its caller. Records of more go one by one.
	batchGroups = 64
)

// A Batcher gathers PutRecord calls into PutRecords, one batch per stream under
// way. The records of a stream keep the order in which their calls arrived, if
// these have the same headers, and each call is answered from its own entry. A call that is anything but a plain
// PutRecord passes as it is.
//
// Close ends it, after the last Do.
type Batcher struct {
	to     Backend
	linger time.Duration
	sizes  func(records int)

	working context.Context // ends with Close
	stop    context.CancelFunc
	group   sync.WaitGroup
	mu      sync.Mutex
	groups  map[string]chan *waiting
}

// A waiting is one call until its batch is answered.
type waiting struct {
	ctx    context.Context
	call   Call
	record record
	answer chan outcome // of capacity 1: the batch never waits for a caller
}

type outcome struct {
	reply Reply
	err   error
}

// A record is the request of PutRecord. Its JSON, without the stream, is an
// entry of PutRecords.
type record struct {
	StreamName      string  `json:",omitempty"`
	StreamARN       string  `json:",omitempty"`
	Data            *string `json:",omitempty"`
	PartitionKey    *string `json:",omitempty"`
	ExplicitHashKey *string `json:",omitempty"`
}

// NewBatcher returns a Batcher before to. A batch waits linger for more after its
// first record; while one is under way the next gathers anyway. sizes is told
// how many records a batch had and may be nil.
func NewBatcher(to Backend, linger time.Duration, sizes func(records int)) *Batcher {
	if sizes == nil {
		sizes = func(int) {}
	}
	b := &Batcher{to: to, linger: linger, sizes: sizes, groups: map[string]chan *waiting{}}
	b.working, b.stop = context.WithCancel(context.Background())
	return b
}

// Close ends what still gathers. Calls that wait get an error.
func (b *Batcher) Close() {
	b.stop()
	b.group.Wait()
}

var errClosed = errors.New("the gateway stopped before the record was sent")

// Do implements Backend.
func (b *Batcher) Do(ctx context.Context, c Call) (Reply, error) {
	rec, plain := plainRecord(c)
	if !plain {
		return b.to.Do(ctx, c)
	}
	queue := b.queue(rec.group(c))
	if queue == nil {
		return b.to.Do(ctx, c)
	}
	w := &waiting{ctx, c, rec, make(chan outcome, 1)}
	select {
	case queue <- w:
	case <-ctx.Done():
		return Reply{}, context.Cause(ctx)
	case <-b.working.Done():
		return Reply{}, errClosed
	}
	select {
	case o := <-w.answer:
		return o.reply, o.err
	case <-ctx.Done():
		return Reply{}, context.Cause(ctx)
	}
}

// plainRecord reads a PutRecord that can become an entry; anything unusual in it
// is for Kinesis to judge.
func plainRecord(c Call) (r record, ok bool) {
	if c.Action != "PutRecord" {
		return r, false
	}
	d := json.NewDecoder(bytes.NewReader(c.Body))
	d.DisallowUnknownFields()
	if d.Decode(&r) != nil || r.Data == nil || r.PartitionKey == nil || r.size() > batchBytes {
		return r, false
	}
	_, err := d.Token()
	return r, errors.Is(err, io.EOF)
}

func (r record) size() int {
	return base64.StdEncoding.DecodedLen(len(*r.Data)) + len(*r.PartitionKey)
}

// group names what may be sent together. The headers belong to it: one call has
// one set of them, and they may be of the caller's making.
func (r record) group(c Call) string {
	name := r.StreamName + " " + r.StreamARN + " " + c.Region
	for _, h := range sortedKeys(c.Header) {
		name += fmt.Sprintf("\n%s: %q", h, c.Header[h])
	}
	return name
}

// queue is the group's, made with its goroutine at the first record; nil when
// there are too many.
func (b *Batcher) queue(group string) chan *waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, there := b.groups[group]
	if !there && len(b.groups) < batchGroups {
		q = make(chan *waiting)
		b.groups[group] = q
		b.group.Go(func() { b.run(q) })
	}
	return q
}

// run sends one batch after the other.
func (b *Batcher) run(queue <-chan *waiting) {
	var first *waiting
	for {
		if first == nil {
			select {
			case first = <-queue:
			case <-b.working.Done():
				return
			}
		}
		var batch []*waiting
		batch, first = b.gather(queue, first)
		b.send(batch)
	}
}

// gather returns a batch and the record that did not fit, if any.
func (b *Batcher) gather(queue <-chan *waiting, first *waiting) (batch []*waiting, next *waiting) {
	batch = append(batch, first)
	size := first.record.size()
	full := time.NewTimer(b.linger)
	defer full.Stop()
	for len(batch) < batchRecords {
		select {
		case w := <-queue:
			if size += w.record.size(); size > batchBytes {
				return batch, w
			}
			batch = append(batch, w)
		case <-full.C:
			return batch, nil
		case <-b.working.Done():
			return batch, nil
		}
	}
	return batch, nil
}

// send puts a batch and answers each of its calls.
func (b *Batcher) send(batch []*waiting) {
	batch = present(batch)
	b.sizes(len(batch))
	switch len(batch) {
	case 0:
		return
	case 1:
		b.alone(batch[0])
		return
	}
	ctx, cancel := context.WithTimeout(b.working, batchCallMax)
	defer cancel()
	reply, err := b.to.Do(ctx, together(batch))
	if err != nil || reply.Status >= 500 || reply.Status == http.StatusTooManyRequests {
		for _, w := range batch { // each may or may not be stored
			w.answer <- outcome{reply, err}
		}
		return
	}
	entries, ok := split(reply, len(batch))
	for i, w := range batch {
		switch {
		case ok:
			w.answer <- entries[i]
		case reply.Status < 300:
			w.answer <- outcome{err: errNoFate}
		case faultOfOne(reply):
			b.alone(w) // nothing was stored; one by one, each gets its own answer
		default:
			w.answer <- outcome{reply: reply}
		}
	}
}

// faultOfOne says that a batch was refused for what may be in one record only.
func faultOfOne(r Reply) bool {
	switch errorType(r) {
	case "ValidationException", "InvalidArgumentException", "SerializationException":
		return true
	}
	return false
}

// present are those whose callers still wait.
func present(batch []*waiting) (still []*waiting) {
	for _, w := range batch {
		if w.ctx.Err() == nil {
			still = append(still, w)
		}
	}
	return still
}

func (b *Batcher) alone(w *waiting) {
	reply, err := b.to.Do(w.ctx, w.call)
	w.answer <- outcome{reply, err}
}

func together(batch []*waiting) Call {
	in := struct {
		StreamName string `json:",omitempty"`
		StreamARN  string `json:",omitempty"`
		Records    []record
	}{StreamName: batch[0].record.StreamName, StreamARN: batch[0].record.StreamARN}
	for _, w := range batch {
		r := w.record
		r.StreamName, r.StreamARN = "", ""
		in.Records = append(in.Records, r)
	}
	body, err := json.Marshal(in)
	if err != nil {
		panic(err) // texts always encode
	}
	return Call{Action: "PutRecords", Region: batch[0].call.Region, Header: batch[0].call.Header, Body: body}
}

// errNoFate is an answer to many that does not say what became of one.
var errNoFate = errors.New("an answer of Kinesis does not say what became of the record")

// split makes of an answer to PutRecords what n calls of PutRecord would have
// got.
func split(all Reply, n int) (each []outcome, ok bool) {
	out, ok := readEntries(all)
	if all.Status != http.StatusOK || !ok || len(out.Records) != n {
		return nil, false
	}
	for _, r := range out.Records {
		if r.lost() {
			each = append(each, outcome{err: errNoFate})
			continue
		}
		status, fields := http.StatusOK, map[string]string{"SequenceNumber": r.SequenceNumber, "ShardId": r.ShardID}
		if out.EncryptionType != "" {
			fields["EncryptionType"] = out.EncryptionType
		}
		if r.ErrorCode != "" {
			status, fields = http.StatusBadRequest, map[string]string{"__type": r.ErrorCode, "message": r.ErrorMessage}
			if r.ErrorCode == "InternalFailure" {
				status = http.StatusInternalServerError
			}
		}
		body, err := json.Marshal(fields)
		if err != nil {
			panic(err) // texts always encode
		}
		each = append(each, outcome{reply: Reply{status, all.Header, body}})
	}
	return each, true
}

// entries is an answer to PutRecords.
type entries struct {
	EncryptionType    string
	FailedRecordCount int
	Records           []result
}

// A result is what became of a record: an entry of PutRecords, or all that
// PutRecord answers.
type result struct {
	ErrorCode, ErrorMessage, SequenceNumber string
	ShardID                                 string `json:"ShardId"`
}

// lost says that it tells nothing.
func (r result) lost() bool { return r.ErrorCode == "" && r.SequenceNumber == "" }

func readEntries(r Reply) (out entries, ok bool) {
	ok = json.Unmarshal(r.Body, &out) == nil
	return out, ok
}
