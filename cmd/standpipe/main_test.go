package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/kinesistest"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/produce"
	"github.com/standpipe/standpipe/status"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	// The help text is as wide as COLUMNS says; the AWS settings of whoever
	// runs the tests are not theirs.
	for _, name := range []string{"COLUMNS", "AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", statusAddressVariable} {
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// result is what a command leaves behind.
type result struct {
	code        int
	out, errors string
}

func standpipeWith(ctx context.Context, stdin io.Reader, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, stdin, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func call(args ...string) result {
	return standpipeWith(context.Background(), strings.NewReader(""), args...)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update writes it anew): -want +got\n%s", path, diff)
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	root := call("--help")
	if root.code != exitOK || root.errors != "" {
		t.Fatalf("%+v", root)
	}
	golden(t, "help.txt", root.out)
	_, list, _ := strings.Cut(root.out, "Commands:\n")
	n := 0
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "   ") {
			continue
		}
		n++
		r := call(fields[0], "--help")
		if r.code != exitOK || r.errors != "" || !strings.Contains(r.out, "Examples:") {
			t.Errorf("%s --help: %+v", fields[0], r)
		}
		golden(t, "help-"+fields[0]+".txt", r.out)
	}
	if n < 5 {
		t.Errorf("found %d commands", n)
	}
}

func TestNoCommandShowsTheHelpAndFails(t *testing.T) {
	if r := call(); r.code != exitUsage || r.out != "" || !strings.Contains(r.errors, "Commands:") {
		t.Errorf("%+v", r)
	}
}

func TestUsageErrorsSayWhatAndWhereTheHelpIs(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"cta x", `standpipe: unexpected argument cta, did you mean "cat"?; see standpipe --help`},
		{"status --bogus", "standpipe: unknown flag --bogus; see standpipe status --help"},
		{"produce", "standpipe: missing flags: --stream=NAME or --url=URL; see standpipe produce --help"},
		{"produce --stream s --url u", "standpipe: --stream and --url can't be used together; see standpipe produce --help"},
		{"produce --stream s --rate 5/fortnight", `standpipe: --rate: rate "5/fortnight": give records per time, like 200/s or 6000/m; see standpipe produce --help`},
		{"produce --stream s --key $.a..b", "standpipe: --key $.a..b: a path is $.name or $.name.name"},
		{"produce --stream s --generate events x", "standpipe: --generate makes records: name no files"},
		{"produce --stream s --repeat 2", "standpipe: standard input can't be read twice: --repeat needs files"},
		{"produce --stream s --concurrency 65", "standpipe: --concurrency 65: give 1 to 64"},
		{"produce --url http://x --aggregate", "standpipe: --hot-shard and --aggregate are about Kinesis records: they need --stream"},
		{"produce --stream s --run-id x", "standpipe: --run-id is part of --tag: give both"},
		{"produce --stream s /nowhere", "standpipe: open the input: stat /nowhere: no such file or directory"},
		{"produce --url ftp://x", "standpipe: --url ftp://x: not an address like http://127.0.0.1:8080/PROD/v1"},
		{"produce --stream s", "standpipe: load the AWS settings: no region (give --region or set AWS_REGION; for a local endpoint set AWS_ENDPOINT_URL_KINESIS, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL_DYNAMODB)"},
		{"cat --limit=-2 x", "standpipe: --limit -2: a number of lines is not negative"},
		{"status --fail-if-freshness 0s", "standpipe: --fail-if-freshness 0s: give a positive duration like 15m"},
		{"status --watch --fail-if-freshness 1m", "standpipe: --fail-if-freshness looks once: leave --watch out"},
		{"local --shards 0", "standpipe: --shards 0: give 1 to 10000"},
		{"local --demo --no-delivery", "standpipe: --demo shows a delivery: leave --no-delivery out"},
		{"healthcheck --url localhost", "standpipe: --url localhost: not an address like http://127.0.0.1:9410/livez"},
	} {
		t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
		r := call(strings.Fields(c.args)...)
		if r.code != exitUsage || r.errors != c.want+"\n" || r.out != "" {
			t.Errorf("%s: code %d, out %q\n got %s want %s", c.args, r.code, r.out, r.errors, c.want)
		}
	}
}

