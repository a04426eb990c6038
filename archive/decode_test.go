package archive_test

import (
	"archive/zip"
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe/archive"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is input that compresses about as JSON lines do.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"n":%d,"type":"Tip %d","value":"%x"}`+"\n", i, r.IntN(9), r.Uint64())
	}
	return b.Bytes()[:n]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The encoders here follow the formats' descriptions; test/e2e holds the
// decoder against those of Java and Python.
var encoders = []struct {
	name   string
	codec  archive.Codec
	encode func([]byte) []byte
}{
	{"plain", archive.None, bytes.Clone},
	{"gzip", archive.Gzip, func(p []byte) []byte { return gzipped(p) }},
	{"gzip members", archive.Gzip, func(p []byte) []byte {
		return append(append(gzipped(p[:len(p)/3]), gzipped(nil)...), gzipped(p[len(p)/3:])...)
	}},
	{"zip", archive.Zip, func(p []byte) []byte { return zipped(zip.Deflate, p) }},
	{"zip of two", archive.Zip, func(p []byte) []byte { return zipped(zip.Deflate, p[:len(p)/3], p[len(p)/3:]) }},
	{"zip stored", archive.Zip, zipStored},
	{"xerial", archive.Snappy, xerial},
	{"xerial streams", archive.Snappy, func(p []byte) []byte { return append(xerial(p[:len(p)/3]), xerial(p[len(p)/3:])...) }},
	{"hadoop", archive.HadoopSnappy, func(p []byte) []byte { return hadoop(p, 256<<10, 256<<10) }},
	{"hadoop chunks", archive.HadoopSnappy, func(p []byte) []byte { return hadoop(p, 100_000, 30_000) }},
	{"framed", archive.SnappyFramed, func(p []byte) []byte {
		var b bytes.Buffer
		w := snappy.NewBufferedWriter(&b)
		must(w.Write(p))
		w.Close()
		return b.Bytes()
	}},
	{"zstd", archive.Zstd, func(p []byte) []byte { return zstded(p) }},
	{"zstd frames", archive.Zstd, func(p []byte) []byte {
		skippable := []byte{0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}
		return append(append(skippable, zstded(p[:len(p)/3])...), zstded(p[len(p)/3:])...)
	}},
}

func gzipped(p []byte) []byte {
	var b bytes.Buffer
	w := stdgzip.NewWriter(&b)
	must(w.Write(p))
	w.Close()
	return b.Bytes()
}

func zstded(p []byte) []byte {
	w := must(zstd.NewWriter(nil))
	defer w.Close()
	return w.EncodeAll(p, nil)
}

func zipped(method uint16, parts ...[]byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, p := range parts {
		must(must(w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint("part", i), Method: method})).Write(p))
	}
	if err := errors.Join(w.SetComment("a comment"), w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func zipStored(p []byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	sum := must(zip.NewReader(bytes.NewReader(zipped(zip.Deflate, p)), int64(len(zipped(zip.Deflate, p))))).File[0].CRC32
	h := &zip.FileHeader{Name: "x", Method: zip.Store, CRC32: sum, CompressedSize64: uint64(len(p)), UncompressedSize64: uint64(len(p))}
	must(must(w.CreateRaw(h)).Write(p))
	w.Close()
	return b.Bytes()
}

func xerial(p []byte) []byte {
	b := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for chunk := range chunks(p, 32<<10) {
		packed := s2.EncodeSnappy(nil, chunk)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...)
	}
	return b
}

func hadoop(p []byte, block, chunk int) []byte {
	var b []byte
	for whole := range chunks(p, block) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(whole)))
		for part := range chunks(whole, chunk) {
			packed := s2.EncodeSnappy(nil, part)
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...)
		}
	}
	if len(p) == 0 {
		return make([]byte, 4)
	}
	return b
}

func chunks(p []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 {
			k := min(n, len(p))
			if !yield(p[:k]) {
				return
			}
			p = p[k:]
		}
	}
}

func decode(d *archive.Decoder, r io.Reader) ([]byte, archive.Codec, error) {
	plain, codec, err := d.Decode(r, "raw/x")
	if err != nil {
		return nil, codec, err
	}
	b, err := io.ReadAll(plain)
	return b, codec, err
}

func TestEveryFormatIsToldByItsBytesAndReadWhole(t *testing.T) {
	var d archive.Decoder
	defer d.Close()
	for _, size := range []int{0, 1, 40, 70_000, 700_000} {
		for _, e := range encoders {
			raw := e.encode(text(size))
			for name, r := range map[string]io.Reader{"whole": bytes.NewReader(raw), "halves": iotest.HalfReader(bytes.NewReader(raw))} {
				got, codec, err := decode(&d, r)
				if len(raw) == 0 {
					codec = e.codec // nothing is nothing in every format
				}
				if err != nil || codec != e.codec || !bytes.Equal(got, text(size)) {
					t.Errorf("%s of %d, %s: %d bytes, %s, %v", e.name, size, name, len(got), codec, err)
				}
			}
		}
	}
}

