package harness

import (
	"fmt"
	"strings"
	"testing"

	"github.com/standpipe/standpipe"
)

const shard0 = "shardId-000000000000"

func putManifest(t *testing.T, a *Archive, number int, prev, last, key string) {
	t.Helper()
	body := fmt.Sprintf(`{"shard":%q,"number":%d,"prevLast":{"seq":%q},"last":{"seq":%q},"objects":[{"key":%q}]}`, shard0, number, prev, last, key)
	put(t, a, fmt.Sprintf("_standpipe/commits/stream/%s/%d.json", shard0, number), []byte(body))
}

func TestAChainOfManifestsGivesTheShardInOrder(t *testing.T) {
	a := newArchive(t)
	put(t, a, "data/z", []byte("first\n"))
	put(t, a, "data/a", []byte("second\n"))
	putManifest(t, a, 1, standpipe.TrimHorizon, "49", "data/z")
	putManifest(t, a, 2, "49", standpipe.ShardEnd, "data/a")
	if err := a.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	chains, err := a.Chains(within(t))
	if err != nil {
		t.Fatal(err)
	}
	text, err := a.ShardText(chains[shard0])
	if err != nil || string(text) != "first\nsecond\n" {
		t.Fatalf("%q, %v", text, err)
	}
}

func TestABrokenChainOfManifestsIsNoticed(t *testing.T) {
	a := newArchive(t)
	putManifest(t, a, 1, standpipe.TrimHorizon, "10", "data/a")
	putManifest(t, a, 2, "11", "20", "data/b")
	if _, err := a.Chains(within(t)); err == nil || !strings.Contains(err.Error(), "begins after 11") {
		t.Fatalf("a gap of positions: %v", err)
	}
	putManifest(t, a, 2, "10", "20", "data/a")
	putManifest(t, a, 4, "20", "30", "data/c")
	if _, err := a.Chains(within(t)); err == nil || !strings.Contains(err.Error(), "number 4 follows, want 3") {
		t.Fatalf("a gap of numbers: %v", err)
	}
	putManifest(t, a, 3, "20", "30", "data/a")
	putManifest(t, a, 4, "30", "40", "data/c")
	chains, err := a.Chains(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ShardText(chains[shard0]); err == nil || !strings.Contains(err.Error(), "not visible") {
		t.Fatalf("an object that is not there: %v", err)
	}
	for _, key := range []string{"data/a", "data/c"} {
		put(t, a, key, []byte("x\n"))
	}
	if err := a.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ShardText(chains[shard0]); err == nil || !strings.Contains(err.Error(), "was named before") {
		t.Fatalf("an object named twice: %v", err)
	}
}
