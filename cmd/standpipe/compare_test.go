package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// twoArchives are a day of A and B: one line missing in B, one twice, one
// altered, in the folders a and b of the working directory, so that the golden
// files know no machine.
func twoArchives(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for hour := range 24 {
		var a, b []string
		for i := range 20 {
			line := fmt.Sprintf(`{"n":%d,"type":"Tip %d"}`, hour*20+i, i%4)
			a = append(a, line)
			switch {
			case hour == 3 && i == 5:
			case hour == 7 && i == 2:
				b = append(b, line, line)
			case hour == 9 && i == 9:
				b = append(b, strings.Replace(line, "Tip", "Tap", 1))
			default:
				b = append(b, line)
			}
		}
		archiveFile(t, "a", hour, strings.Join(a, "\n")+"\n")
		archiveFile(t, "b", hour, strings.Join(b, "\n"))
	}
}

func archiveFile(t *testing.T, dir string, hour int, text string) {
	t.Helper()
	path := fmt.Sprintf("%s/2026/11/21/%02d/class-stream-1-2026-11-21-%02d-00-09-959487e4.gz", dir, hour, hour)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte(text))
	w.Close()
	if err := os.WriteFile(path, z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestHelpOfTheCompareCommands(t *testing.T) {
	for _, name := range []string{"archives", "sketch", "diff", "find"} {
		r := call("compare", name, "--help")
		if r.code != exitOK || r.errors != "" || !strings.Contains(r.out, "Examples:") {
			t.Errorf("compare %s --help: %+v", name, r)
		}
		golden(t, "help-compare-"+name+".txt", r.out)
	}
}

func TestCompareSaysWhatIsWrongAndWhere(t *testing.T) {
	twoArchives(t)
	r := call("compare", "--settle=0s", "--combined", "combined.txt", "--html", "report.html", "a", "b")
	combined, err := os.ReadFile("combined.txt")
	if err != nil {
		t.Fatal(err)
	}
	html, err := os.ReadFile("report.html")
	if err != nil {
		t.Fatal(err)
	}
	j := call("compare", "--settle=0s", "--json", "a", "b")
	if err := os.CopyFS("same", os.DirFS("a")); err != nil {
		t.Fatal(err)
	}
	same := call("compare", "--settle=0s", "a", "same")
	goldens(t, map[string]string{
		"compare.txt": r.out, "compare-combined.txt": string(combined), "compare-equal.txt": same.out,
		"compare.json": timeless.ReplaceAllString(j.out, "$1 0"), "compare.html": timeless.ReplaceAllString(string(html), "$1 0"),
	})
	if r.code != exitDifferent || j.code != exitDifferent || same.code != exitOK || r.errors != "standpipe: the archives differ\n" {
		t.Errorf("codes %d, %d, %d, %q", r.code, j.code, same.code, r.errors)
	}
}

// timeless takes away what a run measures of itself.
var timeless = regexp.MustCompile(`("started":|"durationNanoseconds":|begun|took) [-0-9TZ:."+]+( [0-9:]+Z)?[µms]*`)

// goldens looks from the folder of the tests, wherever the test went.
func goldens(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(home)
	for name, got := range files {
		golden(t, name, got)
	}
}

var home = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()

func TestCompareAcrossAccountsExchangesSketches(t *testing.T) {
	twoArchives(t)
	for _, side := range []string{"a", "b"} {
		if r := call("compare", "sketch", "--settle=0s", "--records=lines", "-o", side+".sketch", side); r.code != exitOK || !strings.Contains(r.out, "lines in 24 objects") {
			t.Fatalf("%+v", r)
		}
	}
	if r := call("compare", "diff", "a.sketch", "b.sketch"); r.code != exitDifferent || !strings.Contains(r.out, "missing in A: B has them") {
		t.Errorf("%+v", r)
	}
	r := call("compare", "diff", "--json", "a.sketch", "b.sketch")
	var report struct {
		Counts struct{ MissingInA, MissingInB int64 }
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.Counts.MissingInA != 2 || report.Counts.MissingInB != 2 {
		t.Fatalf("%v, %+v", err, report)
	}
	if err := os.WriteFile("diff.json", []byte(r.out), 0o600); err != nil {
		t.Fatal(err)
	}
	found := call("compare", "find", "b", "diff.json", "--records=lines")
	if found.code != exitOK || strings.Count(found.out, "\n") != 4 || !strings.Contains(found.out, `"copies":2`) || !strings.Contains(found.out, "Tap 1") {
		t.Errorf("%+v", found)
	}
	if r := call("compare", "sketch", "--settle=0s", "--records=json", "-o", "json.sketch", "b"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	if r := call("compare", "diff", "a.sketch", "json.sketch"); r.code != exitUsage || !strings.Contains(r.errors, "other flags") {
		t.Errorf("%+v", r)
	}
	if r := call("compare", "diff", "a.sketch", "./a.sketch"); r.code != exitUsage || !strings.Contains(r.errors, "equal to itself") {
		t.Errorf("%+v", r)
	}
	if r := call("compare", "diff", "a.sketch", "diff.json"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}

func TestCompareNeverPassesInSilence(t *testing.T) {
	twoArchives(t)
	if r := call("compare", "a", "b", "--settle=1000000h"); r.code != exitIncomplete || !strings.HasPrefix(r.out, "Incomplete: no verdict.") {
		t.Errorf("unsettled: %+v", r)
	}
	if err := os.WriteFile("b/2026/11/21/00/x.gz", []byte{0x1f, 0x8b, 8, 0}, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := call("compare", "a", "b", "--settle=0s"); r.code != exitIncomplete || !strings.Contains(r.out, "x.gz: unreadable: gzip at byte") {
		t.Errorf("unreadable: %+v", r)
	}
	if r := call("compare", "a", "b", "--settle=0s", "--html", "none/report.html"); r.code != exitIncomplete || !strings.Contains(r.errors, "none/report.html") {
		t.Errorf("no room for the report: %+v", r)
	}
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := call("compare", "a", "b", "--settle=0s", "--jobs", "file/jobs"); r.code != exitIncomplete || !strings.Contains(r.errors, "file/jobs") {
		t.Errorf("no place for the job: %+v", r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r := standpipeWith(ctx, strings.NewReader(""), "compare", "a", "b", "--settle=0s"); r.code != exitInterrupted {
		t.Errorf("interrupted: %+v", r)
	}
}

func TestCompareRefusesWhatContradictsItself(t *testing.T) {
	twoArchives(t)
	for args, want := range map[string]string{
		"a": `expected <b>; see standpipe compare archives --help`,
		"a b --from 2026-11-22T00:00:00Z --to 2026-11-21T00:00:00Z": "not after its beginning",
		"a b --zone Atlantis":                   "--zone Atlantis: not a time zone",
		"a b --sample 3":                        "give 1/N",
		"a none":                                "open the folder none: no such file or directory (a bucket is written s3://bucket/prefix/)",
		"a b --truth http://x":                  "give kinesis://NAME",
		"a b --capacity 0":                      "--capacity 0",
		"a ./b/../a/":                           "an archive is equal to itself",
		"a b --settle=0s --manifests a/2026/11": "neither archive is below",
	} {
		if r := call(append([]string{"compare"}, strings.Fields(args)...)...); r.code != exitUsage || !strings.Contains(strings.ReplaceAll(r.errors, "\"", ""), want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
