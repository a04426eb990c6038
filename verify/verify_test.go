package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/httpclient"
	"github.com/standpipe/standpipe/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A place is an archive that a test can write to and spoil.
type place interface {
	put(key string, body []byte)
	get(key string) []byte
	remove(key string)
	store() archive.Store
}

type folderPlace struct {
	t   *testing.T
	dir string
}

func (p folderPlace) put(key string, body []byte) {
	name := filepath.Join(p.dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, body, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p folderPlace) get(key string) []byte {
	b, err := os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(key)))
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p folderPlace) remove(key string) {
	if err := os.Remove(filepath.Join(p.dir, filepath.FromSlash(key))); err != nil {
		p.t.Fatal(err)
	}
}

func (p folderPlace) store() archive.Store {
	s, err := archive.Open(p.t.Context(), p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

type s3Place struct {
	t      *testing.T
	client *s3.Client
}

func newS3(t *testing.T) s3Place {
	srv := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
	})
	client := awsclient.S3(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(srv.URL),
		HTTPClient:  httpclient.InMemory{Base: &http.Client{Transport: transport}},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil {
		t.Fatal(err)
	}
	return s3Place{t, client}
}

func (p s3Place) put(key string, body []byte) {
	if _, err := p.client.PutObject(p.t.Context(), &s3.PutObjectInput{Bucket: aws.String("lake"), Key: &key, Body: bytes.NewReader(body)}); err != nil {
		p.t.Fatal(err)
	}
}

func (p s3Place) get(key string) []byte {
	out, err := p.client.GetObject(p.t.Context(), &s3.GetObjectInput{Bucket: aws.String("lake"), Key: &key})
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p s3Place) remove(key string) {
	if _, err := p.client.DeleteObject(p.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("lake"), Key: &key}); err != nil {
		p.t.Fatal(err)
	}
}

func (p s3Place) store() archive.Store {
	s, err := archive.Open(p.t.Context(), "s3://lake", archive.WithS3(func(context.Context) (*s3.Client, error) { return p.client, nil }))
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// everywhere runs a test in a bucket and in a folder.
func everywhere(t *testing.T, f func(t *testing.T, p place)) {
	t.Run("s3", func(t *testing.T) { f(t, newS3(t)) })
	t.Run("folder", func(t *testing.T) { f(t, folderPlace{t, t.TempDir()}) })
}

func gz(lines ...string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
	w.Close()
	return b.Bytes()
}

const shards, flushes = 2, 4

func shardName(n int) standpipe.ShardID { return standpipe.ShardID(fmt.Sprintf("shardId-%012d", n)) }

func origin(shard int) manifest.Origin {
	return manifest.Origin{Stream: "class-stream", Created: time.Unix(1.7e9, 0).UTC(), Incarnation: "918ae64bbfd23128", Shard: shardName(shard)}
}

func dataKey(shard, flush int) string {
	return fmt.Sprintf("rawdata/2026/11/%02d/class-1-%d.gz", 10+flush, shard)
}

func linesOfFlush(shard, flush int) (lines []string) {
	for k := range 5 {
		lines = append(lines, fmt.Sprintf(`{"shard":%d,"flush":%d,"n":%d}`, shard, flush, k))
	}
	return lines
}

func objectOf(key string, body []byte, lines []string) manifest.Object {
	var d standpipe.Digest
	var n int64
	for _, l := range lines {
		d.Add([]byte(l))
		n += int64(len(l)) + 1
	}
	return manifest.Object{
		Key: key, Size: int64(len(body)), CRC32: fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)),
		Contents: manifest.Contents{Records: int64(len(lines)), Lines: d.Lines, Bytes: n, Hash: d.Sum()},
	}
}

func manifestOf(shard, number int, objects ...manifest.Object) manifest.Manifest {
	m := manifest.Manifest{
		Version: manifest.Version, Origin: origin(shard), Number: int64(number), Reason: standpipe.SealAge, Objects: objects,
		Previous: standpipe.Position{Sequence: fmt.Sprint(100 * number)}, First: fmt.Sprint(100*number + 1),
		Last: standpipe.Position{Sequence: fmt.Sprint(100 * (number + 1))},
	}
	if number == 1 {
		m.Previous.Sequence = standpipe.TrimHorizon
	}
	for _, o := range objects {
		m.Counts.Records += o.Records
	}
	if err := m.Sum(); err != nil {
		panic(err)
	}
	return m
}

