// Package s3 keeps objects in Amazon S3 or a store that speaks its protocol. It
// promises what sink.Sink does: staged is an open multipart upload, publishing
// is CompleteMultipartUpload, and no request makes half an object visible.
//
//	Begin    CreateMultipartUpload   (metadata, checksum algorithm CRC32)
//	Append   UploadPart              (CRC32 in a header; over https the payload is not hashed again)
//	Publish  CompleteMultipartUpload (part ETags and checksums)
//	Discard  AbortMultipartUpload
//	Probe    HeadObject
//	Read     GetObject
//
// Needed permissions on the objects: s3:PutObject, s3:GetObject,
// s3:AbortMultipartUpload, s3:ListMultipartUploadParts; and s3:ListBucket on the
// bucket, without which S3 answers 403 and not 404 for what does not exist.
package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
)

// minPart is S3's least size of a part that is not the last: 5 MiB.
const minPart = 5 << 20

// contentType is what Firehose sets on every object, whatever it contains.
const contentType = "application/octet-stream"

// Options are the properties of the objects written.
type Options struct {
	// KMSKeyARN encrypts with that key; empty leaves it to the bucket's default.
	KMSKeyARN string
	// BucketOwnerFullControl sends the ACL that Firehose sends. Buckets with ACLs
	// disabled (the default since 2023) accept it and ignore it.
	BucketOwnerFullControl bool
	// MinPart is for stores other than AWS, default 5 MiB.
	MinPart int64
}

// A Sink is one bucket. Safe for concurrent use.
type Sink struct {
	client *s3.Client
	bucket string
	opt    Options
}

var _ sink.Sink = (*Sink)(nil)

// New returns the sink of a bucket. The client should be NewClient's, which
// makes few attempts of its own: delivery backs off and repeats.
func New(client *s3.Client, bucket string, opt Options) *Sink {
	if opt.MinPart <= 0 {
		opt.MinPart = minPart
	}
	return &Sink{client: client, bucket: bucket, opt: opt}
}

// Location is "s3://<bucket>".
func (s *Sink) Location() string { return "s3://" + s.bucket }

// MinPart is 5 MiB on AWS.
func (s *Sink) MinPart() int64 { return s.opt.MinPart }

func (s *Sink) op(verb, key string) string { return verb + " s3://" + s.bucket + "/" + key }

// Begin implements sink.Sink.
func (s *Sink) Begin(ctx context.Context, o sink.Object) (sink.Upload, error) {
	in := &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: &o.Key, Metadata: o.Metadata,
		ContentType: aws.String(contentType), ContentEncoding: optional(o.ContentEncoding),
		// Without it S3 refuses part checksums in CompleteMultipartUpload.
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
		ACL:               s.acl(),
	}
	in.ServerSideEncryption, in.SSEKMSKeyId = s.encryption()
	out, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return sink.Upload{}, classify(s.op("begin", o.Key), err)
	}
	return sink.Upload{Object: o, ID: aws.ToString(out.UploadId)}, nil
}

// Append implements sink.Sink.
func (s *Sink) Append(ctx context.Context, u sink.Upload, n int, b sink.Body) (sink.Part, error) {
	op := s.op(fmt.Sprintf("upload part %d of", n), u.Key)
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return sink.Part{}, fmt.Errorf("%s: %w", op, err)
	}
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &u.Key, UploadId: &u.ID, PartNumber: aws.Int32(int32(n)),
		Body: b, ContentLength: aws.Int64(b.Len()), ChecksumCRC32: aws.String(encodeCRC32(b.CRC32())),
	})
	if err != nil {
		return sink.Part{}, s.gone(op, err)
	}
	return sink.Part{ETag: aws.ToString(out.ETag), Size: b.Len(), CRC32: b.CRC32()}, nil
}

// Publish implements sink.Sink. It sends no If-None-Match: the key is unique,
// and a 409 to such a request would cost the upload.
func (s *Sink) Publish(ctx context.Context, u sink.Upload) error {
	op := s.op("publish", u.Key)
	if len(u.Parts) == 0 {
		return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("upload has no parts")}
	}
	err := s.complete(ctx, u)
	if code(err) != "InvalidPart" {
		return s.gone(op, err)
	}
	// A delayed duplicate of an UploadPart can replace a part by the same bytes
	// under another ETag (SSE-KMS). Same size and checksum: go on with those.
	current, err := s.current(ctx, u)
	if err != nil {
		return err
	}
	return s.gone(op, s.complete(ctx, current))
}

