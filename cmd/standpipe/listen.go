package main

import (
	"context"
	"net"

	"github.com/standpipe/standpipe/internal/listen"
)

// listenOn is listen.TCP for the address of a flag: a wrong one is a wrong flag.
func listenOn(ctx context.Context, flag, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usagef("%s %s: give host and port, as 127.0.0.1:8080", flag, addr)
	}
	return listen.TCP(ctx, flag, addr)
}
