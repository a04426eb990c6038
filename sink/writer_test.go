package sink_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/memory"
	"github.com/standpipe/standpipe/test/e2e/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func codec(t testing.TB, f sink.Format, level int) sink.Codec {
	t.Helper()
	c, err := sink.NewCodec(f, level)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func acquire(t testing.TB, s *sink.Slots) *sink.Encoder {
	t.Helper()
	e, err := s.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// decode reads an object as its consumers do; gzip as one member, with nothing
// after it.
func decode(t testing.TB, f sink.Format, p []byte) []byte {
	t.Helper()
	switch f {
	case sink.Gzip:
		in := bytes.NewReader(p)
		r, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false)
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if in.Len() != 0 {
			t.Fatalf("%d bytes follow the first gzip member", in.Len())
		}
		return out
	case sink.Zstd:
		r, err := zstd.NewReader(bytes.NewReader(p), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	return p
}

// event is a line that compresses about as a click event does.
func event(r *rand.Rand) []byte {
	b := []byte(`{"user":"`)
	for range 12 {
		b = append(b, "0123456789abcdef"[r.IntN(16)])
	}
	b = append(b, `","event":"page_view","path":"/products/`...)
	for range 3 {
		b = append(b, byte('0'+r.IntN(10)))
	}
	return append(b, `","agent":"Mozilla/5.0 (X11; Linux x86_64)","ok":true}`...)
}

// Aim: any encoders, any split, give one object with the lines in order.
// Method: random lines, some empty, some longer than a chunk; each line may be
// given to another encoder; uploads happen whenever.
func TestLinesComeBackWhateverTheSplitAndTheEncoders(t *testing.T) {
	slots := sink.NewSlots(3)
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom([]sink.Format{sink.None, sink.Gzip, sink.Zstd}).Draw(rt, "format")
		level := rapid.IntRange(0, 3).Draw(rt, "level")
		if f == sink.None {
			level = 0
		}
		store := memory.New(memory.Options{})
		w := sink.NewWriter(store, codec(t, f, level), sink.Object{Key: "k"}, sink.WriterOptions{
			PartSize: rapid.Int64Range(10_000, 300_000).Draw(rt, "part size"),
		})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		var want []byte
		for _, n := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 10, 1000, 65_536, 200_000, 524_287, 524_288, 1_300_000}), 0, 6).Draw(rt, "lines") {
			line := make([]byte, n)
			for i := range line {
				line[i] = "abcdefghij"[random.IntN(10)]
			}
			newline := rapid.Bool().Draw(rt, "newline")
			e := acquire(t, slots)
			w.Append(e, line, newline)
			slots.Release(e)
			if want = append(want, line...); newline {
				want = append(want, '\n')
			}
			if rapid.Bool().Draw(rt, "upload") {
				if err := w.Upload(t.Context()); err != nil {
					rt.Fatal(err)
				}
			}
		}
		e := acquire(t, slots)
		w.Finish(e)
		slots.Release(e)
		u, err := w.Stage(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		if err := store.Publish(t.Context(), u); err != nil {
			rt.Fatal(err)
		}
		got := store.Objects()[0].Body
		if w.Size() != int64(len(got)) || w.Size() != u.Size() || w.CRC32() != crc32.ChecksumIEEE(got) || w.Raw() != int64(len(want)) {
			rt.Fatalf("size %d crc %08x raw %d, want %d %08x %d", w.Size(), w.CRC32(), w.Raw(), len(got), crc32.ChecksumIEEE(got), len(want))
		}
		if w.Held() != 0 {
			rt.Fatalf("%d bytes are held after staging", w.Held())
		}
		if plain := decode(t, f, got); !bytes.Equal(plain, want) {
			rt.Fatalf("%d bytes came back, want %d", len(plain), len(want))
		}
	})
}

