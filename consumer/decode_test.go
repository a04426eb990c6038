package consumer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
)

// canned answers every call with the same body.
func canned(body []byte) doFunc {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
			ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		}, nil
	}
}

// fetchBody runs a body through our client up to the undecoded page.
func fetchBody(t testing.TB, body []byte) (*Client, *Reader) {
	t.Helper()
	cfg := testConfig()
	cfg.HTTPClient = canned(body)
	c := NewClient(cfg, "s", WithSeed(1))
	r := c.Open(shardNamed("a"), from(standpipe.TrimHorizon))
	r.iterator, r.issued = "i", time.Now()
	if err := r.Fetch(context.Background(), MaxPage); err != nil {
		t.Fatal(err)
	}
	return c, r
}

// both decodes the same answer by the SDK's client as it comes and by ours.
func both(t testing.TB, body []byte) (ours *parsed, oursErr error, theirs *parsed, theirsErr error, fellBack bool) {
	t.Helper()
	cfg := testConfig()
	cfg.HTTPClient = canned(bytes.Clone(body))
	out, theirsErr := stockGet(cfg)
	if theirsErr == nil {
		theirs = new(parsed)
		theirsErr = fromStock(out, theirs)
	}
	c, r := fetchBody(t, bytes.Clone(body))
	ours, oursErr = c.parse(r.body, r.stock)
	return ours, oursErr, theirs, theirsErr, c.Fallbacks() > 0
}

// stockGet is GetRecords by the SDK's client as it comes.
func stockGet(cfg aws.Config) (out *kinesis.GetRecordsOutput, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }).
		GetRecords(context.Background(), &kinesis.GetRecordsInput{ShardIterator: aws.String("i")})
}

// diff compares two parsed pages. The SDK loses up to a millisecond of a
// timestamp to floating point.
func diff(a, b *parsed) string {
	if string(a.next) != string(b.next) || a.behind != b.behind || a.hasBehind != b.hasBehind {
		return fmt.Sprintf("next %q %q, behind %d %d", a.next, b.next, a.behind, b.behind)
	}
	if len(a.records) != len(b.records) || len(a.children) != len(b.children) {
		return fmt.Sprintf("%d and %d records, %d and %d children", len(a.records), len(b.records), len(a.children), len(b.children))
	}
	for i := range a.records {
		x, y := a.records[i], b.records[i]
		if d := x.Arrival.Sub(y.Arrival).Abs(); !bytes.Equal(x.Data, y.Data) || !bytes.Equal(x.PartitionKey, y.PartitionKey) ||
			(x.PartitionKey == nil) != (y.PartitionKey == nil) || !bytes.Equal(x.Sequence, y.Sequence) || d > time.Millisecond {
			return fmt.Sprintf("record %d: %+v and %+v", i, x, y)
		}
	}
	for i := range a.children {
		if fmt.Sprint(a.children[i]) != fmt.Sprint(b.children[i]) {
			return fmt.Sprintf("child %d: %+v and %+v", i, a.children[i], b.children[i])
		}
	}
	return ""
}

