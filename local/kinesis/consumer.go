package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// The quotas of fan-out (API reference, RegisterStreamConsumer).
const (
	consumersMax         = 20
	consumersCreatingMax = 5
)

// A consumer is an application registered for fan-out. Its fields are guarded
// by its stream's lock.
type consumer struct {
	name     string
	created  int64  // ms
	changing string // creating or deleting until ready
	ready    int64  // ms
	tags     map[string]string
	policy   string
	subs     map[uint32]*subscription // the live one of each shard
}

// status is "" when the consumer is gone.
func (k *consumer) status(now int64) string {
	switch {
	case now < k.ready:
		return k.changing
	case k.changing == deleting:
		return ""
	}
	return active
}

// arn holds the creation time: a consumer made anew has another ARN.
func (k *consumer) arn(st *stream) string {
	return fmt.Sprintf("%s/consumer/%s:%d", st.arn, k.name, k.created/1000)
}

type (
	consumerShape struct {
		ConsumerName              string
		ConsumerARN               string
		ConsumerStatus            string
		ConsumerCreationTimestamp instant
	}
	consumerDescription struct {
		consumerShape
		StreamARN string
	}
)

func (k *consumer) shape(st *stream, now int64) consumerShape {
	return consumerShape{k.name, k.arn(st), k.status(now), instant(k.created)}
}

var consumerARN = regexp.MustCompile(`^(.+:stream/[a-zA-Z0-9_.-]+)/consumer/([a-zA-Z0-9_.-]+):[0-9]+$`)

// splitConsumerARN returns the stream's ARN and the consumer's name, or the
// ARN as it is and "".
func splitConsumerARN(arn string) (stream, name string) {
	m := consumerARN.FindStringSubmatch(arn)
	if m == nil {
		return arn, ""
	}
	return m[1], m[2]
}

func consumerNotFound(who, account string) error {
	return notFound("Consumer %s, account %s not found.", who, account)
}

// consumersNow returns the consumers there are, by name; the caller holds mu.
func (st *stream) consumersNow(now int64) []*consumer {
	list := make([]*consumer, 0, len(st.consumers))
	for _, k := range st.consumers {
		if k.status(now) != "" {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b *consumer) int { return strings.Compare(a.name, b.name) })
	return list
}

// consumerByARN and consumerByName return nil when there is none; the caller
// holds mu.
func (st *stream) consumerByARN(arn string, now int64) *consumer {
	for _, k := range st.consumersNow(now) {
		if k.arn(st) == arn {
			return k
		}
	}
	return nil
}

func (st *stream) consumerByName(name string, now int64) *consumer {
	for _, k := range st.consumersNow(now) {
		if k.name == name {
			return k
		}
	}
	return nil
}

