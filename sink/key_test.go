package sink_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
)

const uuid = "959487e4-754a-46e0-9b2d-f8cf1ce8a226"

var arrival = time.Date(2026, 7, 13, 14, 5, 9, 123_456_789, time.UTC)

func keyer(t testing.TB, c sink.KeyConfig) *sink.Keyer {
	t.Helper()
	if c.StreamName == "" {
		c.StreamName = "orders"
	}
	if c.Version == 0 {
		c.Version = 1
	}
	k, err := sink.NewKeyer(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysAreFirehoses(t *testing.T) {
	const errors = "err/!{firehose:error-output-type}/"
	gz := codec(t, sink.Gzip, 0)
	for _, c := range []struct {
		name   string
		config sink.KeyConfig
		want   string
	}{
		{"none", sink.KeyConfig{Codec: gz}, "2026/07/13/14/orders-1-2026-07-13-14-05-09-" + uuid + ".gz"},
		{"a literal is glued to the date", sink.KeyConfig{Prefix: "legacy"}, "legacy2026/07/13/14/orders-1-2026-07-13-14-05-09-" + uuid},
		{"a folder", sink.KeyConfig{Prefix: "logs/", Version: 12}, "logs/2026/07/13/14/orders-12-2026-07-13-14-05-09-" + uuid},
		{
			"a timestamp replaces the date",
			sink.KeyConfig{Prefix: "y=!{timestamp:yyyy}/d=!{timestamp:DDD}", ErrorPrefix: errors},
			"y=2026/d=194orders-1-2026-07-13-14-05-09-" + uuid,
		},
		{"the time zone is that of the name too", sink.KeyConfig{TimeZone: "Asia/Calcutta"}, "2026/07/13/19/orders-1-2026-07-13-19-35-09-" + uuid},
		{"FileExtension replaces", sink.KeyConfig{Codec: gz, FileExtension: ".custom.log"}, "2026/07/13/14/orders-1-2026-07-13-14-05-09-" + uuid + ".custom.log"},
		{"seconds only", sink.KeyConfig{Prefix: "!{timestamp:SSSSSSSSS}/", ErrorPrefix: errors}, "000000000/orders-1-2026-07-13-14-05-09-" + uuid},
		{"zstd", sink.KeyConfig{Codec: codec(t, sink.Zstd, 0)}, "2026/07/13/14/orders-1-2026-07-13-14-05-09-" + uuid + ".zst"},
	} {
		if got := keyer(t, c.config).Key(arrival, uuid); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestErrorKeysAreFirehoses(t *testing.T) {
	const name = "orders-1-2026-07-13-14-05-09-" + uuid
	for _, c := range []struct {
		config sink.KeyConfig
		want   string
	}{
		{sink.KeyConfig{Codec: codec(t, sink.Gzip, 0)}, "processing-failed/2026/07/13/14/" + name},
		{sink.KeyConfig{Prefix: "p/", FileExtension: ".x"}, "p/processing-failed/2026/07/13/14/" + name},
		{sink.KeyConfig{ErrorPrefix: "e/!{firehose:error-output-type}/"}, "e/processing-failed/" + name},
		{
			sink.KeyConfig{ErrorPrefix: "e/!{firehose:error-output-type}-!{firehose:error-output-type}/!{timestamp:yyyy}/"},
			"e/processing-failed-processing-failed/2026/" + name,
		},
		{sink.KeyConfig{ErrorPrefix: "plain/"}, "plain/processing-failed/2026/07/13/14/" + name},
	} {
		if got := keyer(t, c.config).ErrorKey("processing-failed", arrival, uuid); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.config, got, c.want)
		}
	}
}

func TestRandomStringsAreNewPerOccurrenceAndObjectButNotPerRecord(t *testing.T) {
	k := keyer(t, sink.KeyConfig{Prefix: "!{firehose:random-string}/!{firehose:random-string}/!{timestamp:HH}/", ErrorPrefix: "e/!{firehose:error-output-type}/"})
	form := regexp.MustCompile(`^([0-9a-f]{11})/([0-9a-f]{11})/14/orders-`)
	a := form.FindStringSubmatch(k.Key(arrival, uuid))
	b := form.FindStringSubmatch(k.Key(arrival, strings.Replace(uuid, "9", "8", 1)))
	if a == nil || b == nil || a[1] == a[2] || a[1] == b[1] || a[2] == b[2] {
		t.Fatalf("%q and %q", a, b)
	}
	if x, y := k.Key(arrival, uuid), k.Key(arrival, uuid); x != y {
		t.Error("the same object has two names")
	}
	if r := k.Route(arrival); r != k.Route(arrival.Add(time.Minute)) || r == k.Route(arrival.Add(time.Hour)) {
		t.Errorf("route %q", r)
	}
}

func TestRefusalsAreFirehoses(t *testing.T) {
	const constraint = "The supplied prefix(es) do not satisfy the following constraint: "
	const failed = "e/!{firehose:error-output-type}/"
	zone := "Provided custom time zone is not supported. Custom time zones are limited to UTC and non-3-letter IANA time zones."
	for _, c := range []struct {
		config sink.KeyConfig
		want   []string
	}{
		{sink.KeyConfig{Prefix: "!{timestamp:yyyy}"}, []string{constraint + "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions"}},
		{sink.KeyConfig{ErrorPrefix: "!{timestamp:yyyy}"}, []string{constraint + "ErrorOutputPrefix must contain at least one occurrence of !{firehose:error-output-type}"}},
		{sink.KeyConfig{Prefix: failed, ErrorPrefix: failed}, []string{constraint + "Prefix must not contain any occurrence of !{firehose:error-output-type}"}},
		{sink.KeyConfig{Prefix: "!{", ErrorPrefix: failed}, []string{constraint + "Invalid expression usage"}},
		{sink.KeyConfig{Prefix: "!{yyyy}", ErrorPrefix: failed}, []string{constraint + "Invalid expression usage"}},
		{sink.KeyConfig{Prefix: "!{timestamp:}", ErrorPrefix: failed}, []string{constraint + "Invalid expression usage"}},
		{sink.KeyConfig{Prefix: "!{time:yyyy}", ErrorPrefix: failed}, []string{constraint + "Namespace to the left of colon (time) is an invalid keyword!"}},
		{sink.KeyConfig{Prefix: "!{timestamp:C}", ErrorPrefix: failed}, []string{constraint + "Invalid conversion character used in the value of the expression in Prefix"}},
		{sink.KeyConfig{Prefix: "!{firehose:x}", ErrorPrefix: failed}, []string{constraint + "Invalid conversion character used in the value of the expression in Prefix"}},
		{sink.KeyConfig{Prefix: strings.Repeat("p", 513)}, []string{constraint + "Length of evaluated prefix cannot be greater than 512"}},
		{sink.KeyConfig{ErrorPrefix: strings.Repeat("p", 513)}, []string{constraint + "Length of evaluated ErrorOutputPrefix cannot be greater than 512"}},
		{sink.KeyConfig{Prefix: "!{partitionKeyFromQuery:k}", ErrorPrefix: failed}, []string{"Dynamic Partitioning Namespaces can only be part of a prefix expression when Dynamic Partitioning is enabled."}},
		{sink.KeyConfig{DynamicPartitioning: true}, []string{"S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled"}},
		{sink.KeyConfig{ErrorPrefix: failed + "!{partitionKeyFromLambda:k}"}, []string{"Dynamic Partitioning Namespaces can't be part of an error prefix expression"}},
		{sink.KeyConfig{TimeZone: "EST"}, []string{zone}},
		{sink.KeyConfig{TimeZone: "Mars/Phobos"}, []string{zone}},
		{sink.KeyConfig{TimeZone: "Europe/../UTC"}, []string{zone}},
		{
			sink.KeyConfig{TimeZone: "Local", Prefix: "!{", FileExtension: "gz"},
			[]string{zone, `file extension "gz" does not match ^$|\.[0-9a-z!\-_.*'()]+ with at most 128 characters`, constraint + "Invalid expression usage"},
		},
	} {
		c.config.StreamName, c.config.Version = "orders", 1
		_, err := sink.NewKeyer(c.config)
		if err == nil || standpipe.ClassOf(err) != standpipe.Fatal {
			t.Errorf("%+v: %v", c.config, err)
			continue
		}
		var got []string
		var list interface{ Unwrap() []error }
		if !errors.As(err, &list) {
			t.Fatal(err)
		}
		for _, e := range list.Unwrap() {
			got = append(got, e.Error())
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%+v: %s", c.config, d)
		}
	}
}

func TestWhatFirehoseAcceptsIsAccepted(t *testing.T) {
	for _, c := range []sink.KeyConfig{
		{Prefix: strings.Repeat("p", 512)},
		{Prefix: "!{timestamp:yyyy}", ErrorPrefix: "plainerror/"},
		{TimeZone: "Asia/Calcutta"},
		{TimeZone: "Europe/Kiev"},
		{TimeZone: "Asia/Tokyo"},
		{TimeZone: "Africa/Porto-Novo"},
		{TimeZone: "UTC"},
		{Prefix: "}{$!x"},
		{FileExtension: ".json.gz"},
	} {
		keyer(t, c)
	}
}

func TestPartitionKeysAreBoundPerGroup(t *testing.T) {
	k := keyer(t, sink.KeyConfig{
		DynamicPartitioning: true, ErrorPrefix: "e/!{firehose:error-output-type}/",
		Prefix: "c=!{partitionKeyFromQuery:customer}/!{partitionKeyFromLambda:day}/!{partitionKeyFromQuery:customer}/",
	})
	customer, day := sink.PartitionKey{Source: "partitionKeyFromQuery", Name: "customer"}, sink.PartitionKey{Source: "partitionKeyFromLambda", Name: "day"}
	if d := cmp.Diff([]sink.PartitionKey{customer, day}, k.PartitionKeys()); d != "" {
		t.Error(d)
	}
	if _, err := k.Bind(map[sink.PartitionKey]string{customer: "x"}); err == nil {
		t.Error("a key without a value was bound")
	}
	b, err := k.Bind(map[sink.PartitionKey]string{customer: "acme", day: "mon"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.Key(arrival, uuid), "c=acme/mon/acme/orders-1-2026-07-13-14-05-09-"+uuid; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Aim: comparing timestamps with the span is as good as formatting each prefix.
func TestTheRouteIsConstantWithinASpanAndSpansMeet(t *testing.T) {
	keyers := []*sink.Keyer{
		keyer(t, sink.KeyConfig{}),
		keyer(t, sink.KeyConfig{TimeZone: "Australia/Lord_Howe"}),
		keyer(t, sink.KeyConfig{TimeZone: "America/New_York", Prefix: "!{timestamp:yyyy/MM/dd}/", ErrorPrefix: "e/"}),
		keyer(t, sink.KeyConfig{TimeZone: "Asia/Katmandu", Prefix: "!{timestamp:HH-mm}/!{firehose:random-string}/", ErrorPrefix: "e/"}),
	}
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(keyers).Draw(t, "keyer")
		at := time.Unix(rapid.Int64Range(1_400_000_000, 1_900_000_000).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond"))
		start, end := k.Span(at)
		if at.Before(start) || !at.Before(end) {
			t.Fatalf("%v is not in [%v, %v)", at, start, end)
		}
		for _, other := range []time.Time{start, end.Add(-1)} {
			if k.Route(other) != k.Route(at) {
				t.Fatalf("%v: %s, %v: %s", at, k.Route(at), other, k.Route(other))
			}
		}
		if next, _ := k.Span(end); !next.Equal(end) {
			t.Fatalf("the span after [%v, %v) starts at %v", start, end, next)
		}
	})
}

func FuzzKeyer(f *testing.F) {
	f.Add("!{timestamp:yyyy/MM/dd/HH}/", "e/!{firehose:error-output-type}/", "Europe/Berlin")
	f.Add("x!{firehose:random-string}", "e", "")
	f.Add("!{partitionKeyFromQuery:a}", "!{", "Asia/Calcutta")
	f.Add("!{timestamp:'a}b'}", "\xff", "../../etc/passwd")
	f.Fuzz(func(t *testing.T, prefix, failed, zone string) {
		k, err := sink.NewKeyer(sink.KeyConfig{Prefix: prefix, ErrorPrefix: failed, TimeZone: zone, StreamName: "s", Version: 1})
		if err != nil {
			return
		}
		start, end := k.Span(arrival)
		if arrival.Before(start) || !arrival.Before(end) {
			t.Fatalf("span [%v, %v)", start, end)
		}
		if len(k.Key(arrival, uuid)) < len(uuid) || len(k.ErrorKey("x", arrival, uuid)) < len(uuid) {
			t.Fatal("short key")
		}
	})
}