// pages that a server may send, and whether the fast decoder takes them.
var pages = []struct {
	name, body string
	fast       bool
}{
	{"empty object", `{}`, true},
	{"idle", `{"MillisBehindLatest":0,"NextShardIterator":"AAAA+/=","Records":[]}`, true},
	{"one", `{"NextShardIterator":"i","Records":[{"ApproximateArrivalTimestamp":1.732000000123E9,"Data":"aGVsbG8=","PartitionKey":"k","SequenceNumber":"49"}],"MillisBehindLatest":12}`, true},
	{"spaces", " {\n\t\"Records\" : [ { \"Data\" : \"aGVsbG8=\" ,\r\n \"SequenceNumber\" : \"1\" } ] } \n", true},
	{"unknown members", `{"New":{"a":[1,-2.5e3,"x\"y",true,false,null,{}],"b":{}},"Records":[{"New":["]}"],"EncryptionType":"KMS","SequenceNumber":"1","Data":""}],"Z":"\\"}`, true},
	{"nulls", `{"Records":null,"NextShardIterator":null,"MillisBehindLatest":null,"ChildShards":null}`, true},
	{"null members", `{"Records":[{"Data":null,"PartitionKey":null,"SequenceNumber":"1","ApproximateArrivalTimestamp":null}]}`, true},
	{"no partition key", `{"Records":[{"Data":"QQ==","SequenceNumber":"1"}]}`, true},
	{"empty partition key", `{"Records":[{"Data":"QQ==","SequenceNumber":"1","PartitionKey":""}]}`, true},
	{"escaped partition key", `{"Records":[{"Data":"QQ==","SequenceNumber":"1","PartitionKey":"{\"a\":\"\\u00e9\ud83d\ude00\n\/\"}"}]}`, true},
	{"utf-8 partition key", `{"Records":[{"Data":"QQ==","SequenceNumber":"1","PartitionKey":"é😀"}]}`, true},
	{"whole seconds", `{"Records":[{"Data":"QQ==","SequenceNumber":"1","ApproximateArrivalTimestamp":1732000000}]}`, true},
	{"children", `{"Records":[],"ChildShards":[{"ShardId":"b","ParentShards":["a","c"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"},"X":1},{"ShardId":"d","ParentShards":[]}]}`, true},
	{"escape in data", `{"Records":[{"Data":"QUFB\/w==","SequenceNumber":"1"}]}`, false},
	{"escape in a name", `{"Re\u0063ords":[{"Data":"QQ==","SequenceNumber":"1"}]}`, false},
	{"member twice", `{"Records":[{"Data":"QQ==","Data":"Qg==","SequenceNumber":"1"}]}`, false},
	{"records twice", `{"Records":[{"Data":"QQ==","SequenceNumber":"1"}],"Records":[]}`, false},
	{"very precise time", `{"Records":[{"Data":"QQ==","SequenceNumber":"1","ApproximateArrivalTimestamp":1732000000.1234567890123}]}`, false},
	{"time that panics in the SDK", `{"Records":[{"Data":"QQ==","SequenceNumber":"1","ApproximateArrivalTimestamp":"NaN"}]}`, false},
	{"deep", `{"X":` + strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40) + `,"NextShardIterator":"i"}`, false},
	{"cut", `{"Records":[{"Data":"QQ==","SequenceNumber":"1"`, false},
	{"not json", `<html>`, false},
	{"bad base64", `{"Records":[{"Data":"Q$==","SequenceNumber":"1"}]}`, true},
	{"bad base64 length", `{"Records":[{"Data":"QUFBQ","SequenceNumber":"1"}]}`, true},
}

