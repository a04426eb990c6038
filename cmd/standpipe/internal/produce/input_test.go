package produce

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/text/encoding/korean"

	"github.com/standpipe/standpipe/archive"
)

// gather reads a source to its end: the lines, the rejections, the error.
func gather(s Source) (data, rejected []string, err error) {
	for r, e := range s {
		switch rejection, ok := e.(*Rejection); {
		case ok:
			rejected = append(rejected, rejection.Error())
		case e != nil:
			err = e
		default:
			data = append(data, string(r.Data))
		}
	}
	return data, rejected, err
}

func text(format, encoding string, r io.Reader) Source {
	in := &Input{Files: []string{"-"}, Stdin: r, Format: format, Encoding: encoding}
	return in.Records(context.Background())
}

func check(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestLinesKeepTheirBytesButForTheLineEnd(t *testing.T) {
	data, rejected, err := gather(text("ndjson", "", iotest.OneByteReader(strings.NewReader("\ufeff{\"a\": 1}\r\n\n\xff\xfe \n  x\r\r\n\r\nlast"))))
	if err != nil || rejected != nil {
		t.Fatal(err, rejected)
	}
	check(t, "lines", data, `{"a": 1}`, "\xff\xfe ", "  x\r", "last")
}

func TestALineOfExactlyTheLimitPasses(t *testing.T) {
	exact := strings.Repeat("x", LineMax)
	for _, end := range []string{"", "\n", "\r\n"} {
		data, rejected, err := gather(text("ndjson", "", strings.NewReader(exact+end)))
		if err != nil || rejected != nil || len(data) != 1 || data[0] != exact {
			t.Errorf("end %q: %d lines, %v, %v", end, len(data), rejected, err)
		}
		_, rejected, err = gather(text("ndjson", "", strings.NewReader(exact+"x"+end)))
		if err != nil {
			t.Fatal(err)
		}
		check(t, "rejected", rejected, "stdin:1: longer than 10485760 bytes, the longest line that is read")
	}
}

func TestReadErrorsNameTheInputAndEndIt(t *testing.T) {
	data, _, err := gather(text("ndjson", "", io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(io.ErrClosedPipe))))
	check(t, "lines before", data, "a")
	if err == nil || !strings.Contains(err.Error(), "read -") {
		t.Errorf("error %v", err)
	}
}

func TestCSVRowsBecomeObjectsInTheOrderOfTheHeader(t *testing.T) {
	in := "\ufeffz,a b,\"q\"\"\"\n1,<é>,\n\"two\nlines\",\"x,\"\"y\"\"\",007\n"
	data, rejected, err := gather(text("csv", "", strings.NewReader(in)))
	if err != nil || rejected != nil {
		t.Fatal(err, rejected)
	}
	check(t, "rows", data, `{"z":"1","a b":"<é>","q\"":""}`, `{"z":"two\nlines","a b":"x,\"y\"","q\"":"007"}`)
}

func TestAByteOrderMarkBeforeAQuoteIsNoPartOfTheHeader(t *testing.T) {
	data, rejected, err := gather(text("csv", "", strings.NewReader("\ufeff\"a,b\",c\n1,2\n")))
	if err != nil || rejected != nil {
		t.Fatal(err, rejected)
	}
	check(t, "rows", data, `{"a,b":"1","c":"2"}`)
}

// Of two fields of one name most readers keep the last: a column would be lost.
func TestACSVHeaderNamesAColumnOnce(t *testing.T) {
	for in, want := range map[string]string{
		"a,b, a\n1,2,3\n": `read -: csv header: "a" names columns 1 and 3; give each a name of its own`,
		"a,,\n1,2,3\n":    `read -: csv header: "" names columns 2 and 3; give each a name of its own`,
	} {
		data, _, err := gather(text("csv", "", strings.NewReader(in)))
		if len(data) > 0 || err == nil || err.Error() != want {
			t.Errorf("%q: rows %q, error %v, want %s", in, data, err, want)
		}
	}
}

func TestABrokenRowCostsOnlyItself(t *testing.T) {
	in := "a,b\n1,2\n1,2,3\nx\"y,2\n5,\xff\n6,7\n"
	data, rejected, err := gather(text("csv", "utf-8", strings.NewReader(in)))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "rows", data, `{"a":"1","b":"2"}`, `{"a":"6","b":"7"}`)
	check(t, "rejected", rejected, "stdin:3: csv: 3 fields, the header has 2", `stdin:4: csv: bare " in non-quoted-field`,
		"stdin:5: holds bytes that are not UTF-8; Korean files often need --encoding cp949")
}

// endless is a quote that never closes.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.n += len(p)
	return len(p), nil
}

func TestAQuoteLeftOpenDoesNotEatTheMemory(t *testing.T) {
	e := &endless{}
	_, _, err := gather(text("csv", "", io.MultiReader(strings.NewReader("a\n\"open"), e)))
	if err == nil || !strings.Contains(err.Error(), "is a quote left open?") {
		t.Errorf("error %v", err)
	}
	if e.n > LineMax+1<<20 {
		t.Errorf("read %d bytes", e.n)
	}
}

