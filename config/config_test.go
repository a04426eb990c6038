package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/standpipe/standpipe"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sameSettings ignores where a field stood.
var sameSettings = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}), cmpopts.IgnoreFields(Config{}, "Warnings"), cmpopts.EquateEmpty(),
}

func TestDefaultsAreFirehosesAndOurs(t *testing.T) {
	c, err := Parse("least", readTestFile(t, "testdata/least.good.yml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	d := c.ExtendedS3DestinationConfiguration
	got := map[string]any{
		"size": d.BufferingHints.Size(), "interval": d.BufferingHints.Interval(), "zone": d.CustomTimeZone,
		"memory": c.Standpipe.MemoryLimit.Bytes(), "drain": c.Standpipe.DrainTimeout.Std(),
		"start": c.Standpipe.StartingPosition.At, "reads": c.Standpipe.MaxReadsPerSecond,
		"bucket": d.Bucket(), "stream": c.KinesisStreamSourceConfiguration.StreamName(),
		"region": c.KinesisStreamSourceConfiguration.Region(), "warnings": len(c.Warnings),
	}
	want := map[string]any{
		"size": int64(5 << 20), "interval": 300 * time.Second, "zone": "UTC",
		"memory": int64(256 << 20), "drain": 110 * time.Second,
		"start": TrimHorizon, "reads": 1, "bucket": "my-lake", "stream": "class-stream",
		"region": "us-east-1", "warnings": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c.Given("Standpipe.MemoryLimit") || !c.Given("ExtendedS3DestinationConfiguration.BucketARN") {
		t.Error("Given does not tell what the file said from a default")
	}
}

func TestCompressionInForce(t *testing.T) {
	for _, tt := range []struct {
		firehose CompressionFormat
		ours     Compression
		want     Codec
		level    int
	}{
		{CompressionNone, Compression{}, CodecNone, 0},
		{CompressionGZIP, Compression{}, CodecGZIP, 0},
		{CompressionGZIP, Compression{Level: 6}, CodecGZIP, 6},
		{CompressionGZIP, Compression{Format: CodecZSTD, Level: 3}, CodecZSTD, 3},
		{CompressionGZIP, Compression{Format: CodecNone}, CodecNone, 0},
	} {
		c := Default()
		c.ExtendedS3DestinationConfiguration.CompressionFormat, c.Standpipe.Compression = tt.firehose, tt.ours
		if got, level := c.Codec(); got != tt.want || level != tt.level {
			t.Errorf("%s with %+v: %s level %d, want %s level %d", tt.firehose, tt.ours, got, level, tt.want, tt.level)
		}
	}
}

// What Print writes is read back to the same settings, for any valid values.
func TestPrintedSettingsAreReadBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawConfig(t)
		got, err := Parse("printed", []byte(want.String()), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, want)
		}
		if diff := cmp.Diff(want, got, sameSettings); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, want)
		}
	})
}

// drawConfig draws a valid configuration with text that is hard to quote.
func drawConfig(t *rapid.T) *Config {
	text := rapid.StringOfN(rapid.OneOf(
		rapid.SampledFrom([]rune("${}!:#'\"\\ \t\n-|>&*?,[]%@`yestrue01~")), rapid.Rune(),
	), 0, 40, 100).Filter(func(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r == '\r' }) })
	c := Default()
	c.DeliveryStreamName = rapid.StringMatching(`[a-zA-Z0-9_.-]{1,64}`).Draw(t, "name")
	c.DeliveryStreamType = KinesisStreamAsSource
	c.KinesisStreamSourceConfiguration.KinesisStreamARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/" + c.DeliveryStreamName
	d := &c.ExtendedS3DestinationConfiguration
	d.BucketARN = "arn:aws:s3:::" + rapid.StringMatching(`[a-z0-9.-]{3,63}`).Draw(t, "bucket")
	d.Prefix, d.ErrorOutputPrefix = text.Draw(t, "prefix"), text.Draw(t, "error prefix")
	d.BufferingHints = BufferingHints{rapid.IntRange(1, 128).Draw(t, "size"), rapid.IntRange(0, 900).Draw(t, "interval")}
	d.FileExtension = rapid.StringMatching(`|\.[0-9a-z!_.*'()-]{1,20}`).Draw(t, "extension")
	if rapid.Bool().Draw(t, "processing") {
		d.ProcessingConfiguration = ProcessingConfiguration{Enabled: true, Processors: []Processor{{
			Type:       "AppendDelimiterToRecord",
			Parameters: []ProcessorParameter{{"Delimiter", "x" + text.Draw(t, "parameter")}},
		}}}
	}
	s := &c.Standpipe
	s.MemoryLimit = Size(rapid.Int64Range(int64(64*MiB), int64(TiB)).Draw(t, "memory"))
	s.DrainTimeout = Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(t, "drain"))
	s.StartingPosition = rapid.SampledFrom([]Start{
		{At: Latest}, {At: TrimHorizon}, {At: AtTimestamp, Time: time.Date(2026, 11, 20, 1, 2, 3, 4_000_000, time.UTC)},
	}).Draw(t, "start")
	s.Compression = Compression{rapid.SampledFrom([]Codec{CodecGZIP, CodecZSTD}).Draw(t, "codec"), rapid.IntRange(0, 9).Draw(t, "level")}
	s.Endpoint.PathStyle = rapid.Bool().Draw(t, "path style")
	return c
}

