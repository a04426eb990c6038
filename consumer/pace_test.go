package consumer

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
)

var epoch = time.Unix(1_700_000_000, 0)

// run lets a pace observe outcomes, each sent as soon as allowed, and returns
// the waits between them, without jitter.
func run(p pace, outcomes ...outcome) (waits []time.Duration) {
	at := epoch
	for _, o := range outcomes {
		o.at = at
		p = p.observe(o, 0)
		waits = append(waits, p.ready.Sub(at))
		at = p.ready
	}
	return waits
}

func TestThePaceFollowsWhatWasSeen(t *testing.T) {
	idle := outcome{}
	some := outcome{records: 3, bytes: 3000}
	full := outcome{records: 10_000, bytes: 10 << 20, behind: time.Hour}
	behind := outcome{records: 100, bytes: 100 << 10, behind: time.Hour}
	sparse := func(d time.Duration) outcome { return outcome{behind: d} }
	for name, tc := range map[string]struct {
		limits   Limits
		outcomes []outcome
		want     []time.Duration
	}{
		"caught up, with traffic":         {outcomes: []outcome{some, some}, want: []time.Duration{1e9, 1e9}},
		"idle backs off to 2 s":           {outcomes: []outcome{idle, idle, idle, idle, idle, idle}, want: []time.Duration{1e9, 125e7, 15625e5, 1953125e3, 2e9, 2e9}},
		"traffic ends the idleness":       {outcomes: []outcome{idle, idle, some, idle}, want: []time.Duration{1e9, 125e7, 1e9, 1e9}},
		"a full page costs 5 s":           {outcomes: []outcome{full, full}, want: []time.Duration{5e9, 5e9}},
		"behind: 5 calls a second":        {outcomes: []outcome{behind, behind}, want: []time.Duration{2e8, 2e8}},
		"behind without being told":       {outcomes: []outcome{{records: 10_000, bytes: 100_000}}, want: []time.Duration{2e8}},
		"empty pages on the way to data":  {outcomes: []outcome{sparse(3 * time.Hour), sparse(2 * time.Hour), sparse(time.Hour)}, want: []time.Duration{2e8, 2e8, 2e8}},
		"a share of the calls":            {limits: Limits{MaxPerSecond: 4, IdleInterval: 5 * time.Second}, outcomes: []outcome{some, idle}, want: []time.Duration{25e7, 25e7}},
		"more than Kinesis allows":        {limits: Limits{MaxPerSecond: 50, BytesPerSecond: 1 << 30}, outcomes: []outcome{some, full}, want: []time.Duration{2e8, 5e9}},
		"a share of the bytes":            {limits: Limits{BytesPerSecond: 1 << 20}, outcomes: []outcome{full}, want: []time.Duration{10e9}},
		"idle interval below the regular": {limits: Limits{MaxPerSecond: 0.2, IdleInterval: time.Second}, outcomes: []outcome{idle, idle}, want: []time.Duration{5e9, 5e9}},
		"throttled":                       {outcomes: []outcome{{class: standpipe.Throttled}, {class: standpipe.Throttled}, {class: standpipe.Throttled}, {class: standpipe.Throttled}, {class: standpipe.Throttled}}, want: []time.Duration{1e9, 2e9, 4e9, 8e9, 10e9}},
		"retryable":                       {outcomes: []outcome{{class: standpipe.Retryable}, {class: standpipe.Retryable}, some}, want: []time.Duration{25e7, 5e8, 1e9}},
		"denied":                          {outcomes: []outcome{{class: standpipe.Denied}, {class: standpipe.Denied}, {class: standpipe.Denied}, {class: standpipe.Denied}}, want: []time.Duration{5e9, 10e9, 20e9, 30e9}},
		"the server's own wish":           {outcomes: []outcome{{class: standpipe.Throttled, after: time.Minute}}, want: []time.Duration{60e9}},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, "waits", run(pace{limits: tc.limits.normal()}, tc.outcomes...), tc.want)
		})
	}
}

func TestALagThatNeverShrinksIsNotBelievedForEver(t *testing.T) {
	outcomes := make([]outcome, 100)
	for i := range outcomes {
		outcomes[i] = outcome{behind: time.Hour}
	}
	waits := run(pace{}, outcomes...)
	if waits[10] != shardInterval || waits[99] != 2*time.Second {
		t.Errorf("waits: %v … %v", waits[10], waits[99])
	}
}

func TestThePaceNeverExceedsAShardsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pace{limits: Limits{MaxPerSecond: rapid.SampledFrom([]float64{-1, 0, 0.1, 1, 3.3, 5, 9}).Draw(t, "rate"), IdleInterval: time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "idle"))}.normal()}
		at := epoch
		for range 50 {
			o := outcome{
				at:      at,
				class:   rapid.SampledFrom([]standpipe.Class{"", "", "", standpipe.Throttled, standpipe.Retryable, standpipe.Denied}).Draw(t, "class"),
				bytes:   rapid.Int64Range(0, 14<<20).Draw(t, "bytes"),
				records: rapid.IntRange(0, 10_000).Draw(t, "records"),
				behind:  time.Duration(rapid.Int64Range(0, 1e13).Draw(t, "behind")),
			}
			p = p.observe(o, rapid.Float64Range(0, 0.999).Draw(t, "jitter"))
			wait := p.ready.Sub(at)
			if wait < shardInterval || wait.Seconds() < float64(o.bytes)/float64(shardBytes)-1e-6 {
				t.Fatalf("%v after %+v", wait, o)
			}
			least := map[standpipe.Class]time.Duration{standpipe.Throttled: time.Second, standpipe.Denied: 5 * time.Second}[o.class]
			if wait < least || wait > 35*time.Second {
				t.Fatalf("%v after %+v", wait, o)
			}
			at = p.ready
		}
	})
}

func TestAThousandIdleShardsAreAskedAtMostOnceInTwoSecondsEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(&stubShard{id: "a"})
		c := s.dial()
		for range 20 {
			r := c.Open(shardNamed("a"), from(standpipe.Latest))
			for began := time.Now(); time.Since(began) < 5*time.Minute; {
				step(t, r)
			}
		}
		if n := s.count("GetRecords"); n > 20*5*60/2*11/10 {
			t.Errorf("%d calls of 20 shards in 5 minutes", n)
		}
	})
}

func TestTheSameSeedGivesTheSamePace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var runs [2][]time.Duration
		for i := range runs {
			s := newService(&stubShard{id: "a"})
			began := time.Now()
			r := s.dial().Open(shardNamed("a"), from(standpipe.Latest))
			for range 10 {
				step(t, r)
			}
			for _, c := range s.calls {
				runs[i] = append(runs[i], c.at.Sub(began))
			}
		}
		same(t, "second run", runs[1], runs[0])
	})
}

func TestTheEstimateFollowsThePages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		s := newService(sh)
		c := s.dial()
		if e := c.Open(shardNamed("a"), from(standpipe.Latest)).Estimate(); e != MinPage {
			t.Errorf("at the tip: %d", e)
		}
		start := from(seq(1))
		if e := c.Open(shardNamed("a"), start).Estimate(); e != MaxPage {
			t.Errorf("at an unknown distance: %d", e)
		}
		start.Seen = time.Now().Add(-time.Second)
		if e := c.Open(shardNamed("a"), start).Estimate(); e < 1<<20 || e > 2<<20 {
			t.Errorf("a second behind: %d", e)
		}
		r := c.Open(shardNamed("a"), from(standpipe.TrimHorizon))
		for range 10 {
			sh.put(1, time.Now())
			sh.records[len(sh.records)-1].data = bytes.Repeat([]byte("x"), 750_000)
			step(t, r)
		}
		if e := r.Estimate(); e < 1_250_000 || e > 2_000_000 {
			t.Errorf("for pages of 1 MB: %d", e)
		}
		for range 40 {
			step(t, r)
		}
		if e := r.Estimate(); e != MinPage {
			t.Errorf("when idle: %d", e)
		}
	})
}

func TestAPageLargerThanAnyShouldBeIsReadInParts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(4, time.Now())
		for i := range sh.records {
			sh.records[i].data = bytes.Repeat([]byte("x"), 4<<20) // 22 MiB as JSON
		}
		s := newService(sh)
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		var got []string
		for range 30 {
			p, err := tryStep(t, r)
			if _, ok := err.(*TooLargeError); err != nil && !ok {
				t.Fatal(err)
			}
			got = append(got, seqsOf(p)...)
			if len(got) == 4 {
				break
			}
		}
		same(t, "records", got, sequences(1, 4))
	})
}
