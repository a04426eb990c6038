package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/folder"
	"github.com/standpipe/standpipe/sink/s3"
	"github.com/standpipe/standpipe/verify"
)

// A root is an archive found from a place inside it.
type root struct {
	archive.Store
	// prefix is what of the archive was named, "" for all of it.
	prefix string
	client *awss3.Client // nil for a folder
}

// openRoot looks for the archive that place is or lies in: the place itself or
// the nearest one above that has manifests.
func openRoot(ctx context.Context, place string, client func(context.Context) (*awss3.Client, error)) (root, error) {
	var r root
	option := archive.WithS3(func(ctx context.Context) (_ *awss3.Client, err error) {
		if r.client == nil {
			r.client, err = client(ctx)
		}
		return r.client, err
	})
	at := strings.TrimRight(place, "/")
	if rest, remote := strings.CutPrefix(place, "s3://"); !remote {
		path, err := filepath.Abs(strings.TrimPrefix(place, "file://"))
		if err != nil {
			return r, usage(err)
		}
		at = path
	} else if bucket, _, _ := strings.Cut(rest, "/"); bucket == "" {
		return r, usagef("%s names no bucket: give s3://bucket/ or s3://bucket/prefix/", place)
	}
	for begin := at; ; {
		store, err := archive.Open(ctx, begin, option)
		if err != nil {
			return r, usage(err)
		}
		found, err := hasManifests(ctx, store)
		if err != nil {
			return r, err
		}
		if found {
			r.Store = store
			if r.prefix = strings.Trim(filepath.ToSlash(strings.TrimPrefix(at, begin)), "/"); r.prefix != "" {
				r.prefix += "/"
			}
			return r, nil
		}
		above := begin[:max(strings.LastIndexAny(begin, "/\\"), 0)]
		if above == "" || above == "s3:/" {
			return r, &exitError{code: exitIncomplete, err: fmt.Errorf("%s: %w: neither there nor above it lies %s (the mode at-least-once writes none)",
				place, verify.ErrNoManifests, manifest.CommitsPrefix)}
		}
		begin = above
	}
}

var errFound = errors.New("found")

func hasManifests(ctx context.Context, s archive.Store) (bool, error) {
	err := s.List(ctx, manifest.CommitsPrefix, "", func(archive.Object) error { return errFound })
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// intents asks objects for the intent in their metadata. A folder without a
// writer's own directories has none, and looking must not make them.
func (r root) intents() (ask func(ctx context.Context, key string) (string, error), done func() error, err error) {
	nothing := func() error { return nil }
	var s sink.Sink
	prefix := ""
	if r.client != nil {
		bucket, rest, _ := strings.Cut(strings.TrimPrefix(r.Location(), "s3://"), "/")
		s, prefix = s3.New(r.client, bucket, s3.Options{}), rest
	} else {
		if _, err := os.Stat(filepath.Join(r.Location(), folder.MetaDir)); err != nil {
			return nil, nothing, nil
		}
		f, err := folder.Open(r.Location())
		if err != nil {
			return nil, nothing, err
		}
		s, nothing = f, f.Close
	}
	return func(ctx context.Context, key string) (string, error) {
		info, err := s.Probe(ctx, prefix+key)
		if errors.Is(err, sink.ErrNotFound) {
			return "", nil
		}
		return info.Metadata[manifest.MetaIntent], err
	}, nothing, nil
}

// placeOf is where a configuration's objects go, as archives are named.
func placeOf(c *config.Config) string {
	if dir := c.Standpipe.Folder; dir != "" {
		return dir
	}
	return "s3://" + c.ExtendedS3DestinationConfiguration.Bucket()
}

// s3Of makes the client of a configuration's bucket, or, without one, of the
// environment.
func s3Of(c *config.Config, region string) func(context.Context) (*awss3.Client, error) {
	return func(ctx context.Context) (*awss3.Client, error) {
		if c == nil {
			settings, err := awsclient.Load(ctx, region)
			if err != nil {
				return nil, usage(err)
			}
			return awsclient.S3(settings), nil
		}
		settings, err := loadAWS(ctx, region, c.KinesisStreamSourceConfiguration.Region())
		if err != nil {
			return nil, err
		}
		return bucketClient(c, settings), nil
	}
}

// bucketClient talks to the bucket of a configuration.
func bucketClient(c *config.Config, settings aws.Config) *awss3.Client {
	endpoint := c.Standpipe.Endpoint
	if endpoint.S3 == "" {
		return s3.NewClient(settings)
	}
	settings.BaseEndpoint = &endpoint.S3
	client := s3.NewClient(settings)
	if endpoint.PathStyle {
		return client
	}
	return awss3.New(client.Options(), func(o *awss3.Options) { o.UsePathStyle = false })
}