// fill writes a whole archive: two shards of four flushes, one object each.
func fill(p place) {
	for s := range shards {
		for f := 1; f <= flushes; f++ {
			lines := linesOfFlush(s, f)
			body := gz(lines...)
			p.put(dataKey(s, f), body)
			m := manifestOf(s, f, objectOf(dataKey(s, f), body, lines))
			p.put(manifest.Key(m.Origin, m.Number), m.Encode())
		}
	}
}

func verified(t *testing.T, p place, change func(*Options)) Report {
	t.Helper()
	o := Options{Store: p.store(), Deep: true, TempDir: t.TempDir(), Now: time.Now(), Repair: Commands{Config: "standpipe.yaml", Archive: p.store().Location()}.Repair}
	if change != nil {
		change(&o)
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(o.TempDir); err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
	return r
}

// only demands one finding, of this kind, about shard 1's second flush.
func only(t *testing.T, r Report, kind Kind) Finding {
	t.Helper()
	if len(r.Findings) != 1 || r.Findings[0].Kind != kind {
		t.Fatalf("want one finding, %s:\n%+v", kind, r.Findings)
	}
	f := r.Findings[0]
	want := Damaged
	if !kind.Damage() {
		want = Incomplete
	}
	if r.Verdict != want {
		t.Errorf("verdict %s, want %s", r.Verdict, want)
	}
	return f
}

func ranged(t *testing.T, f Finding, after, last string) {
	t.Helper()
	if f.Shard != shardName(1) || f.After == nil || f.After.Sequence != after || f.Last == nil || f.Last.Sequence != last {
		t.Errorf("shard and range: %+v", f)
	}
}

func repairs(t *testing.T, f Finding, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(f.Repair, w) {
			t.Errorf("the command %q does not say %q", f.Repair, w)
		}
	}
}

func TestAWholeArchiveIsWhole(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.put("other/report.csv", []byte("nothing of ours\n"))
		for _, deep := range []bool{true, false} {
			r := verified(t, p, func(o *Options) { o.Deep = deep })
			if r.Verdict != Whole || len(r.Findings) > 0 {
				t.Fatalf("%+v", r.Findings)
			}
			c := r.Counts
			if c.Chains != shards || c.Manifests != shards*flushes || c.Objects != shards*flushes || c.Lines != shards*flushes*5 || c.Outside != 1 || (c.Read > 0) != deep {
				t.Errorf("counts %+v", c)
			}
		}
	})
}

func TestADeletedObjectIsMissing(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.remove(dataKey(1, 2))
		for _, deep := range []bool{true, false} {
			f := only(t, verified(t, p, func(o *Options) { o.Deep = deep }), Missing)
			ranged(t, f, "200", "300")
			repairs(t, f, "standpipe replay -c standpipe.yaml --manifest "+manifest.Key(origin(1), 2))
		}
	})
}

func TestAFlippedByteIsAltered(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		body := p.get(dataKey(1, 2))
		for at := range body {
			spoiled := bytes.Clone(body)
			spoiled[at] ^= 0x10
			if c := contentOf(t, spoiled); c.Broken == nil && c.Digest.Sum() == objectOf("", body, linesOfFlush(1, 2)).Hash {
				continue // a byte of the gzip header that means nothing
			}
			if at%5 != 0 {
				continue // each fifth is enough
			}
			p.put(dataKey(1, 2), spoiled)
			f := only(t, verified(t, p, nil), Altered)
			ranged(t, f, "200", "300")
			repairs(t, f, "standpipe replay", "--manifest "+manifest.Key(origin(1), 2), "--replace")
		}
	})
}

