package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/checkpoint/embedded"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/replay"
	"github.com/standpipe/standpipe/sink"
)

// freePrefix refuses a prefix that the live configuration writes to, or that
// leads nowhere.
func freePrefix(c *config.Config, prefix string, now time.Time) error {
	if !strings.HasSuffix(prefix, "/") || !fs.ValidPath(strings.TrimSuffix(prefix, "/")) {
		return fmt.Errorf("--to-prefix %s: give a path that ends in a slash, as again/2026-11-22/", prefix)
	}
	codec, err := codecOf(c)
	if err != nil {
		return err
	}
	keyer, err := keyerOf(c, codec)
	if err != nil {
		return err
	}
	first := func(key string) string {
		head, _, _ := strings.Cut(key, "/")
		return head
	}
	d := c.ExtendedS3DestinationConfiguration
	live := []string{keyer.Route(now), keyer.ErrorRoute("processing-failed", now), "_standpipe/"}
	for _, static := range []string{d.Prefix, d.ErrorOutputPrefix} {
		if static, _, _ = strings.Cut(static, "!{"); static != "" {
			live = append(live, static)
		}
	}
	for _, l := range live {
		if first(l) == first(prefix) || strings.HasPrefix(prefix, l) || strings.HasPrefix(l, prefix) {
			return fmt.Errorf("--to-prefix %s: the live configuration writes to %s; give a prefix beside it, as again/%s", prefix, l, prefix)
		}
	}
	return nil
}

// A job is what a replay into a prefix was asked for, and its plan. It is fixed
// by the first run: "now" is the same moment in every later one.
type job struct {
	Schema int                 `json:"schema"`
	Prefix string              `json:"prefix"`
	From   string              `json:"from"`
	To     string              `json:"to"`
	Shards []string            `json:"shards"`
	Ranges []replay.ShardRange `json:"ranges"`
}

const (
	jobSchema = 1
	jobFile   = "replay.json"
)

func (k *replayCommand) statePath(c *config.Config) string {
	if k.State != "" {
		return k.State
	}
	return filepath.Join(c.Standpipe.Checkpoint.Path, "replay", strings.ReplaceAll(strings.TrimSuffix(k.ToPrefix, "/"), "/", "+"))
}

func (k *replayCommand) deliver(ctx context.Context, c *config.Config, settings aws.Config, r request, log *zap.Logger, out *console) error {
	live, closeSink, err := openSink(c, settings)
	if err != nil {
		return err
	}
	defer func() { _ = closeSink() }()
	dir := k.statePath(c)
	store, err := embedded.Open(dir)
	if err != nil {
		return err
	}
	defer store.Close()
	reader, err := openReplaying(ctx, c, settings, k.Rate, sink.Under(live, k.ToPrefix), store, log)
	if err != nil {
		return err
	}
	defer reader.close()
	j, err := k.job(ctx, c, dir, reader, r, settings, out)
	if err != nil || k.DryRun {
		return err
	}
	var done atomic.Int64
	work := newCrew(ctx, k.Parallel)
	for _, one := range j.Ranges {
		err := work.do(func(ctx context.Context) error {
			finished, err := reader.Deliver(ctx, one.Shard, one.From, one.End)
			if err != nil {
				return fmt.Errorf("replay %s: %w", one.Shard.ID, err)
			}
			if finished {
				done.Add(1)
				log.Info("range replayed", zap.String("shard", string(one.Shard.ID)))
			}
			return nil
		})
		if err != nil {
			break
		}
	}
	if err := work.wait(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stdout, "%s replayed to %s\n", amount(done.Load(), "shard"), strings.TrimSuffix(live.Location(), "/")+"/"+k.ToPrefix)
	return err
}

// job reads what the first run decided, or decides it.
func (k *replayCommand) job(ctx context.Context, c *config.Config, dir string, reader replaying, r request, settings aws.Config, out *console) (j job, err error) {
	asked := job{Schema: jobSchema, Prefix: k.ToPrefix, From: k.From, To: k.To, Shards: k.Shard}
	name := filepath.Join(dir, jobFile)
	b, err := os.ReadFile(name)
	if err == nil {
		if err := json.Unmarshal(b, &j); err != nil {
			return j, fmt.Errorf("read %s: %w", name, err)
		}
		asked.Ranges = j.Ranges
		if !reflect.DeepEqual(asked, j) {
			return j, usagef("%s holds a replay from %q to %q of shards %q into %s: give the same flags to go on with it, or another --to-prefix",
				dir, j.From, j.To, j.Shards, j.Prefix)
		}
		return j, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return j, err
	}
	if err := retained(r, reader.stream, time.Now(), out); err != nil {
		return j, err
	}
	if err := k.unused(ctx, c, settings); err != nil {
		return j, err
	}
	if asked.Ranges, err = replay.Ranges(reader.shards, r.Range, time.Now()); err != nil {
		return j, usage(err)
	}
	if k.DryRun {
		_, err := fmt.Fprintf(out.stdout, "%s would be replayed\n", amount(int64(len(asked.Ranges)), "shard"))
		return asked, err
	}
	if b, err = json.MarshalIndent(asked, "", " "); err != nil {
		return j, err
	}
	return asked, writeFile(name, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// unused refuses a prefix that already holds an archive of which nobody here
// knows how far it has come: its records would be there twice.
func (k *replayCommand) unused(ctx context.Context, c *config.Config, settings aws.Config) error {
	place := strings.TrimSuffix(placeOf(c), "/") + "/" + k.ToPrefix
	if c.Standpipe.Folder != "" {
		if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	store, err := archive.Open(ctx, place, archive.WithS3(func(context.Context) (*s3.Client, error) { return bucketClient(c, settings), nil }))
	if err != nil {
		return err
	}
	found, err := hasManifests(ctx, store)
	if found {
		return usagef("%s holds an archive already: give another --to-prefix, or the --state of the replay that wrote it", place)
	}
	return err
}
