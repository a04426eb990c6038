//go:build !nolocal

package local

import (
	"context"
	"net"

	"github.com/standpipe/standpipe"
)

// Listen listens on host:port. Its error names the flag that mends it.
func Listen(ctx context.Context, flag, addr string) (net.Listener, error) {
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
