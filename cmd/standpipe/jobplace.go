package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vmihailenco/taskq/v3"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/jobplace"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/dynamodb"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/jobs/redis"
)

// A jobsFolder is where jobs are kept: --jobs of every command that has some.
type jobsFolder struct {
	Jobs string `env:"STANDPIPE_JOBS" placeholder:"PLACE" help:"Where jobs are kept: a folder of this machine (default: ./.standpipe/jobs), or for several machines redis://HOST:6379/0[?table=NAME&create=true]; see standpipe jobs --help."`

	// ctx and region come with the command line; config from of. The zero value
	// will do.
	ctx    context.Context
	region string
	config *config.Config
}

// AfterApply is called by kong. The context bounds connecting.
func (f *jobsFolder) AfterApply(ctx context.Context, g *globals) error {
	f.ctx, f.region = ctx, g.Region
	return nil
}

// of takes the place from a configuration, unless --jobs or STANDPIPE_JOBS names
// one; region, endpoint and name of a fleet's table come from it in either case.
func (f jobsFolder) of(c *config.Config) jobsFolder {
	f.Jobs, f.config = cmp.Or(f.Jobs, c.Standpipe.Jobs), c
	return f
}

// place is the parsed flag.
func (f jobsFolder) place() (jobplace.Place, error) {
	p, err := jobplace.Parse(cmp.Or(f.Jobs, jobplace.Default))
	if err != nil {
		return p, usagef("--jobs (or STANDPIPE_JOBS) %w", err)
	}
	return p, nil
}

// A jobBackend is a job store and the queue that goes with it.
type jobBackend interface {
	jobs.Store
	NewQueue(*taskq.QueueOptions) jobs.Queue
	// Alone reports whether nobody else can be at work while this is open.
	Alone() bool
}

// nodeJobs is the backend of one node: store and queue in one file.
type nodeJobs struct{ *embedded.Store }

func (n nodeJobs) NewQueue(o *taskq.QueueOptions) jobs.Queue { return n.Store.NewQueue(o) }

// Alone: the file is locked.
func (nodeJobs) Alone() bool { return true }

// fleetJobs is the backend of several: a table is the record, a Redis dispatches.
type fleetJobs struct {
	*dynamodb.Store
	redis *redis.Client
}

func (f fleetJobs) NewQueue(o *taskq.QueueOptions) jobs.Queue { return f.redis.NewQueue(o) }

func (fleetJobs) Alone() bool { return false }

func (f fleetJobs) Close() error { return errors.Join(f.Store.Close(), f.redis.Close()) }

// open opens, or makes, the store, and for a fleet checks that its table and its
// Redis are there. Close it.
func (f jobsFolder) open() (jobBackend, error) {
	p, err := f.place()
	if err != nil {
		return nil, err
	}
	if p.Fleet() {
		return f.fleet(p, redis.Dial)
	}
	store, err := embedded.Open(p.Folder)
	if err != nil {
		return nil, err
	}
	return nodeJobs{store}, nil
}

// there reports whether a store exists.
func (f jobsFolder) there() (bool, error) {
	p, err := f.place()
	if err != nil {
		return false, err
	}
	if p.Fleet() {
		b, err := f.existing()
		if err == nil {
			err = b.Close()
		} else if standpipe.ClassOf(err) == standpipe.NotFound {
			return false, nil
		}
		return err == nil, err
	}
	_, err = os.Stat(filepath.Join(p.Folder, embedded.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		err = fmt.Errorf("open the job store in %s: %w", p, err)
	}
	return err == nil, err
}

// existing opens a store that must be there: looking at jobs makes none. A
// fleet's Redis is not asked before its queue is used.
func (f jobsFolder) existing() (jobBackend, error) {
	p, err := f.place()
	if err != nil {
		return nil, err
	}
	if p.Fleet() {
		p.Create = false
		return f.fleet(p, func(_ context.Context, url string) (*redis.Client, error) { return redis.Open(url) })
	}
	there, err := f.there()
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, &standpipe.Error{
			Class: standpipe.NotFound, Op: "there is no job store in " + p.Folder,
			Hint: "--jobs names the place that was given to the command that began the job",
		}
	}
	return f.open()
}

// fleet opens the table, then the Redis.
func (f jobsFolder) fleet(p jobplace.Place, dial func(context.Context, string) (*redis.Client, error)) (_ jobBackend, err error) {
	ctx := f.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	store, err := f.table(ctx, p)
	if err != nil {
		return nil, err
	}
	check := store.Ready
	if p.Create {
		check = store.CreateTable
	}
	if err := check(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	client, err := dial(ctx, p.Redis)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return fleetJobs{store, client}, nil
}

// table is where the fleet's record is: beside the leases when a configuration
// is at hand, for the stream's region is where they are.
func (f jobsFolder) table(ctx context.Context, p jobplace.Place) (*dynamodb.Store, error) {
	name := dynamodb.DefaultTable
	if f.config == nil {
		settings, err := awsclient.Load(ctx, f.region)
		if err != nil {
			return nil, usage(err)
		}
		return dynamodb.New(settings, cmp.Or(p.Table, name)), nil
	}
	region := f.config.KinesisStreamSourceConfiguration.Region()
	settings, err := loadAWS(ctx, f.region, region)
	if err != nil {
		return nil, err
	}
	settings.Region = region
	s := f.config.Standpipe
	if s.Endpoint.DynamoDB != "" {
		settings.BaseEndpoint = &s.Endpoint.DynamoDB
	}
	if s.Checkpoint.Type == config.CheckpointDynamoDB {
		name = s.Checkpoint.Table + "-jobs"
	}
	return dynamodb.New(settings, cmp.Or(p.Table, name)), nil
}
