package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/vmihailenco/taskq/v3"
	bolt "go.etcd.io/bbolt"
)

var (
	bucketDue      = []byte("due")      // due time + id → nothing
	bucketMessages = []byte("messages") // id → message
)

// Queue is a taskq.Queue in the job store's file. The order is by due time.
type Queue struct {
	store *Store
	opt   *taskq.QueueOptions
	now   func() time.Time

	mu       sync.Mutex // covers consumer
	consumer *taskq.Consumer
	changed  chan struct{} // holds one token when something became due earlier
	closed   chan struct{} // closed by the first CloseTimeout
}

var _ taskq.Queue = (*Queue)(nil)

// NewQueue makes the queue of a store. One queue a file: they would share
// their messages.
func (s *Store) NewQueue(opt *taskq.QueueOptions) *Queue {
	opt.Storage = taskq.NewLocalStorage() // messages here have no names, and its default wants Redis
	opt.Init()
	return &Queue{store: s, opt: opt, now: time.Now, changed: make(chan struct{}, 1), closed: make(chan struct{})}
}

// stored is a message in the file.
type stored struct {
	Due int64 `json:"due"` // Unix nanoseconds; of this machine's clock, which alone reads it
	// Tries is the number of reservations, and names the one under way.
	Tries int    `json:"tries"`
	Body  []byte `json:"body"`
}

// Name implements taskq.Queue.
func (q *Queue) Name() string { return q.opt.Name }

func (q *Queue) String() string { return fmt.Sprintf("queue=%q", q.opt.Name) }

// Options implements taskq.Queue.
func (q *Queue) Options() *taskq.QueueOptions { return q.opt }

// Consumer implements taskq.Queue.
func (q *Queue) Consumer() taskq.QueueConsumer {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.consumer == nil {
		q.consumer = taskq.NewConsumer(q)
	}
	return q.consumer
}

// Len implements taskq.Queue: due, delayed and reserved messages.
func (q *Queue) Len() (n int, err error) {
	err = q.store.db.View(func(tx *bolt.Tx) error {
		n = tx.Bucket(bucketMessages).Stats().KeyN
		return nil
	})
	return n, err
}

// Add implements taskq.Queue. The message is on disk when it returns.
func (q *Queue) Add(msg *taskq.Message) error {
	if msg.TaskName == "" {
		return errors.New("add to queue: a message without a task name")
	}
	body, err := msg.MarshalBinary()
	if err != nil {
		return fmt.Errorf("add to queue: %w", err)
	}
	err = q.store.db.Update(func(tx *bolt.Tx) error {
		n, err := tx.Bucket(bucketMessages).NextSequence()
		if err != nil {
			return err
		}
		id := binary.BigEndian.AppendUint64(nil, n)
		return enqueue(tx, id, stored{Due: q.now().Add(msg.Delay).UnixNano(), Body: body})
	})
	if err != nil {
		return fmt.Errorf("add to queue: %w", err)
	}
	q.signal()
	return nil
}

func (q *Queue) signal() {
	select {
	case q.changed <- struct{}{}:
	default: // a token is there already
	}
}

func dueKey(due int64, id []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(due)), id...)
}

func enqueue(tx *bolt.Tx, id []byte, m stored) error {
	if err := put(tx.Bucket(bucketMessages), id, m); err != nil {
		return err
	}
	return tx.Bucket(bucketDue).Put(dueKey(m.Due, id), nil)
}

