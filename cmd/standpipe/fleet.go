package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/status"
)

const (
	// asksAtOnce bounds the shards that status asks Kinesis about at a time; a
	// page of each is held, 10 MiB at most.
	asksAtOnce = 8
	// pagesAsked bounds the pages that are read to find one record: Kinesis
	// gives empty ones while it searches.
	pagesAsked = 20
	// timeOfShard is how much longer the asking may take for each shard there
	// is: 800 ms for each of those that are asked at a time.
	timeOfShard = 100 * time.Millisecond
	// triesAsked is how often an answer may be wanting that can still come: a reader
	// believes at the third time that a shard has left the stream.
	triesAsked = 3
)

// storeReport is the report of a fleet from outside: the rows of its store, and
// of the stream the first record of each shard that is not delivered yet.
func storeReport(ctx context.Context, c *config.Config, region string, now time.Time) (status.Report, error) {
	r := status.Report{
		Schema: status.SchemaVersion, Time: now.UTC(),
		Stream: status.Stream{
			Delivery: c.DeliveryStreamName, Name: c.KinesisStreamSourceConfiguration.StreamName(),
			ARN: c.KinesisStreamSourceConfiguration.KinesisStreamARN, Destination: destinationOf(c),
		},
		FreshnessLimitSeconds: status.SecondsOf(c.ExtendedS3DestinationConfiguration.BufferingHints.Interval()),
	}
	if c.Standpipe.Checkpoint.Type == config.CheckpointMemory {
		return r, usagef("Standpipe.Checkpoint.Type is memory: only the running process knows, ask it without --config")
	}
	settings, err := loadAWS(ctx, region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return r, err
	}
	roster, err := rosterOf(ctx, c, settings)
	if err != nil {
		return r, err
	}
	client := kinesisClient(c, settings)
	defer client.Close()
	shards, fleet := delivery.AtRest(roster)
	for i, err := range undelivered(ctx, client, roster, shards) {
		if err != nil {
			shards[i].Error = fmt.Sprintf("what waits in the stream is not known: %v", err)
		}
	}
	fill(&r, shards, fleet, "", now)
	return r, nil
}

// rosterOf opens the store, reads it and closes it.
func rosterOf(ctx context.Context, c *config.Config, settings aws.Config) (roster checkpoint.Roster, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	store, err := openStore(ctx, c, settings)
	if err != nil {
		if c.Standpipe.Checkpoint.Type == config.CheckpointEmbedded {
			return roster, fmt.Errorf("%w; a running process answers `standpipe status` without --config", err)
		}
		return roster, err
	}
	roster, err = store.Roster(ctx)
	if err := errors.Join(err, store.Close()); err != nil {
		return roster, fmt.Errorf("read the leases: %w", err)
	}
	return roster, nil
}

// destinationOf is where the objects go, without asking anything of it.
func destinationOf(c *config.Config) string {
	if dir := c.Standpipe.Folder; dir != "" {
		return "file://" + dir
	}
	return "s3://" + c.ExtendedS3DestinationConfiguration.Bucket()
}

// undelivered asks the stream for the first record after each checkpoint and
// puts its age into shards, whose order is that of the leases. What could not
// be had is an error of that shard alone.
func undelivered(ctx context.Context, client *consumer.Client, roster checkpoint.Roster, shards []delivery.ShardStatus) []error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout+time.Duration(len(shards))*timeOfShard)
	defer cancel()
	failed := make([]error, len(shards))
	var group errgroup.Group
	group.SetLimit(asksAtOnce)
	for i, l := range roster.Leases {
		if st := &shards[i]; st.State == delivery.StateElsewhere || st.State == delivery.StateUnowned {
			group.Go(func() error {
				failed[i] = first(ctx, client, l, st)
				return nil
			})
		}
	}
	_ = group.Wait() // its functions return no error
	return failed
}

// first reads until there is a record, or nothing more to read.
func first(ctx context.Context, client *consumer.Client, l checkpoint.Lease, st *delivery.ShardStatus) error {
	reader := client.Open(standpipe.Shard{ID: l.Shard, Parents: l.Parents, HashStart: l.HashStart, HashEnd: l.HashEnd},
		consumer.Start{Position: l.Checkpoint, Time: l.StartTime, Seen: l.Seen, Inside: l.Adopted()})
	defer reader.Done()
	failures := 0
	for range pagesAsked {
		if err := backoff.Sleep(ctx, time.Until(reader.Ready())); err != nil {
			return err
		}
		err := reader.Fetch(ctx, reader.Estimate())
		var page *consumer.Page
		if err == nil {
			page, err = reader.Decode()
		}
		if err != nil {
			if failures++; failures == triesAsked || ctx.Err() != nil || standpipe.ClassOf(err) != standpipe.Retryable {
				return err
			}
			continue
		}
		st.Behind, st.ReadAt = page.Behind, page.ReadAt
		switch {
		case len(page.Records) > 0:
			st.OldestArrival = page.Records[0].Arrival
			return nil
		case page.End, page.Behind == 0:
			return nil
		}
		reader.Done()
	}
	return fmt.Errorf("no record in %d pages, and Kinesis says there are some", pagesAsked)
}
