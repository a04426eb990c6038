package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/standpipe/standpipe"
)

// ErrDead is what a dead client's calls return: the process is gone, nothing
// of what its code still does reaches anybody.
var ErrDead = errors.New("sim: client is dead")

// Net is the network. Calls come from the clients' goroutines; all other
// methods belong to the driver and run while every client is blocked.
type Net struct {
	Rand *rand.Rand

	mu       sync.Mutex // covers requests: clients add to it
	requests []*request
	replies  []*request
	trace    func(string)
}

// NewNet returns a network without traffic. trace, when not nil, is told of
// every event.
func NewNet(r *rand.Rand, trace func(string)) *Net {
	if trace == nil {
		trace = func(string) {}
	}
	return &Net{Rand: r, trace: trace}
}

// A Client is one process's end of the network. Owned by its process but for
// Kill, which belongs to the driver.
type Client struct {
	Name string
	net  *Net
	mu   sync.Mutex // covers what follows
	sent int
	dead bool
	cut  map[string]bool // servers that its requests do not reach
	// paused is closed when the process goes on; nil while it runs.
	paused chan struct{}
}

// NewClient returns a client. Names order requests, so they are unique.
func (n *Net) NewClient(name string) *Client { return &Client{Name: name, net: n} }

// Kill makes every later call of the client fail without effect. What it has
// sent stays in the network.
func (c *Client) Kill() {
	c.mu.Lock()
	c.dead = true
	c.mu.Unlock()
	c.Resume()
}

// Dead says that the client was killed.
func (c *Client) Dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// Cut says whether requests of the client reach a server. What is under way
// waits for the end of the cut.
func (c *Client) Cut(server string, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut == nil {
		c.cut = map[string]bool{}
	}
	c.cut[server] = on
}

func (c *Client) reaches(server string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.cut[server]
}

// Pause stops the process as SIGSTOP does: time goes on, and nothing it does
// has an effect, not even to notice that a call took too long, until Resume.
func (c *Client) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused == nil {
		c.paused = make(chan struct{})
	}
}

// Resume lets a paused process go on.
func (c *Client) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused != nil {
		close(c.paused)
		c.paused = nil
	}
}

// awake waits until the process runs.
func (c *Client) awake() {
	for {
		c.mu.Lock()
		paused := c.paused
		c.mu.Unlock()
		if paused == nil {
			return
		}
		<-paused
	}
}

// The servers.
const (
	toStore  = "store"
	toSink   = "sink"
	toStream = "stream"
)

type request struct {
	from   *Client
	number int
	to     string
	name   string
	apply  func() (any, error)
	copied bool // a duplicate: nobody waits for its reply
	value  any
	err    error
	reply  chan struct{}
}

func (r *request) String() string { return fmt.Sprintf("%s#%d %s", r.from.Name, r.number, r.name) }

// call sends a request and waits for its reply or the end of ctx. In the
// latter case its outcome is unknown: it may be applied later.
func call[T any](ctx context.Context, c *Client, to, name string, apply func() (T, error)) (zero T, err error) {
	c.awake()
	defer c.awake()
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return zero, ErrDead
	}
	c.sent++
	r := &request{
		from: c, number: c.sent, to: to, name: name, reply: make(chan struct{}),
		apply: func() (any, error) { return apply() },
	}
	c.mu.Unlock()
	c.net.mu.Lock()
	c.net.requests = append(c.net.requests, r)
	c.net.mu.Unlock()
	select {
	case <-r.reply:
		v, _ := r.value.(T)
		return v, r.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

// Faults says how unkind the network is, in percent of the occasions.
type Faults struct {
	LoseReply, Duplicate, Delay int
	// Throttle is the store's: the request is refused and not applied.
	Throttle int
}

// Deliver takes one pending request, if there is any, to its server, and
// decides what becomes of the reply. It reports whether there was one.
func (n *Net) Deliver(f Faults) bool {
	n.mu.Lock()
	slices.SortFunc(n.requests, func(a, b *request) int {
		return cmp.Or(cmp.Compare(a.from.Name, b.from.Name), cmp.Compare(a.name, b.name), cmp.Compare(a.number, b.number))
	})
	var reach []int
	for k, r := range n.requests {
		if r.from.reaches(r.to) {
			reach = append(reach, k)
		}
	}
	if len(reach) == 0 {
		n.mu.Unlock()
		return false
	}
	k := reach[n.Rand.IntN(len(reach))]
	r := n.requests[k]
	n.requests = slices.Delete(n.requests, k, k+1)
	n.mu.Unlock()

	if r.to == toStore && n.chance(f.Throttle) {
		n.trace("throttle " + r.String())
		if !r.copied {
			r.err = &standpipe.Error{Class: standpipe.Throttled, Op: r.name, Err: errors.New("ProvisionedThroughputExceededException")}
			close(r.reply)
		}
		return true
	}
	n.trace("serve " + r.String())
	value, err := r.apply()
	if n.chance(f.Duplicate) {
		n.trace("duplicate " + r.String())
		again := *r
		again.copied = true
		n.mu.Lock()
		n.requests = append(n.requests, &again)
		n.mu.Unlock()
	}
	if r.copied {
		return true
	}
	r.value, r.err = value, err
	switch {
	case n.chance(f.LoseReply):
		n.trace("lose reply " + r.String())
	case n.chance(f.Delay):
		n.replies = append(n.replies, r)
	default:
		close(r.reply)
	}
	return true
}

// Reply delivers one delayed reply, if there is any.
func (n *Net) Reply() bool {
	if len(n.replies) == 0 {
		return false
	}
	k := n.Rand.IntN(len(n.replies))
	r := n.replies[k]
	n.replies = slices.Delete(n.replies, k, k+1)
	n.trace("reply " + r.String())
	close(r.reply)
	return true
}

// Idle reports that nothing is under way.
func (n *Net) Idle() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.requests) == 0 && len(n.replies) == 0
}

func (n *Net) chance(percent int) bool { return n.Rand.IntN(100) < percent }
