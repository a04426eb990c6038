package s3

//lint:file-ignore SA1019 feature/s3/manager is chosen over transfermanager: it uploads from memory without copying each part

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/standpipe/standpipe/sink"
)

const (
	// putPartSize makes nearly every object one PutObject: below 64 MiB there is
	// one billed request instead of one per 5 MiB and two more.
	putPartSize = 64 << 20
	// putConcurrency is per object; the global bound is the process's byte budget.
	putConcurrency = 2
	// abortTimeout bounds the clean-up after a cancelled upload.
	abortTimeout = 10 * time.Second
)

// Put implements sink.Sink.
func (s *Sink) Put(ctx context.Context, o sink.Object, body io.ReadSeeker) error {
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &o.Key, Body: body, Metadata: o.Metadata,
		ContentType: aws.String(contentType), ContentEncoding: optional(o.ContentEncoding),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ACL: s.acl(),
	}
	in.ServerSideEncryption, in.SSEKMSKeyId = s.encryption()
	uploader := manager.NewUploader(s.client, func(u *manager.Uploader) {
		u.PartSize, u.Concurrency = putPartSize, putConcurrency
	})
	_, err := uploader.Upload(ctx, in)
	s.abandon(ctx, o.Key, err)
	return classify(s.op("put", o.Key), err)
}

// abandon aborts what a cancelled multipart upload left behind: the manager
// aborts under the cancelled context, that is never, and parts are billed.
func (s *Sink) abandon(ctx context.Context, key string, err error) {
	failed, ok := errors.AsType[manager.MultiUploadFailure](err)
	if !ok || failed.UploadID() == "" || ctx.Err() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	// The bucket's AbortIncompleteMultipartUpload rule is the safety net.
	_ = s.Discard(ctx, sink.Upload{Object: sink.Object{Key: key}, ID: failed.UploadID()})
}
