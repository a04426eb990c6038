package consumer

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
)

func unpack(data []byte, mode Deaggregation, r HashRange) (out []UserRecord, res Unpacked) {
	res = Unpack(standpipe.Record{Data: data, PartitionKey: []byte("outer")}, mode, r, func(u UserRecord) bool {
		out = append(out, u)
		return true
	})
	return out, res
}

func user(key, hash, data string) UserRecord {
	u := UserRecord{Data: []byte(data), PartitionKey: []byte(key)}
	if hash != "" {
		u.ExplicitHashKey = []byte(hash)
	}
	return u
}

// lowHalf is the range of the first shard of two.
func lowHalf(t testing.TB) HashRange {
	t.Helper()
	r, err := RangeOf(standpipe.Shard{HashStart: "0", HashEnd: "170141183460469231731687303715884105727"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealed wraps a protobuf body as an aggregate with a right digest.
func sealed(body []byte) []byte {
	sum := md5.Sum(body)
	return append(append(bytes.Clone(magic), body...), sum[:]...)
}

// TestAnAggregateOfTheWireIsRead uses bytes written down by hand after the
// format's description, not by our encoder: two users, one with a hash key and
// a tag, and the tables after the records.
func TestAnAggregateOfTheWireIsRead(t *testing.T) {
	body, _ := hex.DecodeString("" +
		"1a" + "0c" + "0800" + "1a02" + "6869" + "2204" + "0a02" + "7461" + // records{0, "hi", tags{key "ta"}}
		"1a" + "09" + "0801" + "1000" + "1a03" + "790a7a" + // records{1, 0, "y\nz"}
		"0a01" + "61" + "0a01" + "62" + // partition_key_table "a", "b"
		"1202" + "3432") // explicit_hash_key_table "42"
	got, res := unpack(sealed(body), KeepAll, wholeRange)
	same(t, "result", res, Unpacked{Aggregate: true, Users: 2})
	same(t, "user records", got, []UserRecord{
		{Data: []byte("hi"), PartitionKey: []byte("a")},
		{Data: []byte("y\nz"), PartitionKey: []byte("b"), ExplicitHashKey: []byte("42"), Sub: 1},
	})
}

// TestAnAggregateOfTheNodePackageIsRead uses what npm aws-kinesis-agg 4.2.8 made
// of three user records; ours comes out the same, byte for byte.
func TestAnAggregateOfTheNodePackageIsRead(t *testing.T) {
	vector, err := hex.DecodeString("f3899ac20a01610a0162120234321a0808001a046f6e650a1a09080110001a0300ff0a1a0908001a057468726565eb54e12370796212fb97638fb0058e05")
	if err != nil {
		t.Fatal(err)
	}
	want := []UserRecord{user("a", "", "one\n"), user("b", "42", "\x00\xff\n"), user("a", "", "three")}
	want[1].Sub, want[2].Sub = 1, 2
	got, res := unpack(vector, KCL, wholeRange)
	same(t, "result", res, Unpacked{Aggregate: true, Users: 3})
	same(t, "user records", got, want)
	same(t, "ours", hex.EncodeToString(AppendAggregate(nil, want)), hex.EncodeToString(vector))
}

// The hash keys of the tests: MD5("a") starts 0x0c, MD5("b") 0x92, so "a" is
// in the low half and "b" is not.
func TestEachModeKeepsWhatItSays(t *testing.T) {
	mixed := []UserRecord{user("a", "", "1"), user("b", "", "2"), user("b", "7", "3"), user("a", "340282366920938463463374607431768211455", "4"), user("a", "", "5")}
	clean := []UserRecord{user("a", "", "1"), user("b", "7", "2")}
	for _, tc := range []struct {
		mode    Deaggregation
		users   []UserRecord
		want    string
		dropped int64
	}{
		{KeepAll, mixed, "12345", 0},
		{InRange, mixed, "135", 2},
		{KCL, mixed, "", 5},
		{KeepAll, clean, "12", 0},
		{InRange, clean, "12", 0},
		{KCL, clean, "12", 0},
		{KeepAll, nil, "", 0},
		{InRange, nil, "", 0},
		{KCL, nil, "", 0},
	} {
		data := AppendAggregate(nil, tc.users)
		if len(tc.users) == 0 {
			data = sealed([]byte{0x0a, 1, 'a'})
		}
		got, res := unpack(data, tc.mode, lowHalf(t))
		var s string
		for i, u := range got {
			s += string(u.Data)
			if u.Sub != int64(i) {
				t.Errorf("%s: user record %d has sub %d", tc.mode, i, u.Sub)
			}
		}
		if s != tc.want || res.Users != int64(len(got)) || res.Dropped != tc.dropped || !res.Aggregate || res.Corrupt {
			t.Errorf("%s of %d: %q, %+v; want %q, %d dropped", tc.mode, len(tc.users), s, res, tc.want, tc.dropped)
		}
	}
	whole := AppendAggregate(nil, mixed)
	if got, res := unpack(whole, Off, lowHalf(t)); len(got) != 1 || !bytes.Equal(got[0].Data, whole) || !res.Aggregate || res.Corrupt {
		t.Errorf("off: %d, %+v", len(got), res)
	}
}

func TestADamagedAggregateIsDeliveredAsItIs(t *testing.T) {
	good := AppendAggregate(nil, []UserRecord{user("a", "", "one"), user("b", "", "two")})
	body := good[4 : len(good)-16]
	rec := func(fields ...byte) []byte {
		return sealed(append([]byte{0x0a, 1, 'a', 0x1a, byte(len(fields))}, fields...))
	}
	flipped, wrongSum := bytes.Clone(good), bytes.Clone(good)
	flipped[len(good)-17] ^= 1 // the last byte of "two": sound but for the digest
	wrongSum[len(good)-1] ^= 1
	for name, data := range map[string][]byte{
		"no magic":               []byte("a line\n"),
		"magic alone":            magic,
		"magic and a digest":     append(bytes.Clone(magic), make([]byte, 16)...),
		"cut":                    good[:len(good)-1],
		"a byte flipped":         flipped,
		"another digest":         wrongSum,
		"right digest, cut body": sealed(body[:len(body)-1]),
		"key index outside":      rec(0x08, 1, 0x1a, 1, 'x'),
		"hash index outside":     rec(0x08, 0, 0x10, 0, 0x1a, 1, 'x'),
		"no key index":           rec(0x1a, 1, 'x'),
		"no data":                rec(0x08, 0),
		"tag without key":        rec(0x08, 0, 0x1a, 1, 'x', 0x22, 2, 0x12, 0),
		"index of another type":  rec(0x0d, 0, 0, 0, 0, 0x1a, 1, 'x'),
		"field number 0":         rec(0x00, 0),
		"end of a group":         rec(0x0c, 0x08, 0, 0x1a, 1, 'x'),
		"huge length":            sealed([]byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f}),
		"huge index":             rec(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x1a, 1, 'x'),
	} {
		for _, mode := range []Deaggregation{KeepAll, InRange} {
			got, res := unpack(data, mode, wholeRange)
			if len(got) != 1 || !bytes.Equal(got[0].Data, data) || string(got[0].PartitionKey) != "outer" || res.Users != 1 || res.Dropped != 0 {
				t.Errorf("%s, %s: %v, %+v", name, mode, got, res)
			}
			if res.Corrupt != IsAggregate(data) {
				t.Errorf("%s, %s: corrupt %v", name, mode, res.Corrupt)
			}
		}
	}
}

func TestKCLKeepsWhatCameBeforeABadIndex(t *testing.T) {
	good := AppendAggregate(nil, []UserRecord{user("a", "", "one"), user("a", "", "two")})
	body := good[4 : len(good)-16]
	body = append(bytes.Clone(body), 0x1a, 5, 0x08, 9, 0x1a, 1, 'x') // a third user with key 9
	got, res := unpack(sealed(body), KCL, wholeRange)
	if len(got) != 2 || string(got[1].Data) != "two" || !res.Corrupt || res.Dropped != 1 {
		t.Errorf("%v, %+v", got, res)
	}
}

func TestAnAggregateInsideAnAggregateStaysClosed(t *testing.T) {
	inner := AppendAggregate(nil, []UserRecord{user("a", "", "x")})
	got, res := unpack(AppendAggregate(nil, []UserRecord{{Data: inner, PartitionKey: []byte("a")}}), KeepAll, wholeRange)
	if len(got) != 1 || !bytes.Equal(got[0].Data, inner) || res.Users != 1 {
		t.Errorf("%v, %+v", got, res)
	}
}

func TestAggregatesSurviveTheRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		users := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) UserRecord {
			u := UserRecord{Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"), PartitionKey: []byte(rapid.StringN(1, 5, -1).Draw(t, "key"))}
			if rapid.Bool().Draw(t, "hashed") {
				u.ExplicitHashKey = []byte(fmt.Sprint(rapid.Uint64().Draw(t, "hash")))
			}
			return u
		}), 1, 20).Draw(t, "users")
		got, res := unpack(AppendAggregate(nil, users), rapid.SampledFrom([]Deaggregation{KeepAll, InRange, KCL}).Draw(t, "mode"), wholeRange)
		if len(got) != len(users) || res.Corrupt || res.Users != int64(len(users)) {
			t.Fatalf("%d of %d, %+v", len(got), len(users), res)
		}
		for i, u := range got {
			if !bytes.Equal(u.Data, users[i].Data) || !bytes.Equal(u.PartitionKey, users[i].PartitionKey) || !bytes.Equal(u.ExplicitHashKey, users[i].ExplicitHashKey) || u.Sub != int64(i) {
				t.Fatalf("user record %d: %+v, want %+v", i, u, users[i])
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{0x0a, 1, 'a', 0x1a, 5, 0x08, 0, 0x1a, 1, 'x'}, true)
	f.Add(AppendAggregate(nil, []UserRecord{user("a", "1", "one")})[4:], false)
	f.Add([]byte("plain"), false)
	r := HashRange{last: hashKey{hi: 1 << 62}}
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(data)
		}
		for _, mode := range Deaggregations {
			got, res := unpack(data, mode, r)
			var size int
			for _, u := range got {
				size += len(u.Data)
			}
			if res.Users != int64(len(got)) || size > len(data) || res.Users+res.Dropped > int64(len(data)/2+1) {
				t.Errorf("%s: %d yielded, %+v, %d bytes of %d", mode, len(got), res, size, len(data))
			}
			if mode == KeepAll && (res.Dropped != 0 || !res.Aggregate && len(got) != 1) {
				t.Errorf("keep-all lost something: %+v", res)
			}
		}
	})
}

