package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/replay"
)

const aManifest = "_standpipe/commits/orders-0123456789abcdef/shardId-000000000000/000000000012.json"

// asked is what a command line asks for, in words that name a job.
func asked(t *testing.T, k replayCommand, now time.Time) (string, replay.Range) {
	t.Helper()
	k.Rate, k.Parallel, k.Slice = 2, 4, 100
	r, err := k.request(now)
	if err != nil {
		t.Fatal(err)
	}
	return r.asked, r.Range
}

// The same command, later or on another machine, is the same question, though
// it means another time; files are known by what they say, not by their names.
func TestAReplayIsKnownByTheWordsItWasAskedIn(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	export := func(seq string) string {
		return `{"schema":1,"shards":[{"shard":"shardId-000000000000","checkpoint":{"seq":"` + seq + `"}}]}`
	}
	report := `{"schema":1,"findings":[{"kind":"missing","manifest":"` + aManifest + `","key":"k"}]}`
	seen := map[string]string{}
	for name, pair := range map[string][2]replayCommand{
		"a duration":    {{From: "24h"}, {From: "24h"}},
		"another":       {{From: "25h"}, {From: "25h"}},
		"an end":        {{From: "24h", To: "1h"}, {From: "24h", To: "1h"}},
		"a manifest":    {{From: aManifest}, {From: aManifest}},
		"up to one":     {{To: aManifest}, {To: aManifest}},
		"checkpoints":   {{From: write("a", export("7"))}, {From: write("b", export("7"))}},
		"other ones":    {{From: write("a", export("8"))}, {From: write("b", export("8"))}},
		"manifests":     {{Manifest: []string{aManifest, "x"}}, {Manifest: []string{"x", aManifest, "x"}}},
		"one of them":   {{Manifest: []string{aManifest}}, {Manifest: []string{aManifest}}},
		"verify's word": {{FromReport: write("a", report)}, {FromReport: write("b", report)}},
	} {
		first, at := asked(t, pair[0], now)
		second, later := asked(t, pair[1], now.Add(time.Hour))
		if first != second || strings.Contains(first, os.TempDir()) {
			t.Errorf("%s: %q, then %q", name, first, second)
		}
		if !at.From.Time.IsZero() && at.From.Time.Equal(later.From.Time) {
			t.Errorf("%s: an hour later it is the same time", name)
		}
		if other := seen[first]; other != "" {
			t.Errorf("%s and %s are one question: %q", name, other, first)
		}
		seen[first] = name
	}
}

// Records of the range that retention took before they were read again are in
// nothing but the manifests' gaps: the range is not all there.
func TestAReplayedRangeWithGapsIsNotDone(t *testing.T) {
	var out bytes.Buffer
	w := delivering{cmd: &replayCommand{ToPrefix: "again/"}, out: newConsole(nil, &out, &out), spec: replay.Spec{Archive: "s3://lake"}}
	for gaps, want := range map[int64]int{0: exitOK, 1: exitIncomplete} {
		if err := w.report(deliverReport{Delivered: replay.Delivered{Shards: 1, Flushes: 2, Gaps: gaps}}); exitCode(err) != want {
			t.Errorf("%d gaps: %v", gaps, err)
		}
	}
}