func (s *Server) registerConsumer(c *call) (any, error) {
	var in struct {
		streamRef
		ConsumerName *string
		Tags         map[string]string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.checkARN(&v)
	v.text(in.ConsumerName, "consumerName", true, 1, 128, namePattern)
	v.tags(in.Tags)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.find(in.streamRef, c.now)
	if err != nil {
		return nil, err
	}
	tags, err := addTags(nil, in.Tags, "consumer "+*in.ConsumerName)
	if err != nil {
		return nil, err
	}
	k, err := s.addConsumer(st, *in.ConsumerName, tags, c.now)
	if err != nil {
		return nil, err
	}
	return struct{ Consumer consumerShape }{k}, nil
}

func (s *Server) addConsumer(st *stream, name string, tags map[string]string, at time.Time) (consumerShape, error) {
	now := at.UnixMilli()
	st.mu.Lock()
	defer st.mu.Unlock()
	if status := st.status(now); status != active && status != updating {
		return consumerShape{}, notActive(st.name, s.cfg.Account, status)
	}
	if st.consumerByName(name, now) != nil {
		return consumerShape{}, inUse("Consumer %s under stream %s already exists for account %s.", name, st.name, s.cfg.Account)
	}
	old, making := st.consumersNow(now), 0
	for _, k := range old {
		if k.status(now) == creating {
			making++
		}
	}
	if len(old) >= consumersMax || making >= consumersCreatingMax {
		return consumerShape{}, limitExceeded("Stream %s under account %s can have %d registered consumers, and %d being created at a time.", st.name, s.cfg.Account, consumersMax, consumersCreatingMax)
	}
	k := &consumer{name: name, created: now, changing: creating, ready: at.Add(s.cfg.CreateDelay).UnixMilli(), tags: tags}
	// The ARN tells seconds: made anew within one, a consumer would be the old one.
	for _, gone := range st.consumers {
		if gone.name == name && gone.created/1000 >= k.created/1000 {
			k.created = gone.created + 1000
		}
	}
	all := st.consumers
	st.consumers = append(slices.DeleteFunc(slices.Clone(all), func(k *consumer) bool { return k.name == name }), k)
	if err := st.save(); err != nil {
		st.consumers = all
		s.log.Error("consumer not saved", zap.String("stream", st.name), zap.Error(err))
		return consumerShape{}, internalFailure()
	}
	out := k.shape(st, now)
	out.ConsumerStatus = creating // whatever the delay: clients wait for ACTIVE
	return out, nil
}

// A consumerRef is how a request names its consumer: by ARN, or by the
// stream's ARN and its name.
type consumerRef struct {
	StreamARN    *string
	ConsumerName *string
	ConsumerARN  *string
}

// resolve finds stream and consumer and runs do with the stream locked.
func (s *Server) resolve(c *call, do func(st *stream, k *consumer) error) error {
	var in consumerRef
	if err := c.decode(&in); err != nil {
		return err
	}
	var v violations
	v.text(in.StreamARN, "streamARN", false, 1, 2048, streamARNRule)
	v.text(in.ConsumerName, "consumerName", false, 1, 128, namePattern)
	v.text(in.ConsumerARN, "consumerARN", false, 1, 2048, consumerRule)
	if err := v.err(); err != nil {
		return err
	}
	streamName := text(in.StreamARN)
	if in.ConsumerARN != nil {
		of, name := splitConsumerARN(*in.ConsumerARN)
		if in.StreamARN != nil && *in.StreamARN != of || in.ConsumerName != nil && *in.ConsumerName != name {
			return invalidArgument("ConsumerARN %s does not match StreamARN and ConsumerName.", *in.ConsumerARN)
		}
		streamName = of
	} else if in.StreamARN == nil || in.ConsumerName == nil {
		return invalidArgument("Either ConsumerARN or both StreamARN and ConsumerName must be provided.")
	}
	st, err := s.find(streamRef{StreamARN: &streamName}, c.now)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if in.ConsumerARN != nil {
		if k := st.consumerByARN(*in.ConsumerARN, c.now.UnixMilli()); k != nil {
			return do(st, k)
		}
		return consumerNotFound(*in.ConsumerARN, s.cfg.Account)
	}
	if k := st.consumerByName(*in.ConsumerName, c.now.UnixMilli()); k != nil {
		return do(st, k)
	}
	return consumerNotFound(*in.ConsumerName, s.cfg.Account)
}

func (s *Server) deregisterConsumer(c *call) (any, error) {
	return nil, s.resolve(c, func(st *stream, k *consumer) error {
		changing, ready := k.changing, k.ready
		k.changing, k.ready = deleting, c.now.Add(s.cfg.CreateDelay).UnixMilli()
		if err := st.save(); err != nil {
			k.changing, k.ready = changing, ready
			s.log.Error("consumer not saved", zap.String("stream", st.name), zap.Error(err))
			return internalFailure()
		}
		k.hangUp(consumerNotFound(k.arn(st), s.cfg.Account))
		return nil
	})
}

func (s *Server) describeConsumer(c *call) (any, error) {
	var out struct{ ConsumerDescription consumerDescription }
	return &out, s.resolve(c, func(st *stream, k *consumer) error {
		out.ConsumerDescription = consumerDescription{k.shape(st, c.now.UnixMilli()), st.arn}
		return nil
	})
}

// A consumersToken is the NextToken of ListStreamConsumers.
type consumersToken struct {
	Stream  string // ARN
	Created int64  // of the stream, ms
	After   string
	Issued  int64 // ms
}

func (s *Server) listConsumers(c *call) (any, error) {
	var in struct {
		streamRef
		NextToken               *string
		MaxResults              *int64
		StreamCreationTimestamp *instant
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.checkARN(&v)
	v.text(in.NextToken, "nextToken", false, 1, 1<<20, "")
	v.number(in.MaxResults, "maxResults", false, 1, pageMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	var token consumersToken
	if in.NextToken != nil {
		if err := unsealJSON(consumersKind, *in.NextToken, &token); err != nil {
			return nil, err
		}
		if err := checkTokenAge(token.Issued, c.now); err != nil {
			return nil, err
		}
		if token.Stream != *in.StreamARN {
			return nil, invalidArgument("NextToken does not belong to stream %s.", *in.StreamARN)
		}
	}
	st, err := s.find(in.streamRef, c.now)
	if err != nil {
		return nil, err
	}
	if in.NextToken != nil && token.Created != st.created ||
		in.StreamCreationTimestamp != nil && int64(*in.StreamCreationTimestamp)/1000 != st.created/1000 {
		return nil, streamNotFound(st.name, s.cfg.Account)
	}
	limit := 100
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := struct {
		Consumers []consumerShape
		NextToken string `json:",omitempty"`
	}{Consumers: []consumerShape{}}
	now := c.now.UnixMilli()
	st.mu.RLock()
	defer st.mu.RUnlock()
	for _, k := range st.consumersNow(now) {
		if k.name <= token.After {
			continue
		}
		if len(out.Consumers) == limit {
			out.NextToken = sealJSON(consumersKind, consumersToken{st.arn, st.created, out.Consumers[limit-1].ConsumerName, now})
			break
		}
		out.Consumers = append(out.Consumers, k.shape(st, now))
	}
	return out, nil
}