func TestKoreanFilesBecomeUTF8(t *testing.T) {
	encoded, err := korean.EUCKR.NewEncoder().String("단지,주소\n래미안,서울 똠방각하\n")
	if err != nil {
		t.Fatal(err)
	}
	data, rejected, err := gather(text("csv", "cp949", strings.NewReader(encoded+"\xff\xff,x\n")))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "rows", data, `{"단지":"래미안","주소":"서울 똠방각하"}`)
	check(t, "rejected", rejected, "stdin:3: holds bytes that are not cp949")
	data, rejected, _ = gather(text("ndjson", "euc-kr", strings.NewReader(encoded+"\xff\n")))
	check(t, "lines", data, "단지,주소", "래미안,서울 똠방각하")
	check(t, "rejected", rejected, "stdin:3: holds bytes that are not euc-kr")
}

func TestFilesAreTakenByNameAndMagicAndRepeated(t *testing.T) {
	dir := t.TempDir()
	var zipped bytes.Buffer
	for _, part := range []string{"a,b\n1,2\n", "3,4\n"} { // two members
		z := gzip.NewWriter(&zipped)
		_, _ = io.WriteString(z, part)
		z.Close()
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	in := &Input{Files: []string{write("one.csv.gz", zipped.Bytes()), write("two", []byte("x\ny"))}, Format: FormatAuto, Repeat: 2}
	if err := in.Check(); err != nil {
		t.Fatal(err)
	}
	data, rejected, err := gather(in.Records(context.Background()))
	if err != nil || rejected != nil {
		t.Fatal(err, rejected)
	}
	once := []string{`{"a":"1","b":"2"}`, `{"a":"3","b":"4"}`, "x", "y"}
	check(t, "records", data, append(once, once...)...)
	if in.Read() != in.Size() || in.Size() != int64(2*(zipped.Len()+3)) {
		t.Errorf("read %d of %d bytes", in.Read(), in.Size())
	}
}

func TestWhatCantBeReadIsKnownBefore(t *testing.T) {
	for want, in := range map[string]*Input{
		"no such file": {Files: []string{"/nowhere/x"}},
		"is a folder":  {Files: []string{t.TempDir()}},
		"--repeat":     {Files: []string{"-"}, Repeat: 2},
	} {
		if err := in.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestEventsAreAFunctionOfTheSeed(t *testing.T) {
	first := func(seed uint64) string {
		var b strings.Builder
		n := 0
		for r, err := range Events(context.Background(), seed) {
			if err != nil || !json.Valid(r.Data) {
				t.Fatalf("event %d: %v %s", n, err, r.Data)
			}
			b.Write(r.Data)
			if n++; n == 500 {
				break
			}
		}
		return b.String()
	}
	if a, b := first(7), first(7); a != b {
		t.Error("the same seed made different events")
	}
	if first(7) == first(8) {
		t.Error("different seeds made the same events")
	}
	const pinned = `{"n":0,"time":"2022-04-18T00:00:00.000Z",`
	if got := first(7); !strings.HasPrefix(got, pinned) {
		t.Errorf("event 0 is %.120s", got)
	}
}

func TestKeysAreCheckedBeforeAnythingIsSent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, bad := range []string{"$", "$.", "$a", "$.a..b", "$.a[0]", "$.*", strings.Repeat("k", 257)} {
		if _, err := ParseKey(bad, rng); err == nil {
			t.Errorf("--key %.20s was taken", bad)
		}
	}
	key, err := ParseKey("$.a", rng)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		`{"a":"x"}`: "x", `{"a":1e3}`: "1e3", `{"a":true}`: "true",
		`{"a":null}`: "", `{"a":""}`: "", `{"a":{}}`: "", `[1]`: "", `text`: "", `{"b":1}`: "", `{"a":"` + strings.Repeat("é", 257) + `"}`: "",
	} {
		got, err := key([]byte(line))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.30s: key %q, error %v", line, got, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\n\nb"))
	f.Add([]byte("\ufeff{}\n\xff"))
	f.Add([]byte("\x00d\xbf{")) // might begin a block of Hadoop's snappy
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, codec, err := archive.Decode(bytes.NewReader(b), "")
		if err != nil || codec != archive.None {
			return // not text: that is archive's to fuzz
		}
		plain.Close()
		data, rejected, err := gather(text("ndjson", "", bytes.NewReader(b)))
		if err != nil || rejected != nil {
			t.Fatal(err, rejected)
		}
		var want []string
		for i, l := range strings.Split(string(b), "\n") {
			l = strings.TrimSuffix(l, "\r")
			if i == 0 {
				l = strings.TrimPrefix(l, "\ufeff")
			}
			if l == "" {
				continue
			}
			want = append(want, l)
		}
		check(t, "lines", data, want...)
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n\"x\ny\",z\n"))
	f.Add([]byte("\ufeffa\n\"\xff\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, _, _ := gather(text("csv", "", bytes.NewReader(b)))
		for _, d := range data {
			if !json.Valid([]byte(d)) || d[0] != '{' {
				t.Fatalf("row became %q", d)
			}
		}
	})
}

func FuzzTag(f *testing.F) {
	f.Add([]byte(`{"a":1}`))
	f.Add([]byte(` { } `))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := (&Tag{Run: "r"}).add(b)
		if err == nil && json.Valid(b) && !json.Valid(out) {
			t.Fatalf("%q became %q", b, out)
		}
	})
}
