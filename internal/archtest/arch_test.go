package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, root string) *Tree {
	t.Helper()
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTheProjectKeepsItsRules(t *testing.T) {
	tree := load(t, filepath.Join("..", ".."))
	if len(tree.Go) < 10 {
		t.Fatalf("only %d Go files found: this is not the project", len(tree.Go))
	}
	for _, b := range Breaches(tree, Rules) {
		t.Error(b)
	}
}

// Each rule's own folder breaks that rule, once for every line of wanted, and
// no other.
func TestEachRuleNoticesItsBreach(t *testing.T) {
	wanted := map[string][]string{
		"root-imports-nothing-of-ours": {"record.go: imports sink"},
		"root-is-pure":                 {"record.go: imports os"},
		"siblings-stay-apart": {
			"config/config.go: imports internal/joiner",
			"jobs/runner.go: imports sink",
			"sink/memory/sink.go: imports batcher",
			"status/status.go: imports internal/around",
		},
		"consumer-knows-no-s3":     {"consumer/shard.go: imports github.com/aws/aws-sdk-go-v2/service/s3/types"},
		"gateway-knows-no-s3":      {"gateway/backend.go: imports github.com/aws/aws-sdk-go-v2/service/s3"},
		"templates-reach-nothing":  {"gateway/vtl/include.go: imports os"},
		"sink-knows-no-kinesis":    {"sink/s3/put.go: imports github.com/aws/aws-sdk-go-v2/service/kinesis"},
		"checkpoint-knows-neither": {"checkpoint/lease.go: imports github.com/aws/aws-sdk-go-v2/service/kinesis/types"},
		"batcher-is-pure":          {"batcher/set.go: imports net/http"},
		"manifest-is-pure":         {"manifest/manifest.go: imports consumer"},
		"pure-packages-take-the-time-as-an-argument": {
			"batcher/set.go:5: uses time.Now",
			"batcher/set.go:7: starts a goroutine",
		},
		"archive-only-reads":           {"archive/archive.go: imports delivery"},
		"verify-judges-from-archives":  {"verify/verify.go: imports delivery"},
		"replay-is-wired-by-others":    {"replay/plan.go: imports config"},
		"compare-judges-from-archives": {"compare/compare.go: imports delivery"},
		"redrive-knows-no-delivery":    {"redrive/stream.go: imports delivery"},
		"delivery-is-wired-by-others": {
			"delivery/worker.go: imports flag",
			"delivery/worker.go: imports github.com/aws/aws-sdk-go-v2/service/s3",
			"delivery/worker.go: imports " + Module + "/config",
		},
		"local-stays-out-of-production": {
			"cmd/standpipe/local.go: imports local",
			"delivery/worker.go: imports local/kinesis",
		},
		"end-to-end-tests-judge-from-outside": {"test/e2e/harness/kinesis.go: imports local"},
		"no-sleep": {
			"consumer/shard.go:5: sleeps",
			"consumer/shard_test.go:11: sleeps",
		},
		"no-global-random":     {"consumer/jitter.go:5: uses math/rand/v2.IntN"},
		"no-print":             {"sink/put.go:5: uses fmt.Println"},
		"no-silent-skip":       {"sink/put_test.go:7: calls t.Skip"},
		"nothing-unfinished":   {"README.md:3: "},
		"no-path-of-a-machine": {"deploy/run.sh:1: "},
	}
	for _, rule := range Rules {
		t.Run(rule.Name, func(t *testing.T) {
			want, there := wanted[rule.Name]
			if !there {
				t.Fatal("no test breaks this rule")
			}
			got := Breaches(load(t, filepath.Join("testdata", rule.Name)), Rules)
			if len(got) != len(want) {
				t.Fatalf("got %d breaches, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
			}
			for i := range want {
				if !strings.HasPrefix(got[i], want[i]) || !strings.Contains(got[i], "rule "+rule.Name+": "+rule.Why) {
					t.Errorf("got  %s\nwant %s, with the rule and its reason", got[i], want[i])
				}
			}
		})
	}
}

func TestATreeThatKeepsTheRulesPasses(t *testing.T) {
	for _, b := range Breaches(load(t, filepath.Join("testdata", "good")), Rules) {
		t.Error(b)
	}
}

func TestNoFixtureIsLeftWithoutItsRule(t *testing.T) {
	names := map[string]bool{"good": true}
	for _, r := range Rules {
		names[r.Name] = true
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !names[e.Name()] {
			t.Errorf("testdata/%s belongs to no rule", e.Name())
		}
	}
}
