package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/verify"
)

func TestAVerdictNamesShardRangeAndCommand(t *testing.T) {
	after, last := &standpipe.Position{Sequence: "49645023785436700000000000000000000000000000000000001000"}, &standpipe.Position{Sequence: standpipe.ShardEnd}
	mends := verify.Commands{Config: "standpipe.yaml", Archive: "s3://my-lake/"}
	finding := func(k verify.Kind, key, detail string) verify.Finding {
		f := verify.Finding{
			Kind: k, Shard: "shardId-000000000000", After: after, Last: last, Key: key, Detail: detail,
			Manifest: "_standpipe/commits/class-stream-918ae64bbfd23128/shardId-000000000000/000000000002.json",
		}
		f.Repair = mends.Repair(f)
		return f
	}
	r := verify.Report{
		Archive: "s3://my-lake/", Prefix: "rawdata/", Deep: true, Stream: true, Verdict: verify.Damaged,
		Counts: verify.Counts{Chains: 1, Manifests: 2, Objects: 1200, Records: 20000, Lines: 24000, Bytes: 5 << 20, Read: 5 << 20, Outside: 3, Trimmed: 1, Streamed: 1, Beyond: 1},
		Found:  map[verify.Kind]int64{verify.Missing: 1, verify.Gap: 1, verify.Foreign: 1},
		Findings: []verify.Finding{
			finding(verify.Missing, "rawdata/2026/11/22/16/a.gz", "12 lines of 10 records"),
			finding(verify.Gap, "", "manifests 2 to 3 are not there"),
			{Kind: verify.Foreign, Key: "rawdata/stranger.gz", Detail: "no manifest names it", Repair: "aws s3 mv s3://my-lake/rawdata/stranger.gz s3://my-lake/quarantine/rawdata/stranger.gz"},
		},
	}
	var out bytes.Buffer
	if err := writeVerified(&out, r, 2, newConsole(nil, &out, &out)); err != nil {
		t.Fatal(err)
	}
	golden(t, "verify.txt", out.String())
	if !strings.Contains(out.String(), "and 1 more") {
		t.Error("what is not shown is not counted")
	}
}