// Without reading everything: what was overwritten is younger than its proof.
func TestAnObjectWrittenAfterItsManifestIsRead(t *testing.T) {
	spoil := func(b []byte) []byte { b = slices.Clone(b); b[len(b)/2] ^= 4; return b }
	for name, tc := range map[string]struct {
		change func([]byte) []byte
		after  time.Duration
		late   int64
		kind   Kind
	}{
		"overwritten by bytes of the same length": {change: spoil, after: time.Minute, late: 1, kind: Altered},
		"restored as it was":                      {change: slices.Clone[[]byte], after: time.Minute, late: 1},
		"rotten on the disk, which nobody sees":   {change: spoil},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place) {
				fill(p)
				p.put(dataKey(1, 2), tc.change(p.get(dataKey(1, 2))))
				r := verified(t, p, func(o *Options) {
					o.Deep, o.Store = false, timedStore{o.Store, dataKey(1, 2), time.Unix(1.8e9, 0), tc.after}
				})
				if r.Counts.Late != tc.late || (r.Counts.Read > 0) != (tc.late > 0) {
					t.Errorf("%d objects are late, %d bytes were read", r.Counts.Late, r.Counts.Read)
				}
				if tc.kind != "" {
					repairs(t, only(t, r, tc.kind), "--replace")
				} else if r.Verdict != Whole {
					t.Errorf("verdict %s: %+v", r.Verdict, r.Findings)
				}
			})
		})
	}
}

// A timedStore was written at one moment, but for the object late, which is
// younger. Only the listing tells times.
type timedStore struct {
	archive.Store
	late  string
	at    time.Time
	after time.Duration
}

func (s timedStore) List(ctx context.Context, prefix, after string, visit func(archive.Object) error) error {
	return s.Store.List(ctx, prefix, after, func(o archive.Object) error {
		if o.Modified = s.at; o.Key == s.late {
			o.Modified = s.at.Add(s.after)
		}
		return visit(o)
	})
}

// The same with a folder's own times.
func TestAFileChangedInPlaceIsRead(t *testing.T) {
	p := folderPlace{t, t.TempDir()}
	fill(p)
	file := filepath.Join(p.dir, filepath.FromSlash(dataKey(1, 2)))
	body := p.get(dataKey(1, 2))
	body[len(body)/2] ^= 4
	p.put(dataKey(1, 2), body)
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	only(t, verified(t, p, func(o *Options) { o.Deep = false }), Altered)
}

func contentOf(t *testing.T, body []byte) Content {
	t.Helper()
	p := folderPlace{t, t.TempDir()}
	p.put("o", body)
	c, err := ReadContent(t.Context(), p.store(), "o")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A sum of hashes does not see the order of lines, which the bytes have when
// nothing compresses them.
func TestPlainLinesInAnotherOrderAreAltered(t *testing.T) {
	written, lines := []byte("one\ntwo\n"), []string{"one", "two"}
	o := objectOf("k", written, lines)
	for body, want := range map[string]Kind{"one\ntwo\n": "", "two\none\n": Altered} {
		if kind, detail := Judge(contentOf(t, []byte(body)), o, false); kind != want {
			t.Errorf("%q: %q %s", body, kind, detail)
		}
	}
	if kind, detail := Judge(contentOf(t, gz("two", "one")), o, false); kind != "" {
		t.Errorf("written anew: %q %s", kind, detail)
	}
}

func TestADroppedLineIsNamedWithItsNumber(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.put(dataKey(1, 2), gz(linesOfFlush(1, 2)[1:]...))
		for _, deep := range []bool{true, false} { // its size tells even without --deep
			f := only(t, verified(t, p, func(o *Options) { o.Deep = deep }), Lines)
			ranged(t, f, "200", "300")
			if !strings.Contains(f.Detail, "4 lines, written 5: 1 are missing") {
				t.Errorf("detail %q", f.Detail)
			}
			repairs(t, f, "standpipe replay", "--replace")
		}
	})
}

func TestADoubledObjectIsToldFromAForeignOne(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		lines := linesOfFlush(1, 2)
		slices.Reverse(lines) // the same lines, other bytes
		for key, body := range map[string][]byte{"rawdata/2026/11/12/copy.gz": p.get(dataKey(1, 2)), "rawdata/2026/11/13/other": []byte(strings.Join(lines, "\n"))} {
			p.put(key, body)
			f := only(t, verified(t, p, nil), Doubled)
			ranged(t, f, "200", "300")
			if f.Key != key || f.As != dataKey(1, 2) {
				t.Errorf("finding %+v", f)
			}
			repairs(t, f, "rm ", key)
			p.remove(key)
		}
		p.put("rawdata/2026/11/12/stranger.gz", gz("nobody wrote this"))
		f := only(t, verified(t, p, nil), Foreign)
		repairs(t, f, "mv ", "rawdata/2026/11/12/stranger.gz", "quarantine/")
	})
}