func TestStoppingEarlyStops(t *testing.T) {
	data := AppendAggregate(nil, []UserRecord{user("a", "", "1"), user("a", "", "2"), user("a", "", "3")})
	n := 0
	Unpack(standpipe.Record{Data: data}, KeepAll, wholeRange, func(UserRecord) bool { n++; return n < 2 })
	if n != 2 {
		t.Errorf("%d yielded", n)
	}
}

func TestUnpackingAllocatesNothing(t *testing.T) {
	var users []UserRecord
	for i := range 200 {
		users = append(users, user(fmt.Sprint("key", i%7), "", "some data of a user record"))
	}
	rec := standpipe.Record{Data: AppendAggregate(nil, users)}
	r := lowHalf(t)
	for _, mode := range Deaggregations {
		var n int
		if allocs := testing.AllocsPerRun(100, func() {
			Unpack(rec, mode, r, func(u UserRecord) bool { n += len(u.Data); return true })
		}); allocs > 10 { // of 200 user records; the race detector empties pools at random
			t.Errorf("%s: %v allocations", mode, allocs)
		}
	}
}

func TestHashKeysAreReadAs128Bits(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{1,41}`).Draw(t, "digits")
		want, _ := new(big.Int).SetString(text, 10)
		k, ok := parseHashKey([]byte(text))
		if ok != (want.Cmp(limit) < 0 && len(text) <= 39) {
			t.Fatalf("%s: %v", text, ok)
		}
		got := new(big.Int).Add(new(big.Int).Lsh(new(big.Int).SetUint64(k.hi), 64), new(big.Int).SetUint64(k.lo))
		if ok && got.Cmp(want) != 0 {
			t.Fatalf("%s became %s", text, got)
		}
	})
	for _, s := range []standpipe.Shard{{HashStart: "5", HashEnd: "4"}, {HashStart: "x", HashEnd: "4"}, {HashStart: "0"}} {
		if _, err := RangeOf(s); err == nil {
			t.Errorf("%+v has a range", s)
		}
	}
	if r, err := RangeOf(standpipe.Shard{}); err != nil || r != WholeRange() {
		t.Errorf("a shard without a range: %+v, %v", r, err)
	}
}

func BenchmarkUnpack(b *testing.B) {
	var users []UserRecord
	for i := range 200 {
		users = append(users, user(fmt.Sprint("key", i), "", string(bytes.Repeat([]byte("x"), 200))))
	}
	rec := standpipe.Record{Data: AppendAggregate(nil, users)}
	b.SetBytes(int64(len(rec.Data)))
	b.ReportAllocs()
	for b.Loop() {
		Unpack(rec, KeepAll, wholeRange, func(UserRecord) bool { return true })
	}
}
