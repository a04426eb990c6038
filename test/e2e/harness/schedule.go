package harness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// An Act is one thing that chaos does to a worker, after a pause of calm.
type Act struct {
	Calm time.Duration // before it
	Kind string        // one of the kinds below
	// Lasts is how long the process is stopped or dead, or the fault stays.
	Lasts time.Duration
	// Link and Fault are for KindFault.
	Link  string
	Fault Fault
	name  string // of the fault
	// Write is for KindKillAt: the process dies by the n-th writing call to
	// Link, before the server saw it or, Answered, after it did what was asked.
	Write    int
	Answered bool
}

// The kinds of acts.
const (
	KindKill   = "kill -9"
	KindKillAt = "kill -9 at a call"
	KindPause  = "SIGSTOP"
	KindTerm   = "SIGTERM"
	KindFault  = "fault"
)

func (a Act) String() string {
	what := a.Kind
	switch a.Kind {
	case KindKillAt:
		when := "before"
		if a.Answered {
			when = "after"
		}
		what = fmt.Sprintf("kill -9 %s call %d to %s", when, a.Write, a.Link)
	case KindFault:
		what = a.name + " on " + a.Link
	}
	return fmt.Sprintf("+%.1fs %s for %.1fs", a.Calm.Seconds(), what, a.Lasts.Seconds())
}

// Schedule draws what is done to each of the workers, for about that long. The
// same seed gives the same acts. Every kind of act and every fault of every link
// is drawn once before any comes twice; pauses outlast a lease. In between there
// is calm of half a lease to two and a half: a fleet whose workers never live for
// a lease delivers nothing, and proves nothing.
func Schedule(seed uint64, workers int, length, lease time.Duration) [][]Act {
	random := rand.New(rand.NewPCG(seed, 1))
	acts := make([][]Act, workers)
	ends := make([]time.Duration, workers)
	var deck []Act
	for {
		next := 0 // the worker that is free first
		for i := range ends {
			if ends[i] < ends[next] {
				next = i
			}
		}
		if len(deck) == 0 {
			deck = shuffled(random)
		}
		act := deck[0]
		deck = deck[1:]
		act.Calm = between(random, lease/2, 5*lease/2)
		switch act.Kind {
		case KindKill, KindKillAt, KindTerm:
			act.Lasts = between(random, 0, 3*time.Second)
		case KindPause:
			act.Lasts = lease + between(random, lease/4, lease/2)
		case KindFault:
			act.Lasts = between(random, lease/4, 2*lease)
		}
		if act.Kind == KindKillAt {
			act.Write, act.Answered = 1+random.IntN(12), random.IntN(2) == 0
		}
		if ends[next] += act.Calm + act.Lasts; ends[next] > length {
			return acts
		}
		acts[next] = append(acts[next], act)
	}
}

// shuffled is a deck with every kind of act.
func shuffled(random *rand.Rand) []Act {
	deck := []Act{
		{Kind: KindKill},
		{Kind: KindKill},
		{Kind: KindKill},
		{Kind: KindKillAt, Link: "s3"},
		{Kind: KindKillAt, Link: "s3"},
		{Kind: KindKillAt, Link: "store"},
		{Kind: KindPause},
		{Kind: KindPause},
		{Kind: KindTerm},
		{Kind: KindTerm},
	}
	for _, link := range []string{"store", "s3"} {
		for _, f := range []Act{
			{name: "latency", Fault: Fault{Latency: 300 * time.Millisecond}},
			{name: "bandwidth", Fault: Fault{Bandwidth: 256 << 10}},
			{name: "reset", Fault: Fault{Reset: true}},
			{name: "black hole", Fault: Fault{BlackHole: true}},
			{name: "half-open", Fault: Fault{HalfOpen: true}},
			{name: "lost reply", Fault: Fault{LoseReply: true, Every: 2}},
		} {
			f.Kind, f.Link = KindFault, link
			deck = append(deck, f)
		}
	}
	deck = append(deck, Act{Kind: KindFault, Link: "kinesis", name: "black hole", Fault: Fault{BlackHole: true}},
		Act{Kind: KindFault, Link: "kinesis", name: "reset", Fault: Fault{Reset: true}})
	random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}

// Describe prints the acts, one worker a paragraph.
func Describe(acts [][]Act) string {
	var b strings.Builder
	for i, list := range acts {
		fmt.Fprintf(&b, "worker %d:\n", i)
		var at time.Duration
		for _, act := range list {
			at += act.Calm
			fmt.Fprintf(&b, "  %5.1fs  %s\n", at.Seconds(), act)
			at += act.Lasts
		}
	}
	return b.String()
}