// A producer that got no answer sends its records again. They are two records,
// each in its own place of the chain; a copy of an object is another matter.
func TestLinesThatAProducerSentTwiceAreNoDouble(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		again := gz(linesOfFlush(1, 2)...)
		m := manifestOf(1, flushes+1, objectOf("rawdata/again.gz", again, linesOfFlush(1, 2)))
		p.put("rawdata/again.gz", again)
		p.put(manifest.Key(m.Origin, m.Number), m.Encode())
		if r := verified(t, p, nil); r.Verdict != Whole {
			t.Fatalf("%s: %+v", r.Verdict, r.Findings)
		}
		p.put("rawdata/copy.gz", again)
		if f := only(t, verified(t, p, nil), Doubled); f.Key != "rawdata/copy.gz" {
			t.Errorf("%+v", f)
		}
	})
}

func TestTheOnlyGoodCopyIsNeverRemoved(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.put("rawdata/moved.gz", p.get(dataKey(1, 2)))
		p.remove(dataKey(1, 2))
		r := verified(t, p, nil)
		if len(r.Findings) != 2 || r.Found[Missing] != 1 || r.Found[Foreign] != 1 {
			t.Fatalf("%+v", r.Findings)
		}
		for _, f := range r.Findings {
			if f.Kind == Foreign && (!strings.Contains(f.Repair, "mv ") || !strings.Contains(f.Repair, dataKey(1, 2))) {
				t.Errorf("the command %q does not move it back", f.Repair)
			}
		}
	})
}

func TestAMissingManifestIsAGap(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.remove(manifest.Key(origin(1), 2))
		p.remove(dataKey(1, 2))
		f := only(t, verified(t, p, nil), Gap)
		ranged(t, f, "200", "300")
		repairs(t, f, "standpipe replay", "--shard "+string(shardName(1)), "--from after:200", "--to 300", "--to-prefix")
		if !strings.Contains(f.Detail, "manifests 2 to 2 are not there") {
			t.Errorf("detail %q", f.Detail)
		}
	})
}

func TestAMissingFirstManifestIsAGap(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.remove(manifest.Key(origin(1), 1))
		p.remove(dataKey(1, 1))
		f := only(t, verified(t, p, nil), Gap)
		if f.After != nil || f.Last.Sequence != "200" {
			t.Errorf("range %v to %v", f.After, f.Last)
		}
		repairs(t, f, "--from TRIM_HORIZON", "--to 200")
	})
}

func TestRangesThatDoNotMeet(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for previous, want := range map[string]Kind{"250": Gap, "150": Overlap} {
			fill(p)
			lines := linesOfFlush(1, 2)
			m := manifestOf(1, 2, objectOf(dataKey(1, 2), gz(lines...), lines))
			m.Previous.Sequence = previous
			p.put(manifest.Key(m.Origin, m.Number), m.Encode())
			f := only(t, verified(t, p, nil), want)
			ranged(t, f, min(previous, "200"), max(previous, "200"))
		}
	})
}

