package harness

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/zstd"
)

func TestRealInputComesBackFromKinesalite(t *testing.T) {
	server := StartKinesalite(t, t.TempDir())
	stream := CreateStream(t, KinesisClient(server.Endpoint), "real", 3)
	input := RealInput(t, 329, 0, 30_000)
	ctx := within(t)
	if err := (&Producer{Stream: stream}).Put(ctx, Pack(input)); err != nil {
		t.Fatal(err)
	}
	want, got := Multiset(input), &Lines{}
	contents, err := stream.Contents(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for shard, records := range contents {
		if len(records) == 0 {
			t.Errorf("%s got no records: the partition keys do not reach every shard", shard)
		}
		for _, r := range records {
			got.AddText(r)
		}
	}
	if d := Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if want.Digest.Lines < 32_000 {
		t.Fatalf("only %d lines of real input", want.Digest.Lines)
	}
}

func TestSplitAndMergeKeepEveryRecordReadable(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *Kinesis{
		"kinesalite":    func(t testing.TB) *Kinesis { return StartKinesalite(t, "") },
		"kinesis-local": func(t testing.TB) *Kinesis { return StartKinesisLocal(t) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			stream := CreateStream(t, KinesisClient(start(t).Endpoint), "reshard", 1)
			producer := &Producer{Stream: stream}
			var want, got Lines
			put := func(text string) {
				t.Helper()
				want.AddText([]byte(text))
				if err := producer.Put(ctx, bytes.SplitAfter([]byte(strings.TrimSpace(text)), []byte("\n"))); err != nil {
					t.Fatal(err)
				}
			}
			put("before 1\nbefore 2\n")
			open, err := stream.Open(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Split(ctx, open[0]); err != nil {
				t.Fatal(err)
			}
			put("between 1\nbetween 2\n")
			if err := stream.Merge(ctx); err != nil {
				t.Fatal(err)
			}
			put("after 1\nafter 2\n")
			contents, err := stream.Contents(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(contents) != 4 {
				t.Errorf("%d shards, want one, its two children and theirs", len(contents))
			}
			for _, records := range contents {
				for _, r := range records {
					got.AddText(r)
				}
			}
			if d := Diff(&want, &got); d != "" {
				t.Fatal(d)
			}
		})
	}
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t *testing.T, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll([]byte(text), nil)
}

func newArchive(t *testing.T) *Archive {
	t.Helper()
	client := S3Client(StartVersitygw(t, t.TempDir()).Endpoint)
	CreateBucket(t, client, "archive")
	return &Archive{Client: client, Bucket: "archive"}
}

func put(t *testing.T, a *Archive, key string, body []byte) {
	t.Helper()
	_, err := a.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(a.Bucket), Key: aws.String(key), Body: bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnArchiveIsReadWholeAndOnlyItsData(t *testing.T) {
	a := newArchive(t)
	put(t, a, "data/1.gz", gzipped(t, "a\nb\n"))
	put(t, a, "data/2.zst", append(zstded(t, "c\n"), zstded(t, "d\n")...))
	put(t, a, "data/3", []byte("e\n"))
	put(t, a, "_standpipe/commits/s/shardId-000000000000/1.json", []byte("not data\n"))
	put(t, a, "data/_standpipe/plan", []byte("not data\n"))
	if err := a.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	if d := Diff(linesOf("a\nb\nc\nd\ne\n"), a.Lines()); d != "" {
		t.Fatal(d)
	}
	put(t, a, "data/4", []byte("f\n"))
	if err := a.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	if d := Diff(linesOf("a\nb\nc\nd\ne\nf\n"), a.Lines()); d != "" {
		t.Fatalf("after a second refresh: %s", d)
	}
}

func TestAnObjectWrittenTwiceIsNoticed(t *testing.T) {
	a := newArchive(t)
	put(t, a, "data/1", []byte("a\n"))
	if err := a.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	put(t, a, "data/1", []byte("a\nb\n"))
	if err := a.Refresh(within(t)); err == nil || !strings.Contains(err.Error(), "written twice") {
		t.Fatalf("got %v", err)
	}
	if _, err := a.Client.DeleteObject(within(t), &s3.DeleteObjectInput{Bucket: aws.String(a.Bucket), Key: aws.String("data/1")}); err != nil {
		t.Fatal(err)
	}
	if err := a.Refresh(within(t)); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Fatalf("got %v", err)
	}
}

func TestASecondGzipMemberOrATornObjectIsRefused(t *testing.T) {
	whole := gzipped(t, "a\nb\n")
	for name, object := range map[string][]byte{
		"two members":   append(bytes.Clone(whole), whole...),
		"trailing byte": append(bytes.Clone(whole), 0),
		"torn gzip":     whole[:len(whole)-4],
		"torn zstd":     zstded(t, "a\nb\n")[:10],
	} {
		if text, err := Decode(object); err == nil {
			t.Errorf("%s: decoded to %q", name, text)
		}
	}
	if text, err := Decode(whole); err != nil || string(text) != "a\nb\n" {
		t.Errorf("one member: %q, %v", text, err)
	}
}

func TestOpenUploadsAreCounted(t *testing.T) {
	a := newArchive(t)
	_, err := a.Client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(a.Bucket), Key: aws.String("staged")})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.Uploads(within(t)); err != nil || n != 1 {
		t.Fatalf("%d uploads, %v, want 1", n, err)
	}
	if err := a.Refresh(within(t)); err != nil || len(a.Keys()) != 0 {
		t.Fatalf("a staged object is visible: %v, %v", a.Keys(), err)
	}
}
