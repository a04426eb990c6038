package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redis/redis/v8"
)

// group is the consumer group that redisq uses.
const group = "taskq"

// commandTimeout bounds a command whose own context must not.
const commandTimeout = 10 * time.Second

// client is the Redis client that redisq talks to.
type client struct {
	*redis.Client
	// reservation is how long a delivered message may be idle.
	reservation time.Duration
}

// uncancelled is ctx without its end. redisq hands over the context of a
// handler, which has ended when the process stops, and once none at all.
func uncancelled(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
}

// streamLife is how long a queue that nothing is added to stays. One that is
// needed after all is filled again by the reconciler.
const streamLife = 7 * 24 * time.Hour

// XAdd sends a message whatever has become of ctx. Every job has a queue of its
// own, and nobody removes it: so it goes by itself.
func (c *client) XAdd(ctx context.Context, a *redis.XAddArgs) *redis.StringCmd {
	ctx, cancel := uncancelled(ctx)
	defer cancel()
	cmd := c.Client.XAdd(ctx, a)
	if cmd.Err() == nil {
		c.Client.Expire(ctx, a.Stream, streamLife)
	}
	return cmd
}

// ZAdd sends a delayed message whatever has become of ctx.
func (c *client) ZAdd(ctx context.Context, key string, members ...*redis.Z) *redis.IntCmd {
	ctx, cancel := uncancelled(ctx)
	defer cancel()
	return c.Client.ZAdd(ctx, key, members...)
}

// XAck acknowledges whatever has become of ctx.
func (c *client) XAck(ctx context.Context, stream, group string, ids ...string) *redis.IntCmd {
	ctx, cancel := uncancelled(ctx)
	defer cancel()
	return c.Client.XAck(ctx, stream, group, ids...)
}

// XDel deletes whatever has become of ctx.
func (c *client) XDel(ctx context.Context, stream string, ids ...string) *redis.IntCmd {
	ctx, cancel := uncancelled(ctx)
	defer cancel()
	return c.Client.XDel(ctx, stream, ids...)
}

// TxPipeline returns a pipeline that is sent whatever has become of the
// context: it is how a message is given back.
func (c *client) TxPipeline() redis.Pipeliner {
	return &pipeline{Pipeliner: c.Client.TxPipeline()}
}

type pipeline struct{ redis.Pipeliner }

func (p *pipeline) Exec(ctx context.Context) ([]redis.Cmder, error) {
	ctx, cancel := uncancelled(ctx)
	defer cancel()
	return p.Pipeliner.Exec(ctx)
}

// XReadGroup drops messages that are none: redisq would panic on them.
func (c *client) XReadGroup(ctx context.Context, a *redis.XReadGroupArgs) *redis.XStreamSliceCmd {
	cmd := c.Client.XReadGroup(ctx, a)
	streams, err := cmd.Result()
	if err != nil {
		return cmd
	}
	left := 0
	for i := range streams {
		whole := streams[i].Messages[:0]
		for _, m := range streams[i].Messages {
			if _, ok := m.Values["body"].(string); ok {
				whole = append(whole, m)
				continue
			}
			// Whoever sent it meant somebody else; nothing waits for it.
			c.XAck(ctx, streams[i].Stream, a.Group, m.ID)
			c.XDel(ctx, streams[i].Stream, m.ID)
		}
		streams[i].Messages = whole
		left += len(whole)
	}
	if left == 0 {
		cmd.SetErr(redis.Nil) // as if nothing had come in time
	}
	return cmd
}

// XPendingExt lists what has been idle for a reservation. redisq asks for what
// was sent before a moment; that bound is left out.
func (c *client) XPendingExt(ctx context.Context, a *redis.XPendingExtArgs) *redis.XPendingExtCmd {
	idle := *a
	idle.Idle, idle.End = c.reservation, "+"
	return c.Client.XPendingExt(ctx, &idle)
}

// XGroupDelConsumer deletes a consumer only if nothing is pending for it:
// with it its pending messages would go, undelivered for ever.
func (c *client) XGroupDelConsumer(ctx context.Context, stream, group, consumer string) *redis.IntCmd {
	pending, err := c.Client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: stream, Group: group, Consumer: consumer, Start: "-", End: "+", Count: 1,
	}).Result()
	if err != nil || len(pending) > 0 {
		cmd := redis.NewIntCmd(ctx, "xgroup", "delconsumer", stream, group, consumer)
		cmd.SetErr(err)
		return cmd
	}
	return c.Client.XGroupDelConsumer(ctx, stream, group, consumer)
}

// XInfoConsumers reads the list by the names of its fields: servers since 7.2
// send more of them than go-redis v8 knows.
func (c *client) XInfoConsumers(ctx context.Context, key, group string) *redis.XInfoConsumersCmd {
	cmd := redis.NewXInfoConsumersCmd(ctx, key, group)
	raw, err := c.Do(ctx, "xinfo", "consumers", key, group).Slice()
	if err != nil {
		cmd.SetErr(err)
		return cmd
	}
	all, err := parseConsumers(raw)
	cmd.SetVal(all)
	cmd.SetErr(err)
	return cmd
}

func parseConsumers(raw []any) (all []redis.XInfoConsumer, err error) {
	for _, entry := range raw {
		fields, ok := entry.([]any)
		if !ok || len(fields)%2 != 0 {
			return nil, errors.New("parse XINFO CONSUMERS: an entry is no list of pairs")
		}
		var x redis.XInfoConsumer
		for i := 0; i < len(fields); i += 2 {
			var ok bool
			switch fields[i] {
			case "name":
				x.Name, ok = fields[i+1].(string)
			case "pending":
				x.Pending, ok = fields[i+1].(int64)
			case "idle":
				x.Idle, ok = fields[i+1].(int64)
			default:
				ok = true
			}
			if !ok {
				return nil, fmt.Errorf("parse XINFO CONSUMERS: field %v is a %T", fields[i], fields[i+1])
			}
		}
		all = append(all, x)
	}
	return all, nil
}