// Manifests and objects of the last flushes vanish together: nothing in the
// archive speaks of them any more. The checkpoint does.
func TestAChainThatEndsBeforeItsCheckpointIsAGap(t *testing.T) {
	ends := func(number int64, last string) []End {
		whole := End{Folder: origin(0).Folder(), Shard: shardName(0), Number: flushes, Last: standpipe.Position{Sequence: "500"}}
		return []End{whole, {Folder: origin(1).Folder(), Shard: shardName(1), Number: number, Last: standpipe.Position{Sequence: last}}}
	}
	for name, tc := range map[string]struct {
		ends        []End
		lost        []int
		after, last string // of the gap, none if empty
		detail      string
	}{
		"nothing is lost":                  {ends: ends(flushes, "500")},
		"a writer has gone on meanwhile":   {ends: ends(2, "300")},
		"nobody asked":                     {lost: []int{3, 4}},
		"a shard that has never flushed":   {ends: append(ends(4, "500"), End{Folder: "_standpipe/commits/x/y/", Shard: "y"})},
		"the last two":                     {ends: ends(4, "500"), lost: []int{3, 4}, after: "300", last: "500", detail: "ends with manifest 2"},
		"the end of the shard":             {ends: ends(4, standpipe.ShardEnd), lost: []int{4}, after: "400", last: standpipe.ShardEnd, detail: "ends with manifest 3"},
		"the checkpoint went on by itself": {ends: ends(4, "700"), after: "500", last: "700", detail: "the checkpoint is at 700"},
	} {
		t.Run(name, func(t *testing.T) {
			p := folderPlace{t, t.TempDir()}
			fill(p)
			for _, n := range tc.lost {
				p.remove(manifest.Key(origin(1), int64(n)))
				p.remove(dataKey(1, n))
			}
			r := verified(t, p, func(o *Options) { o.Ends = tc.ends })
			if tc.after == "" {
				if r.Verdict != Whole {
					t.Errorf("verdict %s: %+v", r.Verdict, r.Findings)
				}
				return
			}
			f := only(t, r, Gap)
			ranged(t, f, tc.after, tc.last)
			repairs(t, f, "--from after:"+tc.after, "--to-prefix")
			if !strings.Contains(f.Detail, tc.detail) || r.Counts.Ends != 2 {
				t.Errorf("%s; %d ends", f.Detail, r.Counts.Ends)
			}
		})
	}
	t.Run("the whole chain", func(t *testing.T) {
		p := folderPlace{t, t.TempDir()}
		fill(p)
		for n := 1; n <= flushes; n++ {
			p.remove(manifest.Key(origin(1), int64(n)))
			p.remove(dataKey(1, n))
		}
		f := only(t, verified(t, p, func(o *Options) { o.Ends = ends(4, "500") }), Gap)
		repairs(t, f, "--from TRIM_HORIZON", "--to 500")
	})
}

func TestAShardBegunAnewOverlaps(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		lines := []string{"again"}
		m := manifestOf(1, 1, objectOf("rawdata/again.gz", gz(lines...), lines))
		m.Incarnation, m.First, m.Last.Sequence = "second", "401", "450"
		p.put("rawdata/again.gz", gz(lines...))
		p.put(manifest.Key(m.Origin, 1), m.Encode())
		ranged(t, only(t, verified(t, p, nil), Overlap), "401", "500")
		m.Previous.Sequence, m.First, m.Last.Sequence = "500", "501", "600"
		p.put(manifest.Key(m.Origin, 1), m.Encode())
		if r := verified(t, p, nil); r.Verdict != Whole {
			t.Errorf("a second chain after the first: %+v", r.Findings)
		}
	})
}

// Checkpoints that were lost, with a start at LATEST, or moved ahead: each chain is
// whole, and what lies between them is in neither.
func TestAShardBegunAnewFurtherOnLeavesAGap(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		lines := []string{"later"}
		m := manifestOf(1, 1, objectOf("rawdata/later.gz", gz(lines...), lines))
		m.Incarnation, m.Previous.Sequence, m.First, m.Last.Sequence = "0 sorts before", standpipe.Latest, "551", "600"
		p.put("rawdata/later.gz", gz(lines...))
		p.put(manifest.Key(m.Origin, 1), m.Encode())
		f := only(t, verified(t, p, nil), Gap)
		ranged(t, f, "500", "550")
		repairs(t, f, "--from after:500", "--to 550", "--to-prefix recovered/")
		// A third one that fills it; the order of their names says nothing.
		m.Incarnation, m.Previous.Sequence, m.First, m.Last.Sequence = "third", "500", "501", "550"
		m.Objects[0].Key = "rawdata/recovered.gz"
		p.put("rawdata/recovered.gz", gz(lines...))
		p.put(manifest.Key(m.Origin, 1), m.Encode())
		m.Incarnation, m.Previous.Sequence, m.First, m.Last.Sequence = "0 sorts before", "550", "551", "600"
		m.Objects[0].Key = "rawdata/later.gz"
		p.put(manifest.Key(m.Origin, 1), m.Encode())
		if r := verified(t, p, nil); r.Verdict != Whole {
			t.Errorf("filled: %+v", r.Findings)
		}
	})
}

