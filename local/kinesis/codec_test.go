package kinesis

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/standpipe/standpipe"
	"pgregory.net/rapid"
)

func drawSequence(t *rapid.T) sequence {
	return sequence{
		created: rapid.Int64Range(0, secondsMax-1).Draw(t, "created"),
		index:   rapid.Uint64Range(0, endIndex).Draw(t, "index"),
		time:    rapid.Int64Range(0, secondsMax-1).Draw(t, "time"),
		shard:   rapid.Uint32Range(0, 1<<31-1).Draw(t, "shard"),
	}
}

func TestSequenceNumberHasTheRealLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawSequence(t)
		n, ok := new(big.Int).SetString(q.String(), 10)
		// The layout as hexadecimal digits, the way kinesalite writes it.
		layout := fmt.Sprintf("2%09x%x%016x00%09x%08x2", q.created, q.shard&15, q.index, q.time, q.shard)
		if !ok || n.Text(16) != layout || n.BitLen() != 186 {
			t.Fatalf("%s is %s in hex, want %s", q, n.Text(16), layout)
		}
		if len(q.String()) != 56 || q.String()[:2] != "49" && q.created < 2_600_000_000 { // "49" until 2052
			t.Fatalf("%s has %d digits", q, len(q.String()))
		}
		if back, err := parseSequence(q.String()); err != nil || back != q {
			t.Fatalf("%s parsed to %+v, %v", q, back, err)
		}
	})
}

func TestSequenceNumbersOrderByShardCreationThenIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parent, child := drawSequence(t), drawSequence(t)
		if parent.created == child.created {
			return
		}
		if got := standpipe.CompareSequence(parent.String(), child.String()) < 0; got != (parent.created < child.created) {
			t.Fatalf("order of %+v and %+v is not that of their shards' creation", parent, child)
		}
		later := parent
		later.time = child.time
		if later.index++; later.index <= endIndex && standpipe.CompareSequence(parent.String(), later.String()) >= 0 {
			t.Fatalf("index %d does not sort after %d", later.index, parent.index)
		}
	})
}

func FuzzParseSequence(f *testing.F) {
	for _, s := range []string{"0", "1", "49590338271490256608559692538361571095921575989136588898", "21269319989652663814458848515492872193", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if q, err := parseSequence(s); err == nil && q.String() != s {
			t.Errorf("%q parsed to %+v, which is %s", s, q, q)
		}
	})
}

// The numbers are those of AWS's own documentation pages.
func TestARealSequenceNumberParses(t *testing.T) {
	for _, tc := range []struct {
		number string
		want   sequence
	}{
		{"49544985256907370027570885864065577703022652638596431874", sequence{0x54616917, 0x32003d1f4, 0x5554d797, 0}},
		{"49590338271490256608559692538361571095921575989136588898", sequence{0x5bf4e5c2, 0x67648a17, 0x5c181eea, 6}},
		{"49598630142999655949899443842509554952738656579378741250", sequence{0x5d577e38, 0x26cd54ed, 0x5d9e7cfa, 0}},
	} {
		if q, err := parseSequence(tc.number); err != nil || q != tc.want {
			t.Errorf("%s is %+v, want %+v; %v", tc.number, q, tc.want, err)
		}
	}
}

func TestIteratorSurvivesItsStringAndFitsIn512(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		it := iterator{
			stream:  rapid.StringMatching(`[a-zA-Z0-9_.-]{1,128}`).Draw(t, "stream"),
			created: rapid.Int64Range(0, 1<<50).Draw(t, "created"),
			shard:   rapid.Uint32().Draw(t, "shard"), next: rapid.Uint64().Draw(t, "next"),
			issued: rapid.Int64Range(0, 1<<50).Draw(t, "issued"), generation: rapid.Uint64().Draw(t, "generation"),
			nonce: rapid.Uint64().Draw(t, "nonce"),
		}
		s := it.String()
		if back, ok := parseIterator(s); !ok || back != it || len(s) > 512 {
			t.Fatalf("%+v came back as %+v, %v; %d long", it, back, ok, len(s))
		}
		at := rapid.IntRange(0, len(s)-1).Draw(t, "at")
		b := []byte(s)
		b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if back, ok := parseIterator(string(b)); ok && back != it {
			t.Fatalf("a damaged iterator was taken for %+v", back)
		}
	})
}