func TestGoodFilesAreReadBackTheSameAfterPrint(t *testing.T) {
	for _, name := range files(t, "*.good.yml", 10) {
		want, err := Parse(name, readTestFile(t, name), testEnv)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse("printed", []byte(want.String()), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, sameSettings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every field above Standpipe is one of Firehose's, and every field of Firehose's
// request is a field here, refused by name, or named as without effect.
func TestEveryFirehoseFieldIsKnown(t *testing.T) {
	input := reflect.TypeFor[firehose.CreateDeliveryStreamInput]()
	compareFields(t, "", input, reflect.TypeFor[Config]())
}

func compareFields(t *testing.T, path string, theirs, ours reflect.Type) {
	t.Helper()
	for _, f := range fieldsOf(ours) {
		if _, ok := theirs.FieldByName(f.Name); !ok && f.Name != "Standpipe" {
			t.Errorf("%s is no field of Firehose's", join(path, f.Name))
		}
	}
	for f := range theirs.Fields() {
		if !f.IsExported() || f.Name == "ResultMetadata" {
			continue
		}
		full := join(path, f.Name)
		field, isOurs := fieldOf(ours, f.Name)
		_, refused := refusedKeys[full]
		_, unused := unusedKeys[full]
		switch {
		case !isOurs && !refused && !unused:
			t.Errorf("%s of Firehose is not known", full)
		case isOurs && field.Type.Kind() == reflect.Struct:
			compareFields(t, full, f.Type.Elem(), field.Type)
		}
	}
}

// A rule that cannot be read would accept everything.
func TestEveryRuleCanBeRead(t *testing.T) {
	bound := regexp.MustCompile(`^[0-9]+([A-Za-z]+)?$`)
	for _, s := range sections() {
		for _, f := range fieldsOf(s.kind) {
			if least, most, ok := strings.Cut(f.Tag.Get("rule"), ".."); ok {
				v := reflect.New(f.Type).Elem()
				if !bound.MatchString(least) || !bound.MatchString(most) || boundOf(v, least) >= boundOf(v, most) {
					t.Errorf("%s.%s: rule %q is not a range", s.path, f.Name, f.Tag.Get("rule"))
				}
			}
			if least, most, ok := strings.Cut(f.Tag.Get("length"), ".."); ok {
				lo, err := strconv.Atoi(least)
				hi, err2 := strconv.Atoi(most)
				if err != nil || err2 != nil || lo >= hi {
					t.Errorf("%s.%s: length %q is not a range", s.path, f.Name, f.Tag.Get("length"))
				}
			}
			if _, err := regexp.Compile(f.Tag.Get("match")); err != nil {
				t.Errorf("%s.%s: %v", s.path, f.Name, err)
			}
		}
	}
}

// Every refused key and value is reached by a path that exists.
func TestRefusalsStandWhereTheyCanBeFound(t *testing.T) {
	known := map[string]bool{}
	for _, s := range sections() {
		known[strings.ReplaceAll(s.path, "[]", "")] = true
	}
	for _, key := range append(sortedKeys(refusedKeys), sortedKeys(unusedKeys)...) {
		parent := key[:max(strings.LastIndexByte(key, '.'), 0)]
		if !known[parent] {
			t.Errorf("%s: %q is not a section", key, parent)
		}
	}
	for key := range refusedValues {
		i := strings.LastIndexByte(key, '.')
		if !known[key[:max(i, 0)]] {
			t.Errorf("%s is not a field", key)
		}
	}
}

func TestLoadReadsAFileAndTheEnvironment(t *testing.T) {
	t.Setenv("STANDPIPE_TEST_STREAM", "from-the-environment")
	name := filepath.Join(t.TempDir(), "standpipe.yaml")
	text := strings.Replace(string(readTestFile(t, "testdata/least.good.yml")),
		"DeliveryStreamName: class-stream", "DeliveryStreamName: ${STANDPIPE_TEST_STREAM}", 1)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if c.DeliveryStreamName != "from-the-environment" {
		t.Errorf("the name is %q", c.DeliveryStreamName)
	}
}

func TestAFileThatCannotBeReadIsFatalAndHasAHint(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "absent.yaml"))
	e, ok := errors.AsType[*standpipe.Error](err)
	if !ok || e.Class != standpipe.Fatal || e.Hint == "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %#v", err)
	}
}