// aim points the environment at an endpoint with test credentials.
func aim(t *testing.T, variable, url string) {
	t.Helper()
	t.Setenv(variable, url)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
}

func TestProduceSendsFilesAndSumsUp(t *testing.T) {
	stub := kinesistest.New(t, "class-stream", 0, nil)
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stub.URL)
	file := filepath.Join(t.TempDir(), "danji.csv")
	if err := os.WriteFile(file, []byte("value,type\n30,Tip 3\n31\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := call("produce", "--stream", "class-stream", "--tag", "--run-id", "r1", "--key", "$.value", file)
	said := regexp.MustCompile(`^sent 1 records, 49 B, in .* to stream class-stream, 1 rejected, run r1\n$`)
	if r.code != exitRejected || !said.MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	if want := "rejected danji.csv:3: csv: 1 fields, the header has 2\nstandpipe: 1 of 2 records rejected\n"; r.errors != want {
		t.Errorf("errors %q", r.errors)
	}
	if got := stub.Lines(); got != `{"value":"30","type":"Tip 3","_run":"r1","_n":1}`+"\n" || stub.Stored()[0].Key != "30" {
		t.Errorf("stored %v", stub.Stored())
	}
}

func TestProduceFromStandardInputWithJSONSummary(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, nil)
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stub.URL)
	r := standpipeWith(context.Background(), strings.NewReader("a\nb\n"), "produce", "--stream", "s", "--no-newline", "--json")
	var sum produce.Summary
	if err := json.Unmarshal([]byte(r.out), &sum); err != nil || r.code != exitOK || r.errors != "" {
		t.Fatalf("%v %+v", err, r)
	}
	if sum.Records != 2 || sum.Bytes != 2 || sum.Target != "stream s" || sum.Rejections == nil || stub.Lines() != "ab" {
		t.Errorf("summary %+v, stored %q", sum, stub.Lines())
	}
	keys := stub.Stored()
	if keys[0].Key == keys[1].Key || len(keys[0].Key) != 32 {
		t.Errorf("keys %q %q are not random", keys[0].Key, keys[1].Key)
	}
}

func TestGeneratedRunsRepeatByteForByte(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, nil)
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stub.URL)
	for range 2 {
		if r := call("produce", "--stream", "s", "--generate", "events", "--count", "700", "--seed", "5", "-q"); r.code != exitOK {
			t.Fatalf("%+v", r)
		}
	}
	stored := stub.Stored()
	if len(stored) != 1400 {
		t.Fatalf("stored %d", len(stored))
	}
	for i, r := range stored[:700] {
		if other := stored[700+i]; !bytes.Equal(r.Data, other.Data) || r.Key != other.Key {
			t.Fatalf("record %d differs between the runs", i)
		}
	}
}

func TestInterruptExits130AndStillSumsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stub := kinesistest.New(t, "s", 0, func(call int, _ []kinesistest.Record) (string, map[int]string) {
		if call == 2 {
			cancel()
		}
		return "", nil
	})
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stub.URL)
	r := standpipeWith(ctx, strings.NewReader(""), "produce", "--stream", "s", "--generate", "events")
	if r.code != exitInterrupted || r.errors != "standpipe: interrupted\n" || !strings.HasPrefix(r.out, "sent ") {
		t.Errorf("%+v", r)
	}
}

func TestInterruptEndsAReadThatBlocks(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	defer pw.Close()
	stub := kinesistest.New(t, "s", 0, func(int, []kinesistest.Record) (string, map[int]string) {
		cancel()
		return "", nil
	})
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stub.URL)
	go func() { _, _ = io.WriteString(pw, "one\n") }()
	if r := standpipeWith(ctx, pr, "produce", "--stream", "s"); r.code != exitInterrupted || stub.Lines() != "one\n" {
		t.Errorf("%+v, stored %q", r, stub.Lines())
	}
}

func TestProduceToAURLPostsTheLinesAsTheyAre(t *testing.T) {
	var bodies []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, r.Method+" "+r.URL.Path+" "+string(b))
	}))
	defer srv.Close()
	defer srv.CloseClientConnections()
	r := standpipeWith(context.Background(), strings.NewReader(`{"value":"30"}`+"\n"), "produce", "--url", srv.URL+"/PROD/v1", "--rate", "60000/m")
	if r.code != exitOK || !slices.Equal(bodies, []string{`POST /PROD/v1 {"value":"30"}`}) {
		t.Errorf("%+v, bodies %q", r, bodies)
	}
}

