package harness

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// bookkeeping is where standpipe keeps manifests and plans: not part of the data.
const bookkeeping = "_standpipe/"

// An Archive is what a reader sees under a prefix of a bucket. It remembers
// what it has seen: objects are write-once, so one that changes or goes is a
// broken promise, and one seen before need not be read again.
type Archive struct {
	Client *s3.Client
	Bucket string
	Prefix string

	objects map[string]object
	lines   Lines
}

type object struct {
	etag string
	text []byte
}

// Refresh reads what became visible since the last call. It reports an object
// that changed, disappeared or cannot be decoded as an error.
func (a *Archive) Refresh(ctx context.Context) error {
	listed, err := a.list(ctx, a.Prefix)
	if err != nil {
		return err
	}
	if a.objects == nil {
		a.objects = map[string]object{}
	}
	for key, seen := range a.objects {
		if etag, there := listed[key]; !there {
			return fmt.Errorf("object %s was visible and is gone", key)
		} else if etag != seen.etag {
			return fmt.Errorf("object %s was visible with ETag %s and now has %s: it was written twice", key, seen.etag, etag)
		}
	}
	for key, etag := range listed {
		if _, seen := a.objects[key]; seen || strings.Contains("/"+key, "/"+bookkeeping) {
			continue
		}
		body, err := a.Get(ctx, key)
		if err != nil {
			return err
		}
		text, err := Decode(body)
		if err != nil {
			return fmt.Errorf("object %s: %w", key, err)
		}
		a.objects[key] = object{etag: etag, text: text}
		a.lines.AddText(text)
	}
	return nil
}

// Await refreshes four times a second until at least that many lines are
// visible. It gives up when ctx ends or the process p that should deliver does.
func (a *Archive) Await(ctx context.Context, p *Process, lines int64) error {
	return poll(ctx, 250*time.Millisecond, p.done, fmt.Sprintf("%d lines in s3://%s", lines, a.Bucket), func() error {
		if err := a.Refresh(ctx); err != nil {
			return err
		}
		if n := a.lines.Digest.Lines; n < lines {
			return fmt.Errorf("%d are visible in %d objects", n, len(a.objects))
		}
		return nil
	})
}

// Lines is the multiset of the lines of all objects at the last Refresh.
func (a *Archive) Lines() *Lines { return &a.lines }

// Keys are the names of the objects at the last Refresh, in order.
func (a *Archive) Keys() []string { return slices.Sorted(maps.Keys(a.objects)) }

// Text is the decoded content of an object at the last Refresh.
func (a *Archive) Text(key string) ([]byte, bool) {
	o, there := a.objects[key]
	return o.text, there
}

// Get returns an object as it is stored.
func (a *Archive) Get(ctx context.Context, key string) ([]byte, error) {
	body, _, err := a.Tagged(ctx, key)
	return body, err
}

// Tagged is Get with the object's ETag.
func (a *Archive) Tagged(ctx context.Context, key string) (body []byte, etag string, err error) {
	out, err := a.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(a.Bucket), Key: aws.String(key)})
	if err != nil {
		return nil, "", fmt.Errorf("get object s3://%s/%s: %w", a.Bucket, key, err)
	}
	body, err = io.ReadAll(out.Body)
	if cerr := out.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, "", fmt.Errorf("read object s3://%s/%s: %w", a.Bucket, key, err)
	}
	return body, aws.ToString(out.ETag), nil
}

// List returns the names of all objects below the prefix, in order.
func (a *Archive) List(ctx context.Context) ([]string, error) {
	listed, err := a.list(ctx, a.Prefix)
	return slices.Sorted(maps.Keys(listed)), err
}

// Sums reads every object below the prefix, bookkeeping too, and returns the
// SHA-256 of its bytes by its name without the prefix.
func (a *Archive) Sums(ctx context.Context) (map[string]string, error) {
	listed, err := a.list(ctx, a.Prefix)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for key := range listed {
		body, err := a.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		sums[strings.TrimPrefix(key, a.Prefix)] = fmt.Sprintf("%x", sha256.Sum256(body))
	}
	return sums, nil
}

// list returns the ETag of every object under the prefix.
func (a *Archive) list(ctx context.Context, prefix string) (map[string]string, error) {
	found := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(a.Client, &s3.ListObjectsV2Input{Bucket: aws.String(a.Bucket), Prefix: aws.String(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list s3://%s/%s: %w", a.Bucket, prefix, err)
		}
		for _, o := range page.Contents {
			found[*o.Key] = aws.ToString(o.ETag)
		}
	}
	return found, nil
}

// Uploads counts the multipart uploads left open: what crashes leave behind
// and recovery must publish or discard.
func (a *Archive) Uploads(ctx context.Context) (int, error) {
	out, err := a.Client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(a.Bucket)})
	if err != nil {
		return 0, fmt.Errorf("list the open uploads of s3://%s: %w", a.Bucket, err)
	}
	return len(out.Uploads), nil
}