// object builds an object of about n bytes of events in a file.
func object(t *testing.T, f sink.Format, level, n int) (encoded, plain []byte) {
	t.Helper()
	store := memory.New(memory.Options{})
	slots := sink.NewSlots(2)
	w := sink.NewWriter(store, codec(t, f, level), sink.Object{Key: "k"}, sink.WriterOptions{})
	random := rand.New(rand.NewPCG(1, 2))
	for len(plain) < n {
		e := acquire(t, slots)
		line := event(random)
		w.Append(e, line, true)
		plain = append(append(plain, line...), '\n')
		slots.Release(e)
	}
	e := acquire(t, slots)
	w.Finish(e)
	slots.Release(e)
	u, err := w.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Publish(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return store.Objects()[0].Body, plain
}

// Readers of other languages, which judge the member's end and its trailer
// differently: those that are installed read the object back.
func TestOtherReadersReadTheObject(t *testing.T) {
	gz, plain := object(t, sink.Gzip, 6, 3<<20)
	gz1, _ := object(t, sink.Gzip, 1, 3<<20) // by a compressor of its own
	zst, _ := object(t, sink.Zstd, 0, 3<<20)
	dir := t.TempDir()
	for name, p := range map[string][]byte{
		"o.gz": gz, "o1.gz": gz1, "o.zst": zst,
		"Gunzip.java": []byte(`public class Gunzip { public static void main(String[] a) throws Exception {
			new java.util.zip.GZIPInputStream(new java.io.FileInputStream(a[0])).transferTo(System.out); } }`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reads := func(program string, args ...string) {
		t.Run(program, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), need.Program(t, program), args...)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, said.String())
			}
			if !bytes.Equal(out, plain) {
				t.Fatalf("%d bytes came back, want %d", len(out), len(plain))
			}
		})
	}
	for _, name := range []string{"o.gz", "o1.gz"} {
		file := filepath.Join(dir, name)
		reads("gzip", "-dc", file)
		reads("python3", "-c", "import gzip,sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())", file)
		reads("python3", "-c", "import zlib,sys; d=zlib.decompressobj(31); o=d.decompress(open(sys.argv[1],'rb').read()); "+
			"assert d.eof and not d.unused_data; sys.stdout.buffer.write(o)", file)
		reads("java", filepath.Join(dir, "Gunzip.java"), file)
		reads("node", "-e", "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(process.argv[1])))", file)
	}
	reads("zstd", "-dcq", filepath.Join(dir, "o.zst"))
}

// flaky fails each call once before it lets it through.
type flaky struct {
	sink.Sink
	failed map[string]bool
}

var errFlaky = errors.New("no answer")

func (f *flaky) once(call string) error {
	if f.failed[call] {
		return nil
	}
	f.failed[call] = true
	return errFlaky
}

func (f *flaky) Begin(ctx context.Context, o sink.Object) (sink.Upload, error) {
	if err := f.once("begin"); err != nil {
		return sink.Upload{}, err
	}
	return f.Sink.Begin(ctx, o)
}

func (f *flaky) Append(ctx context.Context, u sink.Upload, n int, b sink.Body) (sink.Part, error) {
	if err := f.once("append" + string(rune('0'+n))); err != nil {
		_, _ = io.CopyN(io.Discard, b, 10)
		return sink.Part{}, err
	}
	return f.Sink.Append(ctx, u, n, b)
}

func (f *flaky) Discard(ctx context.Context, u sink.Upload) error {
	if err := f.once("discard"); err != nil {
		return err
	}
	return f.Sink.Discard(ctx, u)
}