func (s *Sink) complete(ctx context.Context, u sink.Upload) error {
	parts := make([]types.CompletedPart, len(u.Parts))
	for i, p := range u.Parts {
		parts[i] = types.CompletedPart{
			PartNumber: aws.Int32(int32(i + 1)), ETag: aws.String(p.ETag), ChecksumCRC32: aws.String(encodeCRC32(p.CRC32)),
		}
	}
	_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &u.Key, UploadId: &u.ID,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// current returns u with the ETags the store has now, or ErrNoUpload when a
// part is missing or holds other bytes than u says.
func (s *Sink) current(ctx context.Context, u sink.Upload) (sink.Upload, error) {
	op := s.op("list the parts of", u.Key)
	found := make(map[int32]types.Part)
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.bucket, Key: &u.Key, UploadId: &u.ID})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return u, s.gone(op, err)
		}
		for _, p := range page.Parts {
			found[aws.ToInt32(p.PartNumber)] = p
		}
	}
	parts := make([]sink.Part, len(u.Parts))
	for i, want := range u.Parts {
		have, ok := found[int32(i+1)]
		if !ok {
			return u, sink.Outcome(op, sink.ErrNoUpload, fmt.Errorf("part %d is missing", i+1))
		}
		same := aws.ToString(have.ETag) == want.ETag
		if sum := aws.ToString(have.ChecksumCRC32); sum != "" {
			same = sum == encodeCRC32(want.CRC32)
		}
		if !same || aws.ToInt64(have.Size) != want.Size {
			return u, sink.Outcome(op, sink.ErrNoUpload, fmt.Errorf("part %d holds other bytes than were staged", i+1))
		}
		parts[i] = want
		parts[i].ETag = aws.ToString(have.ETag)
	}
	u.Parts = parts
	return u, nil
}

// Discard implements sink.Sink.
func (s *Sink) Discard(ctx context.Context, u sink.Upload) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &u.Key, UploadId: &u.ID})
	if code(err) == "NoSuchUpload" {
		return nil
	}
	return classify(s.op("discard", u.Key), err)
}

// gone turns S3's word for an unknown upload into ErrNoUpload.
func (s *Sink) gone(op string, err error) error {
	if code(err) == "NoSuchUpload" {
		return sink.Outcome(op, sink.ErrNoUpload, err)
	}
	return classify(op, err)
}

// Probe implements sink.Sink. A 404 to HEAD has no body and may also mean that
// there is no bucket, so GET is asked for the code; that is rare.
func (s *Sink) Probe(ctx context.Context, key string) (sink.Info, error) {
	op := s.op("probe", key)
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err == nil {
		return sink.Info{Size: aws.ToInt64(out.ContentLength), Metadata: out.Metadata}, nil
	}
	if status(err) != 404 {
		return sink.Info{}, classify(op, err)
	}
	get, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return sink.Info{}, s.absent(op, err)
	}
	info := sink.Info{Size: aws.ToInt64(get.ContentLength), Metadata: get.Metadata}
	return info, classify(op, get.Body.Close())
}

func (s *Sink) absent(op string, err error) error {
	if code(err) == "NoSuchKey" {
		return sink.Outcome(op, sink.ErrNotFound, err)
	}
	return classify(op, err)
}

// WriteOnce implements sink.Sink. After a lost reply the SDK's second attempt
// meets our own object: ErrExists then too, and the caller compares.
func (s *Sink) WriteOnce(ctx context.Context, key string, body []byte) error {
	op := s.op("write", key)
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, IfNoneMatch: aws.String("*"), ContentType: aws.String(contentType),
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		ChecksumCRC32: aws.String(encodeCRC32(crc32.ChecksumIEEE(body))), ACL: s.acl(),
	}
	in.ServerSideEncryption, in.SSEKMSKeyId = s.encryption()
	_, err := s.client.PutObject(ctx, in)
	if status(err) == 412 {
		return sink.Outcome(op, sink.ErrExists, err)
	}
	return classify(op, err)
}

// Read implements sink.Sink.
func (s *Sink) Read(ctx context.Context, key string, limit int64) (p []byte, err error) {
	op := s.op("read", key)
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, s.absent(op, err)
	}
	p, err = io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err = errors.Join(err, out.Body.Close()); err != nil && int64(len(p)) <= limit {
		return nil, classify(op, err)
	}
	if int64(len(p)) > limit {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: fmt.Errorf("object has more than %d bytes", limit)}
	}
	return p, nil
}

func (s *Sink) acl() types.ObjectCannedACL {
	if s.opt.BucketOwnerFullControl {
		return types.ObjectCannedACLBucketOwnerFullControl
	}
	return ""
}

func (s *Sink) encryption() (types.ServerSideEncryption, *string) {
	if s.opt.KMSKeyARN == "" {
		return "", nil
	}
	return types.ServerSideEncryptionAwsKms, &s.opt.KMSKeyARN
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// encodeCRC32 is the form of S3's headers: base64 of the big-endian sum.
func encodeCRC32(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}