// ReserveN implements taskq.Queue: it waits up to waitTimeout for a message
// that is due, and hands out at most n.
func (q *Queue) ReserveN(ctx context.Context, n int, waitTimeout time.Duration) ([]taskq.Message, error) {
	timeout := time.NewTimer(waitTimeout)
	defer timeout.Stop()
	for {
		msgs, next, err := q.reserve(n)
		if err != nil || len(msgs) > 0 {
			return msgs, err
		}
		var due <-chan time.Time
		if !next.IsZero() {
			t := time.NewTimer(next.Sub(q.now()))
			defer t.Stop()
			due = t.C
		}
		select {
		case <-due:
		case <-q.changed:
		case <-timeout.C:
			return nil, nil
		case <-q.closed: // else a stop would wait for what does not come
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// reserve hands out what is due now; with nothing due it says when the next
// message will be, zero when there is none.
func (q *Queue) reserve(n int) (msgs []taskq.Message, next time.Time, err error) {
	err = q.store.db.Update(func(tx *bolt.Tx) error {
		msgs, next = nil, time.Time{} // the transaction may run again
		now := q.now()
		var ids [][]byte
		c := tx.Bucket(bucketDue).Cursor()
		for k, _ := c.First(); k != nil && len(ids) < n; k, _ = c.Next() {
			if due := time.Unix(0, int64(binary.BigEndian.Uint64(k))); due.After(now) {
				next = due
				break
			}
			ids = append(ids, bytes.Clone(k[8:]))
		}
		for _, id := range ids {
			var m stored
			if err := get(tx.Bucket(bucketMessages), id, &m); err != nil {
				return err
			}
			if err := tx.Bucket(bucketDue).Delete(dueKey(m.Due, id)); err != nil {
				return err
			}
			m.Tries++
			m.Due = now.Add(q.opt.ReservationTimeout).UnixNano()
			if err := enqueue(tx, id, m); err != nil {
				return err
			}
			var msg taskq.Message
			// A body that cannot be read is handed out with its error, so that
			// the consumer deletes it instead of meeting it for ever.
			msg.Err = msg.UnmarshalBinary(m.Body)
			msg.ID, msg.ReservationID, msg.ReservedCount = string(id), strconv.Itoa(m.Tries), m.Tries
			msgs = append(msgs, msg)
		}
		return nil
	})
	return msgs, next, err
}

// with runs f on the message if its reservation is still the one under way.
// A message that is gone or was given out again is left alone.
func (q *Queue) with(msg *taskq.Message, f func(tx *bolt.Tx, id []byte, m stored) error) error {
	id := []byte(msg.ID)
	return q.store.db.Update(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketMessages).Get(id)
		if v == nil {
			return nil
		}
		var m stored
		if err := json.Unmarshal(v, &m); err != nil {
			return err
		}
		if strconv.Itoa(m.Tries) != msg.ReservationID {
			return nil
		}
		if err := tx.Bucket(bucketDue).Delete(dueKey(m.Due, id)); err != nil {
			return err
		}
		return f(tx, id, m)
	})
}

// Release implements taskq.Queue: the message is due again after msg.Delay.
func (q *Queue) Release(msg *taskq.Message) error {
	err := q.with(msg, func(tx *bolt.Tx, id []byte, m stored) error {
		m.Due = q.now().Add(msg.Delay).UnixNano()
		return enqueue(tx, id, m)
	})
	q.signal()
	return err
}

// Keep puts the end of a reservation off by another ReservationTimeout.
func (q *Queue) Keep(_ context.Context, msg *taskq.Message) error {
	return q.with(msg, func(tx *bolt.Tx, id []byte, m stored) error {
		m.Due = q.now().Add(q.opt.ReservationTimeout).UnixNano()
		return enqueue(tx, id, m)
	})
}

// Delete implements taskq.Queue.
func (q *Queue) Delete(msg *taskq.Message) error {
	return q.with(msg, func(tx *bolt.Tx, id []byte, _ stored) error {
		return tx.Bucket(bucketMessages).Delete(id)
	})
}

// Purge implements taskq.Queue. Numbers of messages go on where they were, so
// that a reservation from before never meets a new message of the same number.
func (q *Queue) Purge() error {
	return q.store.db.Update(func(tx *bolt.Tx) error {
		last := tx.Bucket(bucketMessages).Sequence()
		for _, name := range [][]byte{bucketDue, bucketMessages} {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMessages).SetSequence(last)
	})
}

// Close implements taskq.Queue.
func (q *Queue) Close() error { return q.CloseTimeout(30 * time.Second) }

// CloseTimeout implements taskq.Queue: it stops the consumer, not the file.
func (q *Queue) CloseTimeout(timeout time.Duration) error {
	q.mu.Lock()
	c := q.consumer
	q.consumer = nil
	select {
	case <-q.closed:
	default:
		close(q.closed)
	}
	q.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.StopTimeout(timeout)
}
