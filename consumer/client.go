package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/backoff"
)

// callTimeout bounds one request and the reading of its answer. The SDK has no
// read deadline of its own for Kinesis: without this one a silent connection
// would hold a shard for ever. 16 MiB in 15 s is 1.1 MiB/s; where that is too
// much, see sizes.slow.
const callTimeout = 15 * time.Second

// A Client talks to one stream. It is safe for concurrent use by any number of
// readers.
type Client struct {
	api  *kinesis.Client
	name string
	arn  atomic.Pointer[string]
	// retention as Describe last saw it, in nanoseconds; 0 is unknown.
	retention atomic.Int64
	pool      bufferPool
	parsed    sync.Pool // of *parsed
	fallbacks atomic.Int64
	settings  settings

	mu  sync.Mutex
	rnd *rand.Rand // guarded by mu: jitter of the control calls
}

type settings struct {
	limits Limits
	seed   uint64
	kopts  []func(*kinesis.Options)
}

// An Option changes a Client at its construction.
type Option func(*settings)

// WithLimits sets the pace of every reader, see Limits.
func WithLimits(l Limits) Option { return func(s *settings) { s.limits = l } }

// WithSeed fixes the jitter of the client and of its readers, so that a
// simulation can be repeated. Without it the seed is random.
func WithSeed(seed uint64) Option { return func(s *settings) { s.seed = seed } }

// WithKinesisOptions passes options to the SDK's client. They run before the
// client's own protocol and retryer are set, which cannot be replaced.
func WithKinesisOptions(o ...func(*kinesis.Options)) Option {
	return func(s *settings) { s.kopts = append(s.kopts, o...) }
}

// NewClient returns a client for a stream given by name or by ARN. Region,
// credentials, endpoint (AWS_ENDPOINT_URL_KINESIS or BaseEndpoint) and
// certificates (AWS_CA_BUNDLE) come from cfg. A cfg.HTTPClient that is not the
// SDK's own kind is used as it is; otherwise the client has its own HTTP/1.1
// transport, see newHTTPClient.
//
// The SDK's retries are off: a shard's reader has its own back-off, and one
// token bucket for all shards would let one throttled shard starve the rest.
func NewClient(cfg aws.Config, stream string, opts ...Option) *Client {
	s := settings{limits: DefaultLimits(), seed: backoff.Seed()}
	for _, o := range opts {
		o(&s)
	}
	c := &Client{name: stream, settings: s, rnd: rand.New(rand.NewPCG(s.seed, 0))}
	if strings.HasPrefix(stream, "arn:") {
		c.arn.Store(&stream)
		c.name = stream[strings.LastIndexByte(stream, '/')+1:]
	}
	kopts := append(s.kopts, func(o *kinesis.Options) {
		o.HTTPClient = newHTTPClient(o.HTTPClient)
		o.Protocol = &pageProtocol{ClientProtocol: o.Protocol, pool: &c.pool}
		o.Retryer = aws.NopRetryer{}
		o.RetryMaxAttempts = 1
	})
	c.api = kinesis.NewFromConfig(cfg, kopts...)
	return c
}

// Close closes idle connections; those in use close after their call. Calls
// made later open new ones.
func (c *Client) Close() {
	if h, ok := c.api.Options().HTTPClient.(repeatable); ok {
		if idle, ok := h.next.(interface{ CloseIdleConnections() }); ok {
			idle.CloseIdleConnections()
		}
	}
}

// Name is the stream's name, also when the client was given an ARN.
func (c *Client) Name() string { return c.name }

// Fallbacks counts the pages the fast decoder gave to the SDK's decoder.
// Nothing is lost when it rises, only speed; it should stay at 0.
func (c *Client) Fallbacks() int64 { return c.fallbacks.Load() }

// Describe asks for the stream's identity and retention (DescribeStreamSummary).
// From then on the client sends the ARN with every call, which AWS recommends
// and cross-account access needs, and readers know the retention their gap
// rules depend on: call it before Open, and again from time to time.
// A stream in status UPDATING is read like any other; DELETING and CREATING
// are not errors here either. NotFound when there is no such stream.
func (c *Client) Describe(ctx context.Context) (standpipe.Stream, error) {
	var out *kinesis.DescribeStreamSummaryOutput
	err := c.control(ctx, "describe stream "+c.name, func(ctx context.Context) (err error) {
		out, err = c.api.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{
			StreamName: &c.name, StreamARN: c.arn.Load(),
		})
		if err == nil && out.StreamDescriptionSummary == nil {
			err = errors.New("the answer has no description")
		}
		return err
	})
	if err != nil {
		return standpipe.Stream{}, err
	}
	d := out.StreamDescriptionSummary
	if arn := aws.ToString(d.StreamARN); arn != "" {
		c.arn.Store(&arn)
	}
	s := standpipe.Stream{
		Name:      c.name,
		ARN:       aws.ToString(c.arn.Load()),
		Created:   aws.ToTime(d.StreamCreationTimestamp),
		Retention: time.Duration(aws.ToInt32(d.RetentionPeriodHours)) * time.Hour,
	}
	c.retention.Store(int64(s.Retention))
	return s, nil
}

