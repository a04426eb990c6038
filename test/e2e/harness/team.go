package harness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A Team is processes that run the same command, each with a wire of its own
// to S3, so that each can be killed in the midst of what it does there.
type Team struct {
	// Tally counts what all of them write.
	Tally Tally

	start     func(member int, s3 string) *Process
	wires     []*Tripwire
	processes []*Process
}

// NewTeam starts that many members. start starts one that shall reach S3 at
// the address it is given.
func NewTeam(t testing.TB, members int, s3 string, start func(member int, s3 string) *Process) *Team {
	t.Helper()
	team := &Team{start: start, processes: make([]*Process, members)}
	for i := range members {
		wire := NewTripwire(t, s3)
		team.Tally.Watch(wire)
		team.wires = append(team.wires, wire)
		team.Start(i)
	}
	return team
}

// Start starts a member, after Strike the next process of it.
func (team *Team) Start(member int) {
	team.processes[member] = team.start(member, team.wires[member].Endpoint)
}

// A Blow is when to kill which member.
type Blow struct {
	Member int
	// After so many calls of the member that get the work on: before the server
	// sees the last one or, Answered, after it did what was asked.
	After    int
	Answered bool
}

// Blows yields n of them, at random moments between a member's first and last
// call of those that get the work on, if all members are as fast.
func Blows(random *rand.Rand, n, members, first, last int) []Blow {
	moments := make([]int, n)
	for i := range moments {
		moments[i] = first + random.IntN(last-first)
	}
	slices.Sort(moments)
	blows := make([]Blow, n)
	before := 0
	for i, at := range moments {
		blows[i] = Blow{Member: random.IntN(members), After: max(1, at-before), Answered: random.IntN(2) == 0}
		before = at
	}
	return blows
}

// Strike kills a member with SIGKILL at its moment, or when the limit is over:
// it may have nothing left to do. works says which calls get the work on. A
// member that ended by itself before is an error.
func (team *Team) Strike(b Blow, works func(Call) bool, limit time.Duration) (midst bool, err error) {
	p, wire := team.processes[b.Member], team.wires[b.Member]
	trap := wire.Nth(b.After, works, b.Answered)
	defer wire.Forget(trap)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-trap.Held:
		midst = true
	case <-timer.C:
	case <-p.Done():
		return false, fmt.Errorf("%s ended by itself with exit code %d:\n%s", p.name, p.ExitCode(), p.Output())
	}
	p.Crash()
	return midst, nil
}

// Wait waits until every member has ended by itself, with that exit code.
func (team *Team) Wait(limit time.Duration, exit int) error {
	end := time.Now().Add(limit)
	for _, p := range team.processes {
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
