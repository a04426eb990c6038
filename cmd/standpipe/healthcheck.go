package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/standpipe/standpipe/status"
)

// statusAddressVariable holds the status server's host:port.
const statusAddressVariable = "STANDPIPE_STATUS_ADDRESS"

type healthcheckCommand struct {
	URL     string        `placeholder:"URL" help:"Ask this address (default: /livez of STANDPIPE_STATUS_ADDRESS, else of 127.0.0.1:9410)."`
	Timeout time.Duration `default:"3s" help:"Call it dead after so long."`
}

func (healthcheckCommand) Help() string {
	return `Exits 0 when the process answers that it lives, else 1. Needs no shell and no curl:

    HEALTHCHECK CMD ["/standpipe", "healthcheck"]

Examples:

    standpipe healthcheck
    standpipe healthcheck --url http://127.0.0.1:9410/readyz`
}

func (h *healthcheckCommand) Run(ctx context.Context, out *console) error {
	address, err := statusURL(h.URL, os.Getenv(statusAddressVariable), "/livez")
	if err != nil {
		return usage(err)
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if _, err := fetch(ctx, address, 4<<10); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out.stdout, "ok")
	return err
}

// statusURL is the address to ask: the flag, or path at the configured
// host:port. Every-interface addresses are asked on loopback. A flag without a
// path gets path too.
func statusURL(flag, address, path string) (string, error) {
	if flag != "" {
		u, err := url.Parse(flag)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return "", fmt.Errorf("--url %s: not an address like http://%s%s", flag, status.DefaultAddr, path)
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = path
		}
		return u.String(), nil
	}
	if address == "" {
		address = status.DefaultAddr
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%s=%s: not host:port", statusAddressVariable, address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + path, nil
}

// fetch gets at most limit bytes of address. Any status but 200 is an error
// that carries what the server said. No proxy and no redirect comes between.
func fetch(ctx context.Context, address string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, fmt.Errorf("ask %s: %w (is standpipe running? --url and %s say where)", address, err, statusAddressVariable)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer of %s: %w", address, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %d: %s", address, resp.StatusCode, firstLine(body))
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%s answered more than %d bytes: is that standpipe?", address, limit)
	}
	return body, nil
}

func firstLine(b []byte) string {
	s, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return strings.ToValidUTF8(s[:min(len(s), 200)], "?")
}
