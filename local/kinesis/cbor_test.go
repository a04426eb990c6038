package kinesis

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

// cborBytes posts a request in CBOR and returns the status and the answer as it
// is on the wire.
func (f *fixture) cborBytes(op string, body []byte) (int, []byte) {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentCBOR)
	r.Header.Set("X-Amz-Target", target+op)
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.Header.Get("Content-Type") != contentCBOR {
		f.t.Fatalf("%s: %v, content type %q", op, err, res.Header.Get("Content-Type"))
	}
	return res.StatusCode, b
}

func (f *fixture) cborCall(op string, body []byte) (int, map[string]any) {
	f.t.Helper()
	status, b := f.cborBytes(op, body)
	var answer map[string]any
	if err := loose.Unmarshal(b, &answer); err != nil {
		f.t.Fatalf("%s answered % x: %v", op, b, err)
	}
	return status, answer
}

// loose takes the service's milliseconds, which tag 1 does not mean, for numbers.
var loose = func() cbor.DecMode {
	m, err := cbor.DecOptions{TimeTag: cbor.DecTagIgnored}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// A rawRecord is a record as it is on the wire.
type rawRecord struct {
	ApproximateArrivalTimestamp cbor.RawMessage
	Data                        cbor.RawMessage
	PartitionKey                string
	SequenceNumber              string
}

func TestCBORHasByteStringsAndIntegerMilliseconds(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	status, out := f.cborCall("PutRecords", cborOf(map[string]any{
		"StreamName": "s", "Unknown": map[string]any{"a": []any{1, nil, 1.5, true, []byte{1}}},
		"Records": []any{
			map[string]any{"Data": []byte{0, 255, '"'}, "PartitionKey": "é"},
			map[string]any{"PartitionKey": "k", "Data": []byte{}, "ExplicitHashKey": "0"},
		},
	}))
	if status != 200 || out["FailedRecordCount"] != uint64(0) || len(out["Records"].([]any)) != 2 {
		t.Fatalf("put: %d %v", status, out)
	}
	it := f.iterator("s", shard0, "TRIM_HORIZON", "")
	_, b := f.cborBytes("GetRecords", cborOf(map[string]any{"ShardIterator": it}))
	var page struct {
		MillisBehindLatest int64
		NextShardIterator  string
		Records            []rawRecord
	}
	if err := cbor.Unmarshal(b, &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Records) != 2 || page.NextShardIterator == "" || len(page.Records[0].SequenceNumber) != sequenceDigits {
		t.Fatalf("page: %+v", page)
	}
	// Tag 1, unsigned 64 bit 1772366400000: 2026-03-01T12:00:00Z in ms.
	if got := hex.EncodeToString(page.Records[0].ApproximateArrivalTimestamp); got != "c11b0000019ca9450a00" {
		t.Errorf("arrival is %s on the wire", got)
	}
	if got := hex.EncodeToString(page.Records[0].Data); got != "4300ff22" {
		t.Errorf("data is %s on the wire, want a byte string", got)
	}
	if page.Records[0].PartitionKey != "é" || hex.EncodeToString(page.Records[1].Data) != "40" {
		t.Errorf("page: %+v", page)
	}
}

// Whatever is asked in either encoding, the answers have the same members.
func TestBothEncodingsSayTheSame(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 2)
	split(f, "s", shard0, "77")
	for op, in := range map[string]map[string]any{
		"DescribeStream":        {"StreamName": "s", "Limit": 2},
		"DescribeStreamSummary": {"StreamName": "s"},
		"ListShards":            {"StreamName": "s"},
		"ListStreams":           {},
		"ListTagsForStream":     {"StreamName": "s"},
		"DescribeLimits":        {},
		"GetShardIterator":      {"StreamName": "s"},
		"PutRecord":             {"StreamName": "s", "Data": 7},
		"PutRecords":            {"StreamName": "t"},
	} {
		status, inCBOR := f.cborCall(op, cborOf(in))
		jsonStatus, _, text := f.raw(op, string(jsonCodec{}.append(nil, in)))
		var inJSON map[string]any
		if err := (jsonCodec{}).decode([]byte(text), &inJSON); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(names(inJSON), names(inCBOR)); status != jsonStatus || d != "" {
			t.Errorf("%s: JSON %d %s, CBOR %d %v: %s", op, jsonStatus, text, status, inCBOR, d)
		}
	}
}