// Some stores (Cloudflare R2) complete an upload only when all of its parts but
// the last have one size.
func TestAllPartsButTheLastHaveOneSize(t *testing.T) {
	for _, format := range []sink.Format{sink.None, sink.Gzip, sink.Zstd} {
		t.Run(string(format), func(t *testing.T) {
			level := map[sink.Format]int{sink.Gzip: 1, sink.Zstd: 3}[format]
			w := sink.NewWriter(memory.New(memory.Options{}), codec(t, format, level), sink.Object{Key: "data/a"}, sink.WriterOptions{})
			e := acquire(t, sink.NewSlots(1))
			rnd := rand.NewChaCha8([32]byte{1})
			line := make([]byte, 700_001) // longer than a chunk, and no divisor of anything
			for range 20 {
				_, _ = rnd.Read(line)
				w.Append(e, line, true)
				if err := w.Upload(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			w.Finish(e)
			u, err := w.Stage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(u.Parts) < 3 {
				t.Fatalf("%d parts", len(u.Parts))
			}
			for n, p := range u.Parts {
				if last := n == len(u.Parts)-1; !last && p.Size != sink.DefaultPartSize || p.Size < 1 || p.Size > sink.DefaultPartSize {
					t.Errorf("part %d of %d has %d bytes", n+1, len(u.Parts), p.Size)
				}
			}
		})
	}
}

func TestStageGoesOnAfterEachFailure(t *testing.T) {
	store := memory.New(memory.Options{})
	slots := sink.NewSlots(1)
	w := sink.NewWriter(&flaky{store, map[string]bool{}}, codec(t, sink.None, 0), sink.Object{Key: "k"}, sink.WriterOptions{PartSize: 1000})
	want := bytes.Repeat([]byte("0123456789"), 250)
	e := acquire(t, slots)
	for i := range 10 {
		w.Append(e, want[i*250:(i+1)*250], false)
	}
	w.Finish(e)
	slots.Release(e)
	var u sink.Upload
	failures := 0
	for {
		var err error
		if u, err = w.Stage(t.Context()); err == nil {
			break
		}
		if failures++; !errors.Is(err, errFlaky) {
			t.Fatal(err)
		}
	}
	if failures != 1+3 || len(u.Parts) != 3 {
		t.Fatalf("%d failures, %d parts", failures, len(u.Parts))
	}
	if again, err := w.Stage(t.Context()); err != nil || again.ID != u.ID || len(again.Parts) != 3 {
		t.Fatalf("staged again: %+v, %v", again, err)
	}
	if err := store.Publish(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if got := store.Objects()[0].Body; !bytes.Equal(got, want) {
		t.Fatalf("%d bytes", len(got))
	}
}

// forgetful is a store that loses uploads before the named part arrives.
type forgetful struct {
	*memory.Sink
	part  int
	times int
	begun int
}

func (f *forgetful) Begin(ctx context.Context, o sink.Object) (sink.Upload, error) {
	f.begun++
	return f.Sink.Begin(ctx, o)
}

func (f *forgetful) Append(ctx context.Context, u sink.Upload, n int, b sink.Body) (sink.Part, error) {
	if n == f.part && f.times > 0 {
		f.times--
		f.Abort(func(sink.Upload) bool { return true })
	}
	return f.Sink.Append(ctx, u, n, b)
}

func TestAnUploadThatIsLostBeforeItsFirstPartIsBegunAnewOnce(t *testing.T) {
	for _, c := range []struct{ part, times, begun int }{
		{part: 1, times: 1, begun: 2}, // everything is in memory still
		{part: 1, times: 9, begun: 2},
		{part: 2, times: 1, begun: 1}, // the first part is gone
	} {
		store := &forgetful{Sink: memory.New(memory.Options{}), part: c.part, times: c.times}
		w := sink.NewWriter(store, codec(t, sink.None, 0), sink.Object{Key: "k"}, sink.WriterOptions{PartSize: 100})
		slots := sink.NewSlots(1)
		e := acquire(t, slots)
		line := bytes.Repeat([]byte("x"), 149)
		w.Append(e, line, true)
		w.Finish(e)
		slots.Release(e)
		up, err := w.Stage(t.Context())
		if lost := c.part > 1 || c.times > 1; lost != errors.Is(err, sink.ErrNoUpload) {
			t.Errorf("%+v: staging gave %v", c, err)
		} else if !lost {
			if err := store.Publish(t.Context(), up); err != nil {
				t.Fatal(err)
			}
			if all := store.Objects(); len(all) != 1 || string(all[0].Body) != string(line)+"\n" {
				t.Errorf("%+v: visible are %v", c, all)
			}
		}
		if store.begun != c.begun {
			t.Errorf("%+v: %d uploads were begun, want %d", c, store.begun, c.begun)
		}
	}
}

func TestAbandonFreesMemoryAtOnceAndTheUploadInTheEnd(t *testing.T) {
	store := memory.New(memory.Options{})
	slots := sink.NewSlots(1)
	w := sink.NewWriter(&flaky{store, map[string]bool{"begin": true, "append1": true}}, codec(t, sink.None, 0), sink.Object{Key: "k"}, sink.WriterOptions{PartSize: 10})
	e := acquire(t, slots)
	w.Append(e, make([]byte, 9), true)
	if err := w.Upload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Append(e, make([]byte, 5), true)
	slots.Release(e)
	if len(store.Staged()) != 1 {
		t.Fatalf("staged: %+v", store.Staged())
	}
	if err := w.Abandon(t.Context()); !errors.Is(err, errFlaky) || w.Held() != 0 {
		t.Fatalf("abandon: %v, %d bytes held", err, w.Held())
	}
	for range 2 {
		if err := w.Abandon(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(store.Staged()) != 0 {
		t.Fatalf("staged: %+v", store.Staged())
	}
}

func TestAnObjectHoldsAboutWhatItContains(t *testing.T) {
	slots := sink.NewSlots(1)
	store := memory.New(memory.Options{})
	w := sink.NewWriter(store, codec(t, sink.Gzip, 1), sink.Object{Key: "k"}, sink.WriterOptions{})
	if w.Held() != 0 {
		t.Fatalf("an empty object holds %d bytes", w.Held())
	}
	e := acquire(t, slots)
	defer slots.Release(e)
	w.Append(e, []byte("a line"), true)
	if w.Held() > 128<<10 {
		t.Fatalf("an object of one line holds %d bytes", w.Held())
	}
	noise := make([]byte, 1<<20)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	var most int64
	for range 24 {
		w.Append(e, noise, true)
		most = max(most, w.Held())
		if err := w.Upload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if most < 5<<20 || most > 7<<20 {
		t.Fatalf("at most %d bytes were held, want about one part and one chunk", most)
	}
	if st := store.Staged(); len(st) != 1 || len(st[0].Parts) != 4 {
		t.Fatalf("staged: %+v", st)
	}
}

func TestStageBeforeFinishIsRefused(t *testing.T) {
	w := sink.NewWriter(memory.New(memory.Options{}), sink.Codec{}, sink.Object{Key: "k"}, sink.WriterOptions{})
	if _, err := w.Stage(t.Context()); standpipe.ClassOf(err) != standpipe.Fatal {
		t.Fatalf("stage: %v", err)
	}
}

func TestALineCostsNoAllocation(t *testing.T) {
	for _, f := range []sink.Format{sink.None, sink.Gzip, sink.Zstd} {
		slots := sink.NewSlots(1)
		w := sink.NewWriter(memory.New(memory.Options{}), codec(t, f, 0), sink.Object{Key: "k"}, sink.WriterOptions{PartSize: 1 << 40})
		e := acquire(t, slots)
		line := event(rand.New(rand.NewPCG(5, 6)))
		for range 20_000 {
			w.Append(e, line, true)
		}
		if n := testing.AllocsPerRun(2000, func() { w.Append(e, line, true) }); n != 0 {
			t.Errorf("%s: %v allocations per line", f, n)
		}
		slots.Release(e)
	}
}

func TestSlotsBoundTheEncoders(t *testing.T) {
	slots := sink.NewSlots(2)
	a, b := acquire(t, slots), acquire(t, slots)
	if a == b {
		t.Fatal("one encoder was lent twice")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errFlaky)
	if _, err := slots.Acquire(ctx); !errors.Is(err, errFlaky) {
		t.Fatalf("acquire: %v", err)
	}
	slots.Release(b)
	if c := acquire(t, slots); c != b {
		t.Fatal("a cold encoder was lent while a warm one was idle")
	}
}

func TestCodecNames(t *testing.T) {
	for _, c := range []struct {
		format              sink.Format
		extension, encoding string
	}{{sink.None, "", ""}, {sink.Gzip, ".gz", "gzip"}, {sink.Zstd, ".zst", "zstd"}, {"", "", ""}} {
		got := codec(t, c.format, 0)
		if got.Extension() != c.extension || got.ContentEncoding() != c.encoding {
			t.Errorf("%s: %q %q", c.format, got.Extension(), got.ContentEncoding())
		}
	}
	for f, level := range map[sink.Format]int{sink.None: 1, sink.Gzip: 10, sink.Zstd: 23, "snappy": 0} {
		if _, err := sink.NewCodec(f, level); err == nil {
			t.Errorf("%s level %d is accepted", f, level)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	random := rand.New(rand.NewPCG(7, 8))
	lines := make([][]byte, 10_000)
	size := 0
	for i := range lines {
		lines[i] = event(random)
		size += len(lines[i]) + 1
	}
	for _, c := range []struct {
		name   string
		format sink.Format
		level  int
	}{{"none", sink.None, 0}, {"gzip-1", sink.Gzip, 1}, {"gzip-2", sink.Gzip, 2}, {"gzip-6", sink.Gzip, 6}, {"zstd-1", sink.Zstd, 1}, {"zstd-3", sink.Zstd, 3}} {
		b.Run(c.name, func(b *testing.B) {
			slots := sink.NewSlots(1)
			e := acquire(b, slots)
			var w *sink.Writer
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				w = sink.NewWriter(memory.New(memory.Options{}), codec(b, c.format, c.level), sink.Object{Key: "k"}, sink.WriterOptions{PartSize: 1 << 40})
				for _, l := range lines {
					w.Append(e, l, true)
				}
				w.Finish(e)
				if w.Held() == 0 {
					b.Fatal("nothing was written")
				}
				ratio := float64(w.Raw()) / float64(w.Size())
				b.ReportMetric(ratio, "ratio")
				if err := w.Abandon(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