func TestTheFastDecoderAgreesWithTheSDK(t *testing.T) {
	for _, p := range pages {
		t.Run(p.name, func(t *testing.T) {
			ours, oursErr, theirs, theirsErr, fell := both(t, []byte(p.body))
			if (oursErr == nil) != (theirsErr == nil) {
				t.Fatalf("errors: ours %v, theirs %v", oursErr, theirsErr)
			}
			if fell == p.fast {
				t.Errorf("fell back: %v", fell)
			}
			if oursErr == nil {
				if d := diff(ours, theirs); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, p := range pages {
		f.Add([]byte(p.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<16 || len(body) == 0 {
			return
		}
		ours, oursErr, theirs, theirsErr, fell := both(t, body)
		switch {
		case fell: // then it is the SDK's decoder
		case oursErr != nil:
			// Refused by us alone: only for what no server sends.
			if theirsErr == nil && !strings.Contains(oursErr.Error(), "sequence number") {
				t.Errorf("refused by us alone: %v", oursErr)
			}
		case theirsErr != nil:
			// Read by us alone: only where the SDK validates what we skip over,
			// the inside of strings and bytes after the page.
			if json.Valid(body) && !strings.Contains(theirsErr.Error(), "MillisBehindLatest") {
				t.Errorf("read by us alone: %v", theirsErr)
			}
		default:
			if largeNumber.Match(body) {
				// The SDK's times wrap around in the year 2262, and it does not
				// know of milliseconds.
				for i := range min(len(ours.records), len(theirs.records)) {
					theirs.records[i].Arrival = ours.records[i].Arrival
				}
			}
			if d := diff(ours, theirs); d != "" {
				t.Error(d)
			}
		}
	})
}

var largeNumber = regexp.MustCompile(`[0-9]{10}|[0-9][eE]`)

// pageBody writes a page the way Kinesis does.
func pageBody(records int, size int, rnd *rand.Rand) []byte {
	var b bytes.Buffer
	b.WriteString(`{"MillisBehindLatest":0,"NextShardIterator":"AAAAAAAAAAHtwfBpEKT2vwPhXWFWcVNPVFJ9","Records":[`)
	data := make([]byte, size)
	for i := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		fmt.Fprintf(&b, `{"ApproximateArrivalTimestamp":1.73200000%04dE9,"Data":"%s","PartitionKey":"key-%d","SequenceNumber":"%s"}`,
			i, base64.StdEncoding.EncodeToString(data), i, seq(i+1))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func TestDecodingInPlaceYieldsEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 400), 0, 20).Draw(t, "data")
		type rec struct {
			Data           []byte
			SequenceNumber string
			PartitionKey   string
		}
		var page struct{ Records []rec }
		for i, d := range want {
			page.Records = append(page.Records, rec{d, seq(i), rapid.String().Draw(t, "key")})
		}
		body, _ := json.Marshal(page)
		var p parsed
		if err := scanPage(body, &p); err != nil {
			t.Fatal(err)
		}
		if err := decodeData(&p); err != nil {
			t.Fatal(err)
		}
		if len(p.records) != len(want) {
			t.Fatalf("%d records of %d", len(p.records), len(want))
		}
		for i, r := range p.records {
			if !bytes.Equal(r.Data, want[i]) || string(r.PartitionKey) != page.Records[i].PartitionKey || string(r.Sequence) != seq(i) {
				t.Fatalf("record %d: %+v", i, r)
			}
		}
	})
}

func TestDecodingAllocatesNothingForARecord(t *testing.T) {
	body := pageBody(1000, 200, rand.New(rand.NewPCG(1, 1)))
	work := make([]byte, len(body))
	var p parsed
	allocs := testing.AllocsPerRun(20, func() {
		copy(work, body)
		p.reset()
		if scanPage(work, &p) != nil || decodeData(&p) != nil || check(&p) != nil || len(p.records) != 1000 {
			t.Fatal("the page was not decoded")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a page of 1000 records", allocs)
	}
}

func TestAWholePageThroughTheReaderAllocatesNothingForARecord(t *testing.T) {
	body := pageBody(5000, 100, rand.New(rand.NewPCG(1, 1)))
	cfg := testConfig()
	cfg.HTTPClient = doFunc(func(r *http.Request) (*http.Response, error) { return canned(body)(r) })
	c := NewClient(cfg, "s")
	r := c.Open(shardNamed("a"), from(standpipe.TrimHorizon))
	run := func() {
		r.iterator, r.issued, r.last = "i", time.Now(), nil
		if err := r.Fetch(context.Background(), MaxPage); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Decode(); err != nil || len(p.Records) != 5000 {
			t.Fatalf("page %+v, error %v", p, err)
		}
		r.Done()
	}
	run()
	if allocs := testing.AllocsPerRun(20, run); allocs > 1000 {
		t.Errorf("%v allocations for a call with 5000 records", allocs)
	}
}

func TestTimestampsAreExactToTheMillisecond(t *testing.T) {
	for text, want := range map[string]int64{
		"1732000000.123": 1732000000123, "1.732000000123E9": 1732000000123, "1732000000": 1732000000000,
		"1.732E9": 1732000000000, "1732000000123": 1732000000123, "17320000001230e-1": 1732000000123, "0": 0, "0.0019": 1,
		"1.7320000009999E+9": 1732000000999,
	} {
		s := scanner{b: []byte(text)}
		var got time.Time
		if !s.timestamp(&got) || got.UnixMilli() != want {
			t.Errorf("%s is %v, want %v", text, got.UnixMilli(), want)
		}
	}
	for _, text := range []string{"", "-1", "01", "1.", ".5", "1e", "1e9999", "1e30", "\"1\"", "99999999999999999999"} {
		s := scanner{b: []byte(text)}
		if s.timestamp(new(time.Time)) && s.i == len(text) {
			t.Errorf("%q was taken for a time", text)
		}
	}
}

func TestADamagedPageIsAskedForAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now())
		s := newService(sh)
		damage := []string{``, `{"Records":[{"Data":"Q$==","SequenceNumber":"1"}],"NextShardIterator":"x"}`, `{"Records":[`, `{"Records":[{"Data":"QQ=="}],"NextShardIterator":"x"}`}
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op != "GetRecords" || len(damage) == 0 {
				return false
			}
			_, _ = io.WriteString(w, damage[0])
			damage = damage[1:]
			return true
		}
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		for range 4 {
			if p, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable || err == nil {
				t.Errorf("page %+v, error %v", p, err)
			}
		}
		same(t, "records", seqsOf(step(t, r)), sequences(1, 3))
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []struct{ n, bytes int }{{10_000, 1000}, {2000, 200}, {100, 100_000}} {
		body := pageBody(size.n, size.bytes, rand.New(rand.NewPCG(1, 1)))
		payload := int64(size.n * size.bytes)
		name := fmt.Sprintf("%dx%d", size.n, size.bytes)
		b.Run(name+"/ours", func(b *testing.B) {
			b.SetBytes(payload)
			b.ReportAllocs()
			work := make([]byte, len(body))
			var p parsed
			for b.Loop() {
				copy(work, body)
				p.reset()
				if scanPage(work, &p) != nil || decodeData(&p) != nil {
					b.Fatal("not decoded")
				}
			}
		})
		b.Run(name+"/sdk", func(b *testing.B) {
			b.SetBytes(payload)
			b.ReportAllocs()
			_, r := fetchBody(b, bytes.Clone(body))
			for b.Loop() {
				if _, err := r.stock.decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