// names reduces an answer to the names of its members.
func names(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = names(x)
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for k, x := range v {
			out[k.(string)] = names(x)
		}
		return out
	case []any:
		var out []any
		for _, x := range v {
			out = append(out, names(x))
		}
		return out
	}
	return nil
}

func TestIndefiniteLengthsAreRead(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	// {_ "StreamName": (_ "s"), "PartitionKey": "k", "Data": (_ h'61' h'62')}
	body := "\xbf\x6aStreamName\x7f\x61s\xff\x6cPartitionKey\x61k\x64Data\x5f\x41a\x41b\xff\xff"
	if status, out := f.cborCall("PutRecord", []byte(body)); status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	body = "\xbf\x6aStreamName\x61s\x67Records\x9f\xbf\x6cPartitionKey\x61k\x64Data\x41c\xff\xff\xff"
	if status, out := f.cborCall("PutRecords", []byte(body)); status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	if got := f.data("s", shard0, "TRIM_HORIZON", ""); got != "ab c" {
		t.Errorf("stored %q", got)
	}
}

func TestCBORErrorsAreCBOR(t *testing.T) {
	f := newFixture(t, Config{})
	for body, want := range map[string]string{
		"":                 "SerializationException",
		"\x01":             "SerializationException",
		"\xa1\x64Data":     "SerializationException",
		"\xa1\x64Data\x9f": "SerializationException",
		"\xbf\x64Data\xff": "SerializationException",
		"\xa1\x64Data\x5b\xff\xff\xff\xff\xff\xff\xff\xff": "SerializationException",
		"\xa1\x61x" + strings.Repeat("\x81", 100) + "\x01": "SerializationException",
		"\xa0\x00":      "SerializationException", // something follows
		"\xa0":          "ValidationException",
		"\xa1\x61x\xf6": "ValidationException", // an unknown null
	} {
		for _, op := range []string{"PutRecord", "GetShardIterator"} {
			status, out := f.cborCall(op, []byte(body))
			if status != 400 || out["__type"] != want {
				t.Errorf("%s % x: %d %v, want %s", op, body, status, out, want)
			}
		}
	}
	if status, out := f.cborCall("Nonsense", nil); status != 400 || out["__type"] != "UnknownOperationException" {
		t.Errorf("%d %v", status, out)
	}
}

func TestTimesAreReadInEveryForm(t *testing.T) {
	at := start0.Add(1500 * time.Millisecond)
	ms := at.UnixMilli()
	for name, v := range map[string]any{
		"tagged ms":      cbor.Tag{Number: 1, Content: ms},
		"tagged seconds": cbor.Tag{Number: 1, Content: float64(ms) / 1000},
		"ms":             ms,
		"seconds":        float64(ms) / 1000,
	} {
		var in struct{ Timestamp *instant }
		if err := (cborCodec{}).decode(cborOf(map[string]any{"Timestamp": v}), &in); err != nil || int64(*in.Timestamp) != ms {
			t.Errorf("%s: %v, %v", name, in.Timestamp, err)
		}
	}
	var in struct{ Timestamp *instant }
	for _, bad := range []any{"now", cbor.Tag{Number: 1, Content: 1e300}, []any{}} {
		if err := (cborCodec{}).decode(cborOf(map[string]any{"Timestamp": bad}), &in); err == nil {
			t.Errorf("%v was taken for %v", bad, in.Timestamp)
		}
	}
}
