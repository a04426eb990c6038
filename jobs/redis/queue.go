package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-redis/redis/v8"
	"github.com/vmihailenco/taskq/v3"
	"github.com/vmihailenco/taskq/v3/redisq"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
)

// Client is a connection to one Redis. Safe for concurrent use.
type Client struct {
	redis *redis.Client
	where string // without the password
}

// Dial connects to redis://[user:password@]host:port/db, or rediss:// for TLS,
// and checks that the server answers and is new enough.
func Dial(ctx context.Context, url string) (*Client, error) {
	c, err := Open(url)
	if err != nil {
		return nil, err
	}
	if err := c.check(ctx); err != nil {
		return nil, errors.Join(err, c.redis.Close())
	}
	return c, nil
}

// Open is Dial for who may never need the server: it asks nothing yet.
func Open(url string) (*Client, error) {
	opt, err := redis.ParseURL(url)
	if err != nil {
		// The parser's message quotes the address, and with it the password.
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "connect to Redis", Err: errors.New("the address cannot be parsed"),
			Hint: "write redis://host:6379/0, or rediss:// for TLS",
		}
	}
	where := "redis://" + opt.Addr
	if opt.TLSConfig != nil {
		where = "rediss://" + opt.Addr
	}
	return &Client{redis: redis.NewClient(opt), where: where}, nil
}

// check asks for the one feature that older servers lack.
func (c *Client) check(ctx context.Context) error {
	err := c.redis.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: "standpipe:check", Group: group, Idle: time.Minute, Start: "-", End: "+", Count: 1,
	}).Err()
	switch code(err) {
	case "", "NOGROUP":
		return nil
	case "ERR":
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "use " + c.where, Err: err,
			Hint: "jobs need Redis 6.2 or later",
		}
	case "NOAUTH", "WRONGPASS", "NOPERM":
		return &standpipe.Error{
			Class: standpipe.Denied, Op: "use " + c.where, Err: err,
			Hint: "check user and password in the address",
		}
	}
	if _, refused := errors.AsType[*tls.CertificateVerificationError](err); refused {
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "connect to " + c.where, Err: err,
			Hint: "the address must name the host as the certificate does; a certificate of your own is trusted by SSL_CERT_FILE=FILE.pem",
		}
	}
	return &standpipe.Error{
		Class: standpipe.Retryable, Op: "connect to " + c.where, Err: err,
		Hint: "check the address, and that Redis runs there",
	}
}

// code is the first word of a server's error, "" for no error, and "unreachable"
// for an error that is not the server's.
func code(err error) string {
	if err == nil {
		return ""
	}
	if answer, ok := errors.AsType[redis.Error](err); ok {
		word, _, _ := strings.Cut(answer.Error(), " ")
		return word
	}
	return "unreachable"
}

// Close ends the connection. Queues must be closed before.
func (c *Client) Close() error { return c.redis.Close() }

// Queue is a jobs.Queue over Redis.
type Queue struct {
	*redisq.Queue
	client *client
	stream string
}

var _ jobs.Queue = (*Queue)(nil)

// NewQueue opens the queue named in opt. All machines that share a job use one name.
func (c *Client) NewQueue(opt *taskq.QueueOptions) *Queue {
	mended := &client{Client: c.redis, reservation: opt.ReservationTimeout}
	opt.Redis = mended
	return &Queue{
		Queue: redisq.NewQueue(opt), client: mended,
		stream: "taskq:{" + opt.Name + "}:stream", // redisq's name for it
	}
}

// Keep begins the message's reservation anew: XCLAIM by the consumer that has
// it. A message that another consumer has meanwhile is left to it.
func (q *Queue) Keep(ctx context.Context, msg *taskq.Message) error {
	pending, err := q.client.Client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: q.stream, Group: group, Start: msg.ID, End: msg.ID, Count: 1,
	}).Result()
	if err != nil {
		return fmt.Errorf("keep message %s: %w", msg.ID, err)
	}
	if len(pending) == 0 {
		return nil // released, deleted, or Redis was emptied
	}
	err = q.client.XClaimJustID(ctx, &redis.XClaimArgs{
		Stream: q.stream, Group: group, Consumer: pending[0].Consumer, Messages: []string{msg.ID},
	}).Err()
	if err != nil {
		return fmt.Errorf("keep message %s: %w", msg.ID, err)
	}
	return nil
}
