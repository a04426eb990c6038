package archive

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/awsclient"
)

// environment makes a client from the settings every AWS tool reads.
func environment(ctx context.Context) (*s3.Client, error) {
	cfg, err := awsclient.Load(ctx, "")
	if err != nil {
		return nil, err
	}
	return awsclient.S3(cfg), nil
}

// A bucket is a store in S3, or in what speaks its API.
type bucket struct {
	client *s3.Client
	name   string
	prefix string // of every key, with its slash; left out of Object.Key
	glued  bool   // the prefix is the beginning of a name, not a folder
}

func newBucket(client *s3.Client, name, prefix string) *bucket {
	b := &bucket{client: client, name: name}
	if b.prefix, b.glued = strings.CutSuffix(prefix, "*"); b.glued {
		return b
	}
	if b.prefix != "" && !strings.HasSuffix(b.prefix, "/") {
		b.prefix += "/"
	}
	return b
}

func (b *bucket) Location() string {
	s := "s3://" + b.name + "/" + b.prefix
	if b.glued {
		s += "*"
	}
	return s
}

func (b *bucket) List(ctx context.Context, prefix, after string, visit func(Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: aws.String(b.prefix + prefix)}
	if after != "" {
		in.StartAfter = aws.String(b.prefix + after)
	}
	pages := s3.NewListObjectsV2Paginator(b.client, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return awsclient.Classify("list s3://"+b.name+"/"+*in.Prefix, err)
		}
		for _, o := range page.Contents {
			full, size := aws.ToString(o.Key), aws.ToInt64(o.Size)
			if size == 0 && strings.HasSuffix(full, "/") {
				continue
			}
			key := strings.TrimPrefix(full, b.prefix)
			if err := visit(Object{Key: key, Size: size, ETag: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bucket) Open(ctx context.Context, key string) (io.ReadCloser, Object, error) {
	full := b.prefix + key
	name := "s3://" + b.name + "/" + full
	get := func(ctx context.Context, from int64, etag string) (answer, error) {
		in := &s3.GetObjectInput{Bucket: &b.name, Key: &full}
		if from > 0 {
			in.Range = aws.String(fmt.Sprintf("bytes=%d-", from))
		}
		if etag != "" {
			in.IfMatch = &etag
		}
		out, err := b.client.GetObject(ctx, in)
		if err != nil {
			return answer{}, b.classify(name, err)
		}
		a := answer{body: out.Body, object: Object{
			Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), Modified: aws.ToTime(out.LastModified),
		}}
		if from > 0 && !strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", from)) {
			out.Body.Close()
			return answer{}, fmt.Errorf("get %s from byte %d: the server answered with %q", name, from, aws.ToString(out.ContentRange))
		}
		return a, nil
	}
	return openRanged(ctx, name, get)
}

func (b *bucket) classify(name string, err error) error {
	switch awsclient.Code(err) {
	case "NoSuchKey", "NotFound":
		return &standpipe.Error{Class: standpipe.NotFound, Op: "get " + name, Err: ErrNotFound}
	case "PreconditionFailed":
		return &standpipe.Error{Class: standpipe.Fatal, Op: "get " + name, Err: ErrChanged}
	}
	return awsclient.Classify("get "+name, err)
}
