package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/standpipe/standpipe"
)

// listen binds addr; flag is the one that names it.
func listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "listen on " + addr, Err: err,
			Hint: "the port is taken or the address is not ours: give " + flag + " 127.0.0.1:0 for any free port",
		}
	}
	return l, nil
}

// serveUntil serves until ctx ends, which is no error.
func serveUntil(ctx context.Context, srv *http.Server, l net.Listener) error {
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
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if srv.Shutdown(bounded) != nil {
		_ = srv.Close() // calls that take longer than goodbye are cut
	}
	<-failed
	return nil
}
