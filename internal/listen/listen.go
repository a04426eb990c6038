package listen

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/standpipe/standpipe"
)

// ErrCut says that requests under way were cut at the end of the goodbye: their
// callers got no answer.
var ErrCut = errors.New("requests under way were cut")

// hush is how long a connection on which nothing was ever asked may live on once
// a stop has begun: enough for a request that is on its way to be read. net/http
// gives it five seconds, and clients that dial ahead leave such connections often.
const hush = 250 * time.Millisecond

// TCP listens on host:port. An address without a host (":8080") means loopback,
// not every interface: for that say 0.0.0.0. flag is the one that names the
// address, for the error's hint.
func TCP(ctx context.Context, flag, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", Loopback(addr))
	if err != nil {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "listen on " + addr, Err: err,
			Hint: "the port is taken or the address is not ours: give " + flag + " 127.0.0.1:0 for any free port",
		}
	}
	return l, nil
}

// Loopback gives an address that has no host the one of loopback. Any other is
// returned as it is.
func Loopback(addr string) string {
	if strings.HasPrefix(addr, ":") {
		return "127.0.0.1" + addr
	}
	return addr
}

// HTTP answers on l, with TLS if srv has a TLSConfig, until ctx ends. Then it
// takes no more connections, gives the requests under way as long as goodbye to
// be answered, cuts what is left and returns nil, or ErrCut if anything was. It
// returns earlier, with an error, when l fails. srv and l are closed in any case.
func HTTP(ctx context.Context, srv *http.Server, l net.Listener, goodbye time.Duration) error {
	silent := watch(srv)
	failed := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			failed <- srv.ServeTLS(l, "", "")
			return
		}
		failed <- srv.Serve(l)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", l.Addr(), errors.Join(err, srv.Close()))
	case <-ctx.Done():
	}
	timer := time.AfterFunc(hush, silent.close)
	defer timer.Stop()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	err := srv.Shutdown(bounded)
	if err != nil {
		err = ErrCut
		_ = srv.Close() // the connections; the listener is closed
	}
	<-failed
	return err
}

// connections are those on which nothing was asked yet.
type connections struct {
	mu  sync.Mutex
	set map[net.Conn]struct{}
}

// watch keeps them of srv, which must not serve yet.
func watch(srv *http.Server) *connections {
	c := &connections{set: map[net.Conn]struct{}{}}
	next := srv.ConnState
	srv.ConnState = func(conn net.Conn, state http.ConnState) {
		c.note(conn, state)
		if next != nil {
			next(conn, state)
		}
	}
	return c
}

func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew {
		c.set[conn] = struct{}{}
		return
	}
	delete(c.set, conn)
}

// close closes them. Each leaves the set when its goroutine notices.
func (c *connections) close() {
	c.mu.Lock()
	all := slices.Collect(maps.Keys(c.set))
	c.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
	}
}