// listRestarts bounds how often one listing begins again because its token
// expired (a token lives 300 s, a page of 1000 shards takes milliseconds).
const listRestarts = 3

// Shards lists every shard that is still retained, open and closed, without
// duplicates, in the order of the answer. It reads all pages: a stream with
// more than 1000 shards has several. It works while the stream is UPDATING.
func (c *Client) Shards(ctx context.Context) ([]standpipe.Shard, error) {
	for restart := 0; ; restart++ {
		shards, err := c.listAll(ctx)
		var expired *types.ExpiredNextTokenException
		if errors.As(err, &expired) && restart < listRestarts {
			continue
		}
		return shards, err
	}
}

func (c *Client) listAll(ctx context.Context) ([]standpipe.Shard, error) {
	var shards []standpipe.Shard
	seen := make(map[standpipe.ShardID]bool)
	// A token excludes the stream's name (ValidationException otherwise).
	in := &kinesis.ListShardsInput{StreamName: &c.name, StreamARN: c.arn.Load()}
	for {
		var out *kinesis.ListShardsOutput
		err := c.control(ctx, "list shards of "+c.name, func(ctx context.Context) (err error) {
			out, err = c.api.ListShards(ctx, in)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, s := range out.Shards {
			if id := standpipe.ShardID(aws.ToString(s.ShardId)); id != "" && !seen[id] {
				seen[id] = true
				shards = append(shards, shardOf(s))
			}
		}
		token := aws.ToString(out.NextToken)
		if token == "" {
			return shards, nil
		}
		if token == aws.ToString(in.NextToken) {
			return nil, &standpipe.Error{
				Class: standpipe.Retryable, Op: "list shards of " + c.name,
				Err: errors.New("the next page's token is this page's token"),
			}
		}
		in = &kinesis.ListShardsInput{NextToken: &token}
	}
}

func shardOf(s types.Shard) standpipe.Shard {
	shard := standpipe.Shard{ID: standpipe.ShardID(aws.ToString(s.ShardId))}
	for _, p := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
		if id := aws.ToString(p); id != "" {
			shard.Parents = append(shard.Parents, standpipe.ShardID(id))
		}
	}
	if r := s.HashKeyRange; r != nil {
		shard.HashStart, shard.HashEnd = aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey)
	}
	if r := s.SequenceNumberRange; r != nil {
		shard.Closed = aws.ToString(r.EndingSequenceNumber) != ""
	}
	return shard
}

// controlAttempts is how often a control call is tried before its error is the
// caller's: about 1.5 s of waiting in all.
const controlAttempts = 4

// control makes one control-plane call, each attempt with its own deadline,
// and repeats what a repeat may heal.
func (c *Client) control(ctx context.Context, op string, call func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, op, call)
		if err == nil || ctx.Err() != nil || attempt == controlAttempts {
			return err
		}
		if class := standpipe.ClassOf(err); class != standpipe.Retryable && class != standpipe.Throttled {
			return err
		}
		var expired *types.ExpiredNextTokenException
		if errors.As(err, &expired) {
			return err
		}
		c.mu.Lock()
		jitter := c.rnd.Float64()
		c.mu.Unlock()
		wait := time.NewTimer(backOff(200*time.Millisecond, 5*time.Second, attempt, jitter))
		select {
		case <-ctx.Done():
			wait.Stop()
			return err
		case <-wait.C:
		}
	}
}

// once makes one call with its own deadline and classifies its error. When
// the caller's context ended, its cause is what is returned.
func (c *Client) once(ctx context.Context, op string, call func(context.Context) error) error {
	return c.within(ctx, callTimeout, op, call)
}

// within is once with another deadline.
func (c *Client) within(ctx context.Context, limit time.Duration, op string, call func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := call(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	case bounded.Err() != nil:
		return &standpipe.Error{
			Class: standpipe.Retryable, Op: op,
			Err: fmt.Errorf("no whole answer within %v: %w", limit, err),
		}
	}
	return classify(op, err)
}
