package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/sink"
)

// keyVersion is the configuration's version in object names. Firehose raises
// it with every change of the configuration; here a file has no history.
const keyVersion = 1

// loadConfig reads a configuration with every rule there is. A wrong one is
// shown whole, each problem under its line, and ends with the usage code.
func loadConfig(path string, out *console) (*config.Config, error) {
	c, err := validators().Load(path)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		out.mu.Lock()
		defer out.mu.Unlock()
		if err := problems.Render(out.stderr); err != nil {
			return nil, err
		}
		return nil, usagef("%s has %s", path, plural(len(problems), "problem"))
	}
	if err != nil {
		return nil, usage(err)
	}
	return c, nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// validators lends package config the rules of prefixes, which are package sink's.
func validators() config.Validators {
	problems := func(c sink.KeyConfig) (messages []string) {
		c.StreamName, c.Version = "s", keyVersion
		_, err := sink.NewKeyer(c)
		for _, e := range keyErrors(err) {
			messages = append(messages, e.Message)
		}
		return messages
	}
	return config.Validators{
		Prefix: func(prefix, errorPrefix string) []string {
			return problems(sink.KeyConfig{Prefix: prefix, ErrorPrefix: errorPrefix})
		},
		TimeZone: func(name string) error {
			if m := problems(sink.KeyConfig{TimeZone: name}); len(m) > 0 {
				return errors.New(strings.Join(m, "; "))
			}
			return nil
		},
	}
}

// keyErrors takes the single problems out of NewKeyer's error.
func keyErrors(err error) (found []*sink.KeyError) {
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case nil:
	case *sink.KeyError:
		found = append(found, e)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			found = append(found, keyErrors(one)...)
		}
	case interface{ Unwrap() error }:
		return keyErrors(e.Unwrap())
	}
	return found
}

var codecs = map[config.Codec]sink.Format{
	config.CodecGZIP: sink.Gzip, config.CodecZSTD: sink.Zstd, config.CodecNone: sink.None,
}

func codecOf(c *config.Config) (sink.Codec, error) {
	format, level := c.Codec()
	return sink.NewCodec(codecs[format], level)
}

func keyerOf(c *config.Config, codec sink.Codec) (*sink.Keyer, error) {
	d := c.ExtendedS3DestinationConfiguration
	return sink.NewKeyer(sink.KeyConfig{
		Prefix: d.Prefix, ErrorPrefix: d.ErrorOutputPrefix, StreamName: c.DeliveryStreamName, Version: keyVersion,
		TimeZone: d.CustomTimeZone, FileExtension: d.FileExtension, Codec: codec,
	})
}

// settingsOf are the worker's settings for a configuration. Config's words are
// delivery's and consumer's own, so most of it is a conversion.
func settingsOf(c *config.Config, worker string) delivery.Settings {
	s, hints := c.Standpipe, c.ExtendedS3DestinationConfiguration.BufferingHints
	return delivery.Settings{
		Worker: worker, Delivery: c.DeliveryStreamName,
		Start: consumer.Start{
			Position: standpipe.Position{Sequence: string(s.StartingPosition.At)}, Time: s.StartingPosition.Time,
		},
		RecordFormat:   delivery.RecordFormat(s.RecordFormat),
		Deaggregation:  consumer.Deaggregation(s.Deaggregation),
		OldestInObject: s.PartitionTime == config.PartitionOldest,
		AtLeastOnce:    s.Delivery == config.AtLeastOnce,
		Limits: batcher.Limits{
			Bytes: hints.Size(), Age: hints.Interval(), Records: int64(s.BatchRecords), Batches: openPrefixesMax,
		},
		Absence: delivery.Absence{
			AbortAfter: s.AbortIncompleteAfter.Std(), Ambiguous: delivery.Ambiguous(s.OnAbsent),
		},
		DrainTimeout: s.DrainTimeout.Std(),
		Lease:        leaseOf(s),
	}
}

// leaseOf is how the worker shares its stream. Stores that only one process can
// open need no sign of life: whatever was leased there is this process's own.
func leaseOf(s config.Standpipe) delivery.LeaseSettings {
	l := delivery.LeaseSettings{Capacity: s.Lease.MaxShards, Version: build().Version, Address: s.StatusAddress}
	switch s.Checkpoint.Type {
	case config.CheckpointEmbedded, config.CheckpointMemory:
	default:
		l.Duration = s.Lease.Duration.Std()
	}
	return l
}

// openPrefixesMax bounds the objects of one flush of a shard: Firehose's
// default quota of active partitions.
const openPrefixesMax = 500
