package canned_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/bench/canned"
)

// What docs/performance.md says of the data.
func TestPayloadsHaveTheLengthAndTheEntropyTheyPromise(t *testing.T) {
	for kind, want := range map[canned.Kind]struct{ length, ratio float64 }{
		canned.Small: {173, 3.8},
		canned.Click: {951, 5.4},
		canned.Large: {9956, 7.4},
	} {
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		all := canned.Payloads(kind, 1, 4<<20)
		n := 0
		for _, p := range all {
			n += len(p)
			if _, err := w.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		length, ratio := float64(n)/float64(len(all)), float64(n)/float64(zipped.Len())
		t.Logf("%s: %.0f bytes, gzip -6 ratio %.2f", kind, length, ratio)
		if math.Abs(length/want.length-1) > 0.03 || math.Abs(ratio/want.ratio-1) > 0.05 {
			t.Errorf("%s: %.0f bytes each, ratio %.2f; want %.0f and %.1f", kind, length, ratio, want.length, want.ratio)
		}
	}
}

func TestTheSameSeedGivesTheSamePayloads(t *testing.T) {
	for _, kind := range canned.Kinds {
		a, b, c := canned.Payloads(kind, 7, 1<<16), canned.Payloads(kind, 7, 1<<16), canned.Payloads(kind, 8, 1<<16)
		if !bytes.Equal(bytes.Join(a, nil), bytes.Join(b, nil)) {
			t.Errorf("%s: differs", kind)
		}
		if bytes.Equal(bytes.Join(a, nil), bytes.Join(c, nil)) {
			t.Errorf("%s: another seed gives the same", kind)
		}
		for _, p := range a {
			if !json.Valid(p) || bytes.IndexByte(p, '\n') != len(p)-1 {
				t.Fatalf("%s: %q is not one line of JSON", kind, p)
			}
		}
	}
}

func TestAPageIsAGetRecordsAnswer(t *testing.T) {
	slices := canned.Slices(canned.Click, 3, 3, 4000)
	arrival := time.UnixMilli(1_763_806_200_123)
	body := canned.Page{Slices: slices, First: 98, Arrival: arrival, Behind: 1500 * time.Millisecond, Next: "it"}.Append(nil)
	var page struct {
		MillisBehindLatest int64
		NextShardIterator  string
		Records            []struct {
			ApproximateArrivalTimestamp float64
			Data                        []byte
			PartitionKey                string
			SequenceNumber              string
		}
	}
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatal(err)
	}
	if page.MillisBehindLatest != 1500 || page.NextShardIterator != "it" {
		t.Errorf("behind %d, next %q", page.MillisBehindLatest, page.NextShardIterator)
	}
	var want [][]byte
	for n := range slices {
		want = append(want, canned.Payloads(canned.Click, 3+uint64(n), 4000)...)
	}
	if len(page.Records) != len(want) {
		t.Fatalf("%d records, want %d", len(page.Records), len(want))
	}
	last := ""
	for n, r := range page.Records {
		if !bytes.Equal(r.Data, want[n]) {
			t.Errorf("record %d holds %q", n, r.Data)
		}
		if got := math.Round(r.ApproximateArrivalTimestamp * 1000); got != 1_763_806_200_123 {
			t.Errorf("record %d arrived at %v ms", n, got)
		}
		if len(r.SequenceNumber) != 56 || r.SequenceNumber <= last {
			t.Errorf("record %d has sequence number %s after %s", n, r.SequenceNumber, last)
		}
		last = r.SequenceNumber
	}
	if !strings.HasSuffix(page.Records[2].SequenceNumber, "00100") {
		t.Errorf("record 2 has sequence number %s, want 98+2", page.Records[2].SequenceNumber)
	}
}
