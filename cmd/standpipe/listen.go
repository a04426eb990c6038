package main

import (
	"context"
	"net"

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
