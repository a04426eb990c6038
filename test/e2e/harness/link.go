package harness

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// A Fault is what a Link does to the bytes that pass it. The zero value lets
// everything pass at once; several of its members can be set together.
type Fault struct {
	// Latency delays each piece of at most linkPiece bytes, in either direction.
	Latency time.Duration
	// Bandwidth is in bytes a second, for all connections and both directions
	// together; 0 is no limit.
	Bandwidth int
	// Reset ends the connections there are, and new ones at once, by RST.
	Reset bool
	// BlackHole lets nothing pass and nobody know: connections stay open, new
	// ones are accepted. What was on its way arrives when the fault ends, even
	// if its sender is dead by then: a late request.
	BlackHole bool
	// HalfOpen lets requests pass and swallows their answers. The client hears
	// nothing until the fault ends; then its connection is reset.
	HalfOpen bool
	// LoseReply lets requests pass and resets the connection as soon as the
	// server answers: it was done, and the client cannot know.
	LoseReply bool
	// Every makes the fault meet only each n-th connection; 0 and 1 are all.
	Every int
}

// A Link is the network between one client and one server: a TCP proxy whose
// fault the test sets while connections are open. It knows nothing of HTTP but
// that "100 Continue" is no answer yet.
type Link struct {
	Endpoint string

	target   string
	listener net.Listener
	done     chan struct{}
	group    sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	limiter *rate.Limiter
	changed chan struct{} // closed by the next Set
	conns   map[*linkConn]struct{}
	count   int // connections accepted so far
}

// linkPiece is the unit of latency and of the limit of bandwidth.
const linkPiece = 32 << 10

// NewLink starts a link to the HTTP server at the endpoint; it ends with the
// test.
func NewLink(t testing.TB, endpoint string) *Link {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatalf("parse endpoint: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for a link to %s: %v", endpoint, err)
	}
	l := &Link{
		Endpoint: "http://" + listener.Addr().String(),
		target:   target.Host, listener: listener,
		done: make(chan struct{}), changed: make(chan struct{}), conns: map[*linkConn]struct{}{},
	}
	l.group.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

// Set replaces the fault, for open connections too.
func (l *Link) Set(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.limiter = f, nil
	if f.Bandwidth > 0 {
		l.limiter = rate.NewLimiter(rate.Limit(f.Bandwidth), linkPiece)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	for c := range l.conns {
		if c.torn || f.Reset && f.meets(c.number) {
			c.reset()
		}
	}
}

func (f Fault) meets(connection int) bool { return f.Every <= 1 || connection%f.Every == 0 }

// now is the fault that meets a connection, and what is closed when it changes.
func (l *Link) now(c *linkConn) (Fault, *rate.Limiter, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fault.meets(c.number) {
		return Fault{}, nil, l.changed
	}
	return l.fault, l.limiter, l.changed
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // only close ends the listener
		}
		c := &linkConn{link: l, client: conn.(*net.TCPConn)}
		if !l.add(c) {
			_ = c.client.Close()
			return
		}
		l.group.Go(c.serve)
	}
}

// add says no once the link is closing: nobody would end the connection.
func (l *Link) add(c *linkConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
	}
	l.count++
	c.number = l.count
	l.conns[c] = struct{}{}
	return true
}

// close ends every connection, so that no pump waits for a peer that outlives
// the test.
func (l *Link) close() {
	close(l.done)
	_ = l.listener.Close()
	l.mu.Lock()
	for c := range l.conns {
		c.reset()
	}
	l.mu.Unlock()
	l.group.Wait()
}

// A linkConn is one connection of the client and the one made for it.
type linkConn struct {
	link   *Link
	number int
	client *net.TCPConn
	server *net.TCPConn // guarded by link.mu until the pumps run
	torn   bool         // bytes of an answer were swallowed; guarded by link.mu
}

func (c *linkConn) serve() {
	l := c.link
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	}()
	defer c.client.Close()
	if f, _, _ := l.now(c); f.Reset {
		c.refuse()
		return
	}
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		c.refuse() // as the kernel of a machine without the server would
		return
	}
	defer server.Close()
	l.mu.Lock()
	c.server = server.(*net.TCPConn)
	l.mu.Unlock()
	var answers sync.WaitGroup
	answers.Go(func() { c.pump(c.client, c.server, true) })
	c.pump(c.server, c.client, false)
	answers.Wait()
}

// refuse is reset for a connection that has no other half yet.
func (c *linkConn) refuse() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.reset()
}

// reset ends both halves by RST. The caller holds link.mu.
func (c *linkConn) reset() {
	for _, half := range []*net.TCPConn{c.client, c.server} {
		if half != nil {
			_ = half.SetLinger(0) // it may be closed already
			_ = half.Close()
		}
	}
}

// pump copies one direction until its source ends. The end itself is held back
// by a black hole as bytes are.
func (c *linkConn) pump(dst, src *net.TCPConn, answers bool) {
	piece := make([]byte, linkPiece)
	for {
		n, err := src.Read(piece)
		if !c.pass(dst, piece[:n], answers) {
			return
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = dst.CloseWrite()
				return
			}
			// The other direction waits for an answer that nobody will read.
			_ = dst.Close()
			return
		}
	}
}

// pass brings one piece to the other side under whatever fault there is, and
// says whether the connection goes on. An empty piece stands for the end.
func (c *linkConn) pass(dst io.Writer, piece []byte, answers bool) bool {
	for {
		f, limiter, changed := c.link.now(c)
		switch {
		case f.Reset, f.LoseReply && answers && isAnswer(piece):
			c.refuse()
			return false
		case f.BlackHole:
			if !c.wait(changed, 0) {
				return false
			}
			continue
		case f.HalfOpen && answers:
			c.link.mu.Lock()
			c.torn = true
			c.link.mu.Unlock()
			return true
		}
		if f.Latency > 0 && !c.wait(nil, f.Latency) {
			return false
		}
		if limiter != nil && !c.slow(limiter, len(piece)) {
			return false
		}
		_, err := dst.Write(piece)
		return err == nil
	}
}

// isAnswer leaves out the permission to send a body, which decides nothing.
func isAnswer(piece []byte) bool {
	return len(piece) > 0 && !bytes.HasPrefix(piece, []byte("HTTP/1.1 100"))
}

// wait returns after the change or the time, false if the link ended first.
func (c *linkConn) wait(changed <-chan struct{}, d time.Duration) bool {
	var after <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-changed:
	case <-after:
	case <-c.link.done:
		return false
	}
	return true
}

// slow waits for the piece's share of the bandwidth.
func (c *linkConn) slow(limiter *rate.Limiter, n int) bool {
	r := limiter.ReserveN(time.Now(), n)
	return r.Delay() == 0 || c.wait(nil, r.Delay())
}