// Method: cut each format after each of its bytes. What decodes without an
// error has to be shorter by whole blocks, at one of the places Decode names.
func TestACutObjectIsAnErrorThatNamesItAndWhere(t *testing.T) {
	var d archive.Decoder
	defer d.Close()
	for _, e := range encoders {
		if e.codec == archive.None {
			continue
		}
		raw, silent := e.encode(text(70_000)), 0
		for n := 5; n < len(raw); n += 1 + n/200 {
			_, _, err := decode(&d, bytes.NewReader(raw[:n]))
			if err == nil {
				silent++
				continue
			}
			corrupt, ok := errors.AsType[*archive.CorruptError](err)
			if !ok || corrupt.Key != "raw/x" || corrupt.Offset > int64(n) || corrupt.Codec != e.codec {
				t.Fatalf("%s cut at %d of %d: %v", e.name, n, len(raw), err)
			}
		}
		allowed := map[archive.Codec]int{archive.Snappy: 4, archive.HadoopSnappy: 4, archive.Gzip: 2, archive.Zstd: 2, archive.SnappyFramed: 3}[e.codec]
		if silent > allowed {
			t.Errorf("%s: %d cuts passed in silence", e.name, silent)
		}
	}
}

func TestAFlippedByteIsAnErrorWhereTheFormatHasAChecksum(t *testing.T) {
	var d archive.Decoder
	defer d.Close()
	want := text(70_000)
	for _, e := range encoders {
		switch e.codec {
		case archive.None, archive.Snappy, archive.HadoopSnappy:
			continue
		}
		raw := e.encode(want)
		for i := 40; i < len(raw)-200; i += len(raw) / 50 {
			bad := bytes.Clone(raw)
			bad[i] ^= 0x10
			if got, _, err := decode(&d, bytes.NewReader(bad)); err == nil && !bytes.Equal(got, want) {
				t.Errorf("%s: byte %d flipped, other text and no error", e.name, i)
			}
		}
	}
}

func TestFormatsNobodyReadsAreNamedAndNotTakenForText(t *testing.T) {
	var d archive.Decoder
	for head, want := range map[string]string{
		"BZh91AY&SY...": "the object is bzip2", "\xfd7zXZ\x00...": "the object is xz", "PAR1\x15\x04": "the object is Parquet",
		"Obj\x01\x02": "the object is Avro", "\x04\x22\x4d\x18": "the object is lz4",
	} {
		_, _, err := decode(&d, strings.NewReader(head))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "raw/x: ") {
			t.Errorf("%q: %v", head, err)
		}
	}
	for _, line := range []string{"BZh", "PAR1 is a word\n", "Objects\n", "ORC of the rings\n", "PK\n", "\x1f", "\x00\x00\x00\x05hello there"} {
		if got, codec, err := decode(&d, strings.NewReader(line)); err != nil || codec != archive.None || string(got) != line {
			t.Errorf("%q: %q, %s, %v", line, got, codec, err)
		}
	}
}

func TestBytesBehindTheEndAreAnError(t *testing.T) {
	var d archive.Decoder
	defer d.Close()
	for _, e := range encoders {
		switch e.codec {
		case archive.Gzip, archive.Zip, archive.Zstd, archive.SnappyFramed:
			if _, _, err := decode(&d, bytes.NewReader(append(e.encode(text(100)), "more"...))); err == nil {
				t.Errorf("%s with bytes behind it: no error", e.name)
			}
		}
	}
}

func TestTheReadersOwnErrorIsNotTheFormats(t *testing.T) {
	var d archive.Decoder
	defer d.Close()
	broken := errors.New("connection lost")
	for _, e := range encoders {
		raw := e.encode(text(70_000))
		_, _, err := decode(&d, io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), iotest.ErrReader(broken)))
		if _, corrupt := errors.AsType[*archive.CorruptError](err); corrupt || !errors.Is(err, broken) {
			t.Errorf("%s: %v", e.name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range encoders {
		f.Add(e.encode(text(300)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		plain, _, err := archive.Decode(bytes.NewReader(raw), "x")
		if err != nil {
			return
		}
		defer plain.Close()
		if _, err := io.Copy(io.Discard, io.LimitReader(plain, 64<<20)); err != nil {
			if _, ok := errors.AsType[*archive.CorruptError](err); !ok {
				t.Fatalf("error %v", err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var d archive.Decoder
	defer d.Close()
	want := text(4 << 20)
	for _, e := range encoders {
		raw := e.encode(want)
		b.Run(strings.ReplaceAll(e.name, " ", "-"), func(b *testing.B) {
			b.SetBytes(int64(len(want)))
			b.ReportAllocs()
			for b.Loop() {
				plain, _, err := d.Decode(bytes.NewReader(raw), "x")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
