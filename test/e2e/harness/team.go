package harness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Team is processes that run the same command, each with a wire of its own
// to S3, so that one can be killed in the midst of what it does there.
type Team struct {
	// Tally counts what all of them write.
	Tally Tally

	start     func(member int, s3 string) *Process
	works     func(Call) bool
	wires     []*Tripwire
	traps     []*Catch
	processes []*Process
	gone      []bool // killed and not started again

	mu    sync.Mutex // covers what follows
	calls int        // of all members that got the work on
	next  int        // at which of them a member is to be killed; 0: none
	hit   chan int   // who made it
}

// NewTeam starts that many members. start starts one that shall reach S3 at
// the address it is given; works says which calls there get the work on.
func NewTeam(t testing.TB, members int, s3 string, works func(Call) bool, start func(member int, s3 string) *Process) *Team {
	t.Helper()
	team := &Team{
		start: start, works: works, hit: make(chan int, 1),
		traps: make([]*Catch, members), processes: make([]*Process, members), gone: make([]bool, members),
	}
	for range members {
		wire := NewTripwire(t, s3)
		team.Tally.Watch(wire)
		team.wires = append(team.wires, wire)
	}
	team.set(false)
	for i := range members {
		team.Start(i)
	}
	return team
}

// Start starts a member, after Strike the next process of it.
func (team *Team) Start(member int) {
	team.processes[member], team.gone[member] = team.start(member, team.wires[member].Endpoint), false
}

// A Blow is when to kill: when the team has made At calls that get the work on,
// before the server sees the last one or, Answered, after it did what was asked.
type Blow struct {
	At       int
	Answered bool
}

// Blows yields n of them, at random moments between two calls.
func Blows(random *rand.Rand, n, first, last int) []Blow {
	blows := make([]Blow, n)
	for i := range blows {
		blows[i] = Blow{At: first + random.IntN(last-first), Answered: random.IntN(2) == 0}
	}
	slices.SortFunc(blows, func(a, b Blow) int { return a.At - b.At })
	return blows
}

// set puts a trap on every wire.
func (team *Team) set(answered bool) {
	for i, wire := range team.wires {
		wire.Forget(team.traps[i])
		team.traps[i] = wire.Catch(func(c Call) bool { return team.count(i, c) }, answered)
	}
}

// count is what traps match by: all calls count, and one is held.
func (team *Team) count(member int, c Call) bool {
	if !team.works(c) {
		return false
	}
	team.mu.Lock()
	defer team.mu.Unlock()
	team.calls++
	if team.next == 0 || team.calls < team.next {
		return false
	}
	team.next = 0
	team.hit <- member
	return true
}

// Strike waits for the moment and kills whoever makes that call with SIGKILL;
// the others are stopped where they stand until Resume. When the limit is over
// before, it kills the first member there is: they may all be waiting. A member
// that ended by itself is an error.
func (team *Team) Strike(b Blow, limit time.Duration) (member int, midst bool, err error) {
	team.set(b.Answered)
	team.mu.Lock()
	team.next = b.At
	team.mu.Unlock()
	timer, tick := time.NewTimer(limit), time.NewTicker(20*time.Millisecond)
	defer timer.Stop()
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case member = <-team.hit:
			midst, waiting = true, false
			<-team.traps[member].Held
		case <-timer.C:
			member, waiting = slices.Index(team.gone, false), false
		case <-tick.C:
			if err := team.ended(); err != nil {
				return 0, false, err
			}
		}
	}
	for i, p := range team.processes {
		if i != member && !team.gone[i] {
			p.Pause()
		}
	}
	team.processes[member].Crash()
	team.gone[member] = true
	return member, midst, nil
}

// ended is an error that says which member is not there any more.
func (team *Team) ended() error {
	for i, p := range team.processes {
		if team.gone[i] {
			continue
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended by itself with exit code %d:\n%s", p.name, p.ExitCode(), p.Output())
		default:
		}
	}
	return nil
}

// Resume lets the members go on that Strike has stopped.
func (team *Team) Resume() {
	for _, i := range team.Left() {
		team.processes[i].Resume()
	}
}

// Left are the members that were not killed, or started again.
func (team *Team) Left() (members []int) {
	for i, gone := range team.gone {
		if !gone {
			members = append(members, i)
		}
	}
	return members
}

// Wait waits until every member that is left has ended by itself, with that
// exit code.
func (team *Team) Wait(limit time.Duration, exit int) error {
	end := time.Now().Add(limit)
	for _, i := range team.Left() {
		p := team.processes[i]
		code, err := p.Wait(time.Until(end))
		if err != nil {
			return err
		}
		if code != exit {
			return fmt.Errorf("%s ended with exit code %d, want %d:\n%s", p.name, code, exit, p.Output())
		}
	}
	return nil
}