func TestAFileThatIsTooLargeIsRefusedUnread(t *testing.T) {
	name := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(name, []byte(strings.Repeat("#\n", fileBytesMax)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(name)
	if ps, ok := errors.AsType[Problems](err); !ok || len(ps) != 1 || !strings.Contains(ps[0].Message, "64 KiB") {
		t.Errorf("the error is %v", err)
	}
}

// Programs read problems as JSON with stable names.
func TestProblemsAsJSON(t *testing.T) {
	_, err := Parse("f.yaml", readTestFile(t, "testdata/memory-with-path.bad.yml"), nil)
	ps, _ := errors.AsType[Problems](err)
	got, err := json.Marshal(ps)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"file":"f.yaml","line":7,"column":46,"path":"Standpipe.Checkpoint.Path",` +
		`"message":"has no meaning with Type: memory","fix":"remove it, or write Type: embedded",` +
		`"source":"Standpipe: {Checkpoint: {Type: memory, Path: ./state}}"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A file that is no configuration at all does not fill the screen, and a long
// line is shown around the mistake.
func TestWhatIsShownIsBounded(t *testing.T) {
	for _, data := range []string{
		strings.Repeat("key: 1\n", 9000),
		"Standpipe: {" + strings.Repeat("Folder: [1], ", 4500) + "}",
	} {
		_, err := Parse("other.yaml", []byte(data), nil)
		ps, _ := errors.AsType[Problems](err)
		if len(ps) != problemsMax+1 || !strings.Contains(ps[problemsMax].Message, "more problems") {
			t.Errorf("%d problems, want %d and one that counts the rest", len(ps), problemsMax)
		}
		if n := len(err.Error()); n > 64<<10 {
			t.Errorf("%d KiB are shown", n>>10)
		}
	}
}

func TestCaretPointsAtTheSameCharacterInAWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := []rune(rapid.StringOfN(rapid.SampledFrom([]rune("ab 한\t")), 1, 600, -1).Draw(t, "source"))
		column := rapid.IntRange(1, len(source)).Draw(t, "column")
		shown, at := window(string(source), column)
		if got := []rune(shown)[at-1]; got != source[column-1] {
			t.Fatalf("column %d of %d is %q, shown at %d as %q", column, len(source), source[column-1], at, got)
		}
		if n := len([]rune(shown)); n > windowMax+2 {
			t.Fatalf("%d characters are shown", n)
		}
	})
}

// A document of brackets costs the parser seconds per 64 KiB; it is not shown to it.
func TestDeepNestingIsRefusedBeforeParsing(t *testing.T) {
	for _, unit := range []string{"[", "{a: ", "- ", "? ", "&a ", "!t "} {
		data := strings.Repeat(unit, fileBytesMax/8/len(unit))
		_, err := Parse("deep", []byte(data), nil)
		ps, ok := errors.AsType[Problems](err)
		if !ok || !strings.Contains(ps[0].Message, "nested deeper") {
			t.Errorf("%q: %.200v", unit, err)
		}
	}
}

func TestSizesAreWrittenAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Size(rapid.Int64Min(0).Draw(t, "bytes"))
		var got Size
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Fatalf("%s is read as %s (%v)", want, got, err)
		}
	})
}

func TestDurationsAreWrittenAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Duration(rapid.Int64Min(0).Draw(t, "nanoseconds"))
		var got Duration
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Fatalf("%s is read as %s (%v)", want, got, err)
		}
	})
}

// No input makes Parse panic; every problem has a place inside the file and a
// message, and what is accepted can be printed and read again.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"*.good.yml", "*.bad.yml"} {
		names, _ := filepath.Glob(filepath.Join("testdata", pattern))
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			if len(data) < 4096 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := testValidators.Parse("fuzz", data, testEnv)
		if err != nil {
			checkProblems(t, err, strings.Count(string(data), "\n")+1)
			return
		}
		if _, err := Parse("again", []byte(c.String()), nil); err != nil {
			t.Fatalf("accepted, printed, refused: %v\n%s", err, c)
		}
	})
}

func checkProblems(t *testing.T, err error, lines int) {
	t.Helper()
	ps, ok := err.(Problems) //nolint:errorlint // the promise is about the error itself
	if !ok || len(ps) == 0 {
		t.Fatalf("the error is %T %v", err, err)
	}
	for _, p := range ps {
		if p.File != "fuzz" || p.Line < 1 || p.Line > lines+1 || p.Column < 1 || p.Message == "" {
			t.Fatalf("a problem without a place in %d lines: %s", lines, fmt.Sprintf("%+v", p))
		}
	}
}