func TestCatStopsAtTheLimitAndReportsErrors(t *testing.T) {
	if r := standpipeWith(context.Background(), strings.NewReader("a\nb\nc\n"), "cat", "-n", "2", "-"); r.code != exitOK || r.out != "a\nb\n" {
		t.Errorf("%+v", r)
	}
	if r := call("cat", "/nowhere"); r.code != exitFailed || r.errors != "standpipe: open /nowhere: no such file or directory\n" {
		t.Errorf("%+v", r)
	}
	aim(t, "AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
	if r := call("cat", "s3://lake/x"); r.code != exitFailed || !strings.Contains(r.errors, "get s3://lake/x: ") || !strings.Contains(r.errors, "AWS_ENDPOINT_URL_S3") {
		t.Errorf("%+v", r)
	}
}

// Objects of raw records need not end in a newline; the next one's first line
// is a line of its own all the same. An object alone is printed byte by byte.
func TestCatKeepsLinesOfTwoObjectsApart(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"1": "a", "2": "", "3": "b\n", "4": "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := call("cat", dir); r.code != exitOK || r.out != "a\nb\nc" {
		t.Errorf("%+v", r)
	}
	for n, want := range map[string]string{"0": "", "1": "a", "2": "a\nb\n", "3": "a\nb\nc"} {
		if r := call("cat", "-n", n, dir); r.code != exitOK || r.out != want {
			t.Errorf("%s lines: %+v", n, r)
		}
	}
}

func TestVersionIsWhatTheLinkerSaysElseWhatTheToolchainStamped(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.time", Value: "2026-11-22T12:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	info.Main.Version = "v0.0.0-2026"
	b := status.ReadBuild(info)
	b.Go, b.Platform = "go1.26", "linux/arm64"
	if got, want := describe(b), "standpipe v0.0.0-2026 commit 0123456789ab+changes of 2026-11-22T12:00:00Z go1.26 linux/arm64"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := describe(stamp(b, "v0.3.1", "feed", "2026-11-23")), "standpipe v0.3.1 commit feed of 2026-11-23 go1.26 linux/arm64"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r := call("version", "--json")
	var got status.Build
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.Version == "" || got.Go == "" {
		t.Errorf("%v %+v", err, r)
	}
}

// report is one of everything.
func report() status.Report {
	at := time.Date(2026, 11, 22, 12, 38, 15, 0, time.UTC)
	seq := "49628695723364114399951164086273603527143171538215239730"
	return status.Report{
		Schema: status.SchemaVersion, Time: at,
		Worker:           status.Worker{ID: "task-7f3a", Version: "v0.3.1", UptimeSeconds: status.Seconds((6*24 + 4) * 3600)},
		Stream:           status.Stream{Delivery: "archive", Name: "class-stream", Destination: "s3://my-lake/rawdata/"},
		FreshnessSeconds: status.SecondsOf(41 * time.Second), FreshnessLimitSeconds: status.SecondsOf(5 * time.Minute),
		HeadroomSeconds: status.SecondsOf(23*time.Hour + 41*time.Minute), BufferedBytes: 32715571, BufferLimitBytes: 256 << 20,
		Totals: status.Totals{RecordsRead: 1234567, BytesRead: 5 << 30, LinesDelivered: 1200000, LinesRejected: 2, ObjectsPublished: 412, BytesPublished: 700 << 20},
		Shards: []status.Shard{
			{ID: "shardId-000000000000", State: status.ShardEnded, Checkpoint: &standpipe.Position{Sequence: standpipe.ShardEnd}},
			{
				ID: "shardId-000000000001", State: status.ShardDelivering, Owner: "task-7f3a", Mine: true, BehindSeconds: status.SecondsOf(800 * time.Millisecond),
				BufferedBytes: 32715571, OldestSeconds: status.SecondsOf(41 * time.Second), LastObject: &status.Object{Time: at.Add(-13 * time.Second)},
				Checkpoint: &standpipe.Position{Sequence: seq, Sub: 2},
			},
			{ID: "shardId-000000000002", State: status.ShardFailed, Owner: "task-9c1e", Problem: "put object s3://my-lake/x: AccessDenied"},
		},
		Fleet: []status.FleetWorker{{ID: "task-7f3a", Version: "v0.3.1", Shards: 1}, {ID: "task-9c1e", Version: "v0.3.1", Shards: 1, Leaving: true}}, Unowned: 1,
		Gaps: []status.Gap{{
			Shard: "shardId-000000000000", After: standpipe.Position{Sequence: seq}, Found: at.Add(-time.Hour), Cause: "trimmed by retention",
		}},
		Intents:  []status.Intent{{Shard: "shardId-000000000001", ID: "i-42", Last: standpipe.Position{Sequence: seq}, Prepared: at.Add(-2 * time.Second), Objects: 2, Bytes: 9 << 20}},
		Problems: []status.Problem{{Time: at.Add(-23 * time.Minute), Class: standpipe.Throttled, Text: "S3 SlowDown x3, recovered after 4 s"}},
	}
}