// Two delivery streams may deliver one data stream into one bucket, each below
// a prefix of its own.
func TestAnotherDeliveryOfTheStreamDoesNotOverlap(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		lines := []string{"elsewhere"}
		m := manifestOf(1, 1, objectOf("elsewhere/a.gz", gz(lines...), lines))
		m.Incarnation, m.Delivery, m.First, m.Last.Sequence = "second", "another", "401", "450"
		p.put("elsewhere/a.gz", gz(lines...))
		p.put(manifest.Key(m.Origin, 1), m.Encode())
		if r := verified(t, p, nil); r.Verdict != Whole {
			t.Errorf("two deliveries: %+v", r.Findings)
		}
	})
}

func TestAManifestThatContradictsItself(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		key := manifest.Key(origin(1), 2)
		p.put(key, bytes.Replace(p.get(key), []byte(`"lines": 5`), []byte(`"lines": 6`), 1))
		if r := verified(t, p, nil); r.Found[Proof] != 1 || r.Verdict != Damaged {
			t.Errorf("%+v", r.Findings)
		}
		p.put(key, []byte("{"))
		if r := verified(t, p, nil); r.Found[Proof] != 1 {
			t.Errorf("%+v", r.Findings)
		}
	})
}

func TestWhatCannotBeReadIsNamedAndLeavesTheQuestionOpen(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for name, body := range map[string][]byte{
			"truncated gzip": gz(linesOfFlush(1, 2)...)[:40],
			"unknown codec":  []byte("PAR1\x15\x00\x15\x00 and so on"),
		} {
			fill(p)
			p.put(dataKey(1, 2), body)
			f := only(t, verified(t, p, func(o *Options) { o.Deep = false }), Unreadable)
			ranged(t, f, "200", "300")
			if f.Key != dataKey(1, 2) || f.Detail == "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
	})
}

// A store whose reads fail, or whose objects change behind one's back.
type trickyStore struct {
	archive.Store
	open func(ctx context.Context, key string) (io.ReadCloser, archive.Object, error)
}

func (s trickyStore) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	return s.open(ctx, key)
}

func TestARefusedObjectIsUnreadableAndAReplacedOneChanged(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		for kind, failing := range map[Kind]error{Unreadable: errors.New("403 Forbidden"), Changed: archive.ErrChanged} {
			r := verified(t, p, func(o *Options) {
				s := o.Store
				o.Store = trickyStore{s, func(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
					if key == dataKey(1, 2) {
						return nil, archive.Object{}, failing
					}
					return s.Open(ctx, key)
				}}
			})
			ranged(t, only(t, r, kind), "200", "300")
		}
		replaced := verified(t, p, func(o *Options) {
			s := o.Store
			o.Store = trickyStore{s, func(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
				r, found, err := s.Open(ctx, key)
				if key == dataKey(1, 2) {
					found.ETag = "another"
				}
				return r, found, err
			}}
		})
		only(t, replaced, Changed)
	})
}

func TestAnObjectCompressedAnewIsWhole(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.put(dataKey(1, 2), []byte(strings.Join(linesOfFlush(1, 2), "\n")+"\n"))
		if r := verified(t, p, func(o *Options) { o.Deep = false }); r.Verdict != Whole {
			t.Errorf("%+v", r.Findings)
		}
	})
}

func TestObjectsOfAFlushUnderWayAreNotForeign(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.put("rawdata/prepared.gz", gz("soon"))
		intent := func(_ context.Context, key string) (string, error) { return "1-5-aa", nil }
		r := verified(t, p, func(o *Options) { o.Intent, o.Settle = intent, time.Hour })
		if f := only(t, r, Unsettled); !strings.Contains(f.Detail, "1-5-aa") {
			t.Errorf("%+v", f)
		}
		only(t, verified(t, p, func(o *Options) { o.Intent = intent }), Foreign) // settled: nobody claims it
	})
}

