package standpipe_test

import (
	"errors"
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
)

// An independent reading of the rule: sentinels at the ends, integers between.
func reference(a, b string) int {
	value := func(s string) *big.Int {
		switch s {
		case standpipe.TrimHorizon, standpipe.Latest, standpipe.AtTimestamp:
			return big.NewInt(-1)
		case standpipe.ShardEnd:
			return new(big.Int).Exp(big.NewInt(10), big.NewInt(200), nil)
		}
		n, _ := new(big.Int).SetString(s, 10)
		return n
	}
	return value(a).Cmp(value(b))
}

func TestSequenceNumbersCompareAsIntegersBetweenTheSentinels(t *testing.T) {
	seq := rapid.OneOf(
		rapid.SampledFrom([]string{standpipe.TrimHorizon, standpipe.Latest, standpipe.AtTimestamp, standpipe.ShardEnd, "0", "9", "10"}),
		rapid.StringMatching(`[1-9][0-9]{0,128}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		a, b := seq.Draw(t, "a"), seq.Draw(t, "b")
		if got, want := standpipe.CompareSequence(a, b), reference(a, b); got != want {
			t.Fatalf("compare(%s, %s) = %d, want %d", a, b, got, want)
		}
		pa, err := standpipe.ParsePosition(a, 0)
		if err != nil || pa.Sequence != a {
			t.Fatalf("parse %q: %v, %v", a, pa, err)
		}
	})
}

func TestSubSequenceDecidesWithinARecord(t *testing.T) {
	a, b := standpipe.Position{Sequence: "5", Sub: 1}, standpipe.Position{Sequence: "5", Sub: 2}
	if a.Compare(b) != -1 || b.Compare(a) != 1 || a.Compare(a) != 0 {
		t.Fatal("sub-sequence numbers do not order positions")
	}
}

func TestNonsenseIsNoPosition(t *testing.T) {
	for _, p := range []struct {
		seq string
		sub int64
	}{{"", 0}, {"01", 0}, {"-1", 0}, {"trim_horizon", 0}, {"5x", 0}, {"5", -1}, {standpipe.ShardEnd, 1}} {
		if got, err := standpipe.ParsePosition(p.seq, p.sub); err == nil {
			t.Errorf("ParsePosition(%q, %d) = %v", p.seq, p.sub, got)
		}
	}
}

func TestDigestIgnoresOrderAndSeesMultiplicity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 1, 20).Draw(t, "lines")
		shuffled := rapid.Permutation(lines).Draw(t, "shuffled")
		cut := rapid.IntRange(0, len(lines)).Draw(t, "cut")
		var whole, left, right standpipe.Digest
		for _, l := range lines {
			whole.Add(l)
		}
		for i, l := range shuffled {
			if i < cut {
				left.Add(l)
			} else {
				right.Add(l)
			}
		}
		right.Merge(left)
		if whole != right {
			t.Fatal("order or cut changed the digest")
		}
		if back, err := standpipe.ParseDigest(whole.Lines, whole.Sum()); err != nil || back != whole {
			t.Fatalf("Sum and ParseDigest: %v, %v", back, err)
		}
		twice := whole
		twice.Add(lines[0])
		twice.Add(lines[0]) // an XOR would cancel
		if twice.Sum() == whole.Sum() {
			t.Fatal("the same line twice more left the sum as it was")
		}
	})
}

func TestClassIsFoundThroughWrapping(t *testing.T) {
	err := fmt.Errorf("deliver: %w", &standpipe.Error{Class: standpipe.Denied, Op: "put", Hint: "grant s3:PutObject"})
	if standpipe.ClassOf(err) != standpipe.Denied {
		t.Error("wrapped class lost")
	}
	if standpipe.ClassOf(errors.New("anything")) != standpipe.Retryable {
		t.Error("an unknown error must be held and repeated, not given up")
	}
}