// instance is a status server that reports r.
type instance struct {
	r    status.Report
	live error
}

func (i *instance) Live() error                    { return i.live }
func (i *instance) Ready() error                   { return nil }
func (i *instance) Report(time.Time) status.Report { return i.r }

func serve(t *testing.T, i *instance) (address string) {
	t.Helper()
	s, err := status.New(status.Config{Addr: "127.0.0.1:0", Reporter: i, Health: i})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

func TestStatusShowsARunningInstance(t *testing.T) {
	address := serve(t, &instance{r: report()})
	r := call("status", "--url", "http://"+address)
	if r.code != exitOK || r.errors != "" {
		t.Fatalf("%+v", r)
	}
	golden(t, "status.txt", r.out)
	t.Setenv(statusAddressVariable, address)
	if again := call("status"); again != r {
		t.Errorf("by the environment: %+v", again)
	}
	empty := serve(t, &instance{r: status.Report{Stream: status.Stream{Name: "s", Destination: "file:///data"}, Time: time.Unix(0, 0)}})
	golden(t, "status-empty.txt", call("status", "--url", "http://"+empty+"/").out)
}

// marks shows colours as brackets.
type marks struct{}

func (marks) bold(s string) string { return "[b " + s + "]" }
func (marks) red(s string) string  { return "[r " + s + "]" }

func TestStatusPaintsOnlyWhatNeedsAnEye(t *testing.T) {
	r := report()
	r.FreshnessSeconds = status.SecondsOf(11 * time.Minute)
	var b strings.Builder
	if err := writeReport(&b, r, marks{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-painted.txt", b.String())
}

func TestColourNeedsATerminalAndNoNO_COLOR(t *testing.T) {
	c := newConsole(nil, &bytes.Buffer{}, io.Discard)
	if c.colour || c.red("x") != "x" {
		t.Error("colour without a terminal")
	}
	c.colour = true
	if c.red("x") != "\x1b[31mx\x1b[0m" || c.bold("") != "" {
		t.Error("no colour where it is wanted")
	}
}

func TestStatusJSONIsTheReport(t *testing.T) {
	address := serve(t, &instance{r: report()})
	r := call("status", "--json", "--url", "http://"+address)
	var got status.Report
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitOK {
		t.Fatalf("%v %+v", err, r)
	}
	if diff := cmp.Diff(report(), got); diff != "" {
		t.Error(diff)
	}
}

func TestStatusFailsWhenRecordsWaitTooLong(t *testing.T) {
	address := "http://" + serve(t, &instance{r: report()})
	if r := call("status", "--url", address, "--fail-if-freshness", "42s"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	r := call("status", "--url", address, "--fail-if-freshness", "40s")
	if r.code != exitFailed || r.errors != "standpipe: the oldest undelivered record is 41 s old, the limit is 40 s\n" || r.out == "" {
		t.Errorf("%+v", r)
	}
}

// An alarm that only knows what was read would sleep through a revoked role.
func TestStatusFailsWhenAShardIsNotReadForTooLong(t *testing.T) {
	r := report()
	r.FreshnessSeconds = nil
	r.Shards[1].UnreadSeconds = status.SecondsOf(20 * time.Minute)
	address := "http://" + serve(t, &instance{r: r})
	if r := call("status", "--url", address, "--fail-if-freshness", "30m"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	got := call("status", "--url", address, "--fail-if-freshness", "15m")
	if got.code != exitFailed || got.errors != "standpipe: shardId-000000000001 was not read for 20m 00s, the limit is 15m 00s: what waits in it is not known\n" || got.out == "" {
		t.Errorf("%+v", got)
	}
}

func TestStatusOfSomethingElseIsAnError(t *testing.T) {
	for body, want := range map[string]string{
		"<html>": "is that standpipe?", "{}": "is that standpipe?", `{"schema":99}`: "schema 99, this command knows 1",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		if r := call("status", "--url", srv.URL); r.code != exitFailed || !strings.Contains(r.errors, want) || r.out != "" {
			t.Errorf("%s: %+v", body, r)
		}
		srv.Close()
	}
}

// stopAfter ends the watch after so many reports.
type stopAfter struct {
	instance
	n      int
	cancel func()
}

func (s *stopAfter) Report(now time.Time) status.Report {
	if s.n--; s.n == 0 {
		s.cancel()
	}
	return s.r
}

func TestWatchLooksAgainUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	i := &stopAfter{instance: instance{r: report()}, n: 3, cancel: cancel}
	s, err := status.New(status.Config{Addr: "127.0.0.1:0", Reporter: i, Health: i})
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(serving) }()
	r := standpipeWith(ctx, nil, "status", "--watch", "--interval", "1ms", "--url", "http://"+s.Addr())
	stop()
	<-done
	if r.code != exitOK || strings.Count(r.out, "class-stream") < 2 {
		t.Errorf("%+v", r)
	}
}

func TestHealthcheckIsTheAnswerOfLivez(t *testing.T) {
	i := &instance{}
	address := serve(t, i)
	t.Setenv(statusAddressVariable, address)
	if r := call("healthcheck"); r.code != exitOK || r.out != "ok\n" {
		t.Errorf("%+v", r)
	}
	i.live = io.ErrNoProgress
	if r := call("healthcheck"); r.code != exitFailed || !strings.Contains(r.errors, "/livez answered 503: "+io.ErrNoProgress.Error()) {
		t.Errorf("%+v", r)
	}
	t.Setenv(statusAddressVariable, "127.0.0.1:1")
	if r := call("healthcheck"); r.code != exitFailed || !strings.Contains(r.errors, "is standpipe running?") {
		t.Errorf("%+v", r)
	}
}

func TestHealthcheckDoesNotWaitForever(t *testing.T) {
	hold := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer srv.Close()
	defer close(hold)
	if r := call("healthcheck", "--timeout", "20ms", "--url", srv.URL); r.code != exitFailed || !strings.Contains(r.errors, "deadline exceeded") {
		t.Errorf("%+v", r)
	}
}

func TestStatusURLsOfEveryForm(t *testing.T) {
	for _, c := range []struct{ flag, address, want string }{
		{"", "", "http://127.0.0.1:9410/livez"},
		{"", "0.0.0.0:80", "http://127.0.0.1:80/livez"},
		{"", "[::]:80", "http://127.0.0.1:80/livez"},
		{"", ":80", "http://127.0.0.1:80/livez"},
		{"", "[::1]:80", "http://[::1]:80/livez"},
		{"", "10.0.0.1:80", "http://10.0.0.1:80/livez"},
		{"https://x:1", "ignored", "https://x:1/livez"},
		{"http://x/other", "", "http://x/other"},
	} {
		if got, err := statusURL(c.flag, c.address, "/livez"); got != c.want || err != nil {
			t.Errorf("%q %q: %s, %v, want %s", c.flag, c.address, got, err, c.want)
		}
	}
	if _, err := statusURL("", "9410", "/"); err == nil || !strings.Contains(err.Error(), statusAddressVariable) {
		t.Errorf("error %v", err)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 32715571: "31.2 MiB", 5 << 40: "5.0 TiB", 1 << 60: "1048576 TiB", 200 << 20: "200 MiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := formatCount(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-1: "0 s", 800 * time.Millisecond: "0.8 s", 41 * time.Second: "41 s", 192 * time.Second: "3m 12s", 90 * time.Minute: "1h 30m", 148 * time.Hour: "6d 04h",
	} {
		if got := formatAge(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