func FuzzParseIterator(f *testing.F) {
	f.Add(iterator{stream: "s", created: 1, shard: 2, next: 3, issued: 4}.String())
	f.Add(`"AAAA"`)
	f.Add("aQE\n\n\nCAwQAAHPSD0UCU3kOxQ==")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if it, ok := parseIterator(s); ok && it.String() != s && `"`+it.String()+`"` != s {
			t.Errorf("%q parsed to %+v", s, it)
		}
	})
}

func TestHashKeysAreDecimalTo128Bits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := hashKey{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		if back, ok := parseHashKey(k.String()); !ok || back != k {
			t.Fatalf("%s came back as %s", k, back)
		}
		if k != maxHashKey && (k.next().prev() != k || k.compare(k.next()) >= 0) {
			t.Fatalf("%s and its neighbour are out of order", k)
		}
	})
	if k := keyHash([]byte("a")).big().Text(16); k != "cc175b9c0f1b6a831c399e269772661" { // MD5 of "a", RFC 1321
		t.Errorf("hash key of a is %s", k)
	}
	for _, bad := range []string{"", "340282366920938463463374607431768211456", "999999999999999999999999999999999999999", "-1", "1x"} {
		if k, ok := parseHashKey(bad); ok {
			t.Errorf("%q was taken for %s", bad, k)
		}
	}
}

func TestEvenRangesCoverTheHashSpace(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 100, ShardsMax} {
		want := hashKey{}
		for i, r := range evenRanges(n) {
			if r.Start != want || r.End.compare(r.Start) < 0 {
				t.Fatalf("%d ranges: number %d is %s to %s, want it to start at %s", n, i, r.Start, r.End, want)
			}
			want = r.End.next()
		}
		if want != (hashKey{}) {
			t.Errorf("%d ranges end at %s", n, want.prev())
		}
	}
	if k := evenRanges(3)[1].Start.String(); k != "113427455640312821154458202477256070485" { // floor(2^128/3)
		t.Errorf("second of three starts at %s", k)
	}
}

func FuzzParsePut(f *testing.F) {
	f.Add([]byte(`{"StreamName":"s","Records":[{"Data":"YQ==","PartitionKey":"k"},{"Data":"","PartitionKey":"\u00e9\"","ExplicitHashKey":"0"}]}`), false)
	f.Add([]byte(`{"StreamName":"s","Data":"YWI=","PartitionKey":"k","x":[{"y":[1,true,null,"\\"]}]}`), true)
	f.Add([]byte(`{"Records":null,"DryRun":true}`), false)
	f.Add([]byte(`{"Records":[{}]`), false)
	f.Add(cborOf(map[string]any{"StreamName": "s", "Records": []any{map[string]any{"Data": []byte("a"), "PartitionKey": "k", "x": []any{1, 2.5, nil}}}}), false)
	f.Add([]byte("\xbf\x64Data\x5f\x41a\x41b\xff\x6cPartitionKey\x7f\x61k\xff\xff"), true)
	f.Fuzz(func(t *testing.T, body []byte, one bool) {
		for _, c := range []codec{jsonCodec{}, cborCodec{}} {
			before := bytes.Clone(body)
			in, err := parsePut(c.scan(body), one, &arena{make([]byte, len(body))})
			if err != nil {
				continue
			}
			var v violations
			in.check(&v, "records.%d.member.")
			if !bytes.Equal(before, body) {
				t.Error("parsing changed the body")
			}
		}
	})
}

func cborOf(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestAFrameThatDoesNotRiseIsTorn(t *testing.T) {
	c := newChunk(chunkMin, "x")
	c.add(7, 1000, []byte("key"), []byte("data"))
	for last, whole := range map[uint64]bool{6: true, 7: false, 8: false} {
		if _, _, err := parseFrame(c.buf, last); (err == nil) != whole {
			t.Errorf("index 7 after %d: %v", last, err)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	c := newChunk(chunkMin, "x")
	c.add(7, 1000, []byte("key"), []byte("data"))
	f.Add(c.buf, uint64(6))
	f.Add(c.buf[:20], uint64(6))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, last uint64) {
		e, n, err := parseFrame(b, last)
		if err != nil {
			return
		}
		again := newChunk(n, "x")
		key := b[e.at : e.at+int(e.keyLen)]
		again.add(e.index, e.arrival, key, b[e.at+int(e.keyLen):n])
		if !bytes.Equal(again.buf, b[:n]) {
			t.Errorf("frame % x reads as %+v, which is % x", b[:n], e, again.buf)
		}
	})
}