// The manifest appears between the walk and the listing.
func TestWhatALiveWriterCommitsMeanwhileIsNotForeign(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		lines := linesOfFlush(1, flushes+1)
		p.put("rawdata/late.gz", gz(lines...))
		m := manifestOf(1, flushes+1, objectOf("rawdata/late.gz", gz(lines...), lines))
		r := verified(t, p, func(o *Options) {
			o.Store = &lateStore{Store: o.Store, commit: func() { p.put(manifest.Key(m.Origin, m.Number), m.Encode()) }}
		})
		if r.Verdict != Whole {
			t.Errorf("%+v", r.Findings)
		}
	})
}

type lateStore struct {
	archive.Store
	commit func()
}

func (s *lateStore) List(ctx context.Context, prefix, after string, visit func(archive.Object) error) error {
	err := s.Store.List(ctx, prefix, after, visit)
	if s.commit != nil {
		s.commit()
		s.commit = nil
	}
	return err
}

func TestAPrefixRestrictsTheObjectsNotTheChains(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.remove(dataKey(1, 2))
		if r := verified(t, p, func(o *Options) { o.Prefix = "rawdata/2026/11/13/" }); r.Verdict != Whole || r.Counts.Objects != shards {
			t.Errorf("%+v %+v", r.Counts, r.Findings)
		}
		only(t, verified(t, p, func(o *Options) { o.Prefix = "rawdata/2026/11/12/" }), Missing)
	})
}

// Nothing is wrong with a place that is not there, or whose manifests are gone with
// the folder they were in: that makes it no whole one.
func TestAPrefixWithoutAnObjectOfTheArchiveIsNoVerdict(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		p.put("again/rawdata/x.gz", gz("line"))
		for prefix, want := range map[string]string{"rwadata/": "0 objects lie there", "again/": "1 objects lie there"} {
			r, err := Run(t.Context(), Options{Store: p.store(), Prefix: prefix, TempDir: t.TempDir()})
			if !errors.Is(err, ErrNoObjects) || r.Verdict != Incomplete || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s, %v", prefix, r.Verdict, err)
			}
		}
	})
}

func TestTheStreamIsAskedAboutEveryManifest(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fill(p)
		stream := func(_ context.Context, m manifest.Manifest) (d standpipe.Digest, n int64, err error) {
			if m.Number == 1 {
				return d, 0, ErrBeyond
			}
			d, err = standpipe.ParseDigest(m.Counts.Lines, m.Hash)
			if m.Number == 2 && m.Shard == shardName(1) {
				d.Add([]byte("one more"))
			}
			return d, m.Counts.Records, err
		}
		r := verified(t, p, func(o *Options) { o.Stream = stream })
		ranged(t, only(t, r, Differs), "200", "300")
		if r.Counts.Beyond != shards || r.Counts.Streamed != shards*(flushes-1) {
			t.Errorf("%+v", r.Counts)
		}
	})
}

func TestNothingToVerifyIsAnError(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		p.put("rawdata/some.gz", gz("line"))
		r, err := Run(t.Context(), Options{Store: p.store(), TempDir: t.TempDir(), Now: time.Now()})
		if !errors.Is(err, ErrNoManifests) || r.Verdict != Incomplete {
			t.Errorf("%v, %s", err, r.Verdict)
		}
	})
}

func TestACancelledRunIsNoVerdict(t *testing.T) {
	p := folderPlace{t, t.TempDir()}
	fill(p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Run(ctx, Options{Store: p.store(), TempDir: t.TempDir(), Now: time.Now()}); err == nil || r.Verdict == Whole {
		t.Errorf("%v, %s", err, r.Verdict)
	}
}

func TestCommandsSurviveAShell(t *testing.T) {
	c := Commands{Config: "my conf.yaml", Archive: "s3://lake/"}
	f := Finding{Kind: Doubled, Key: "raw/it's $HOME.gz"}
	if got, want := c.Repair(f), `aws s3 rm 's3://lake/raw/it'\''s $HOME.gz'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, k := range slices.Sorted(maps.Keys(map[Kind]bool{Missing: true, Altered: true, Lines: true, Doubled: true, Gap: true, Foreign: true})) {
		if c.Repair(Finding{Kind: k, Key: "k", Manifest: "m", Shard: "s"}) == "" {
			t.Errorf("%s names no command", k)
		}
	}
}
