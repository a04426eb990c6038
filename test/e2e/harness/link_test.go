package harness

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// linked is a server that counts what it did, behind a link.
type linked struct {
	*Link
	done   atomic.Int64
	client *http.Client
}

func newLinked(t *testing.T) *linked {
	t.Helper()
	l := &linked{client: &http.Client{Transport: &http.Transport{}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.done.Add(1)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(l.client.CloseIdleConnections)
	l.Link = NewLink(t, server.URL)
	return l
}

// post sends a body and returns the answer's.
func (l *linked) post(ctx context.Context, text string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.Endpoint, strings.NewReader(text))
	if err != nil {
		return "", err
	}
	res, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func (l *linked) wants(t *testing.T, text string) {
	t.Helper()
	if got, err := l.post(within(t), text); err != nil || got != text {
		t.Fatalf("%d bytes of %d through the link, %v", len(got), len(text), err)
	}
}

// started posts in the background; the result comes through the channel.
func (l *linked) started(t *testing.T, text string) <-chan error {
	done := make(chan error, 1)
	ctx := within(t)
	go func() {
		_, err := l.post(ctx, text)
		done <- err
	}()
	return done
}

func (l *linked) did(t *testing.T, n int64) {
	t.Helper()
	err := Poll(within(t), "the server to have been asked", func() error {
		if l.done.Load() < n {
			return context.DeadlineExceeded
		}
		return nil
	})
	if err != nil || l.done.Load() != n {
		t.Fatalf("the server was asked %d times, want %d: %v", l.done.Load(), n, err)
	}
}

func TestALinkWithoutAFaultPassesEverything(t *testing.T) {
	l := newLinked(t)
	l.wants(t, strings.Repeat("x", 1<<20))
	l.wants(t, "again")
}

func TestALinkResetsOpenAndNewConnections(t *testing.T) {
	l := newLinked(t)
	l.wants(t, "before")
	l.Set(Fault{Reset: true})
	if _, err := l.post(within(t), "during"); err == nil {
		t.Fatal("a request came through")
	}
	l.Set(Fault{})
	l.wants(t, "after")
	l.did(t, 2)
}

func TestABlackHoleHoldsARequestUntilItEnds(t *testing.T) {
	l := newLinked(t)
	l.wants(t, "before")
	l.Set(Fault{BlackHole: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The client gives up a moment after all of it is on its way.
	asked := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { time.AfterFunc(100*time.Millisecond, cancel) },
	})
	if _, err := l.post(asked, "late"); err == nil {
		t.Fatal("a request came through")
	}
	if n := l.done.Load(); n != 1 {
		t.Fatalf("the server was asked %d times, want once", n)
	}
	// The client has closed; its request arrives all the same.
	l.Set(Fault{})
	l.did(t, 2)
	l.wants(t, "after")
}

func TestAHalfOpenLinkDeliversRequestsAndSwallowsAnswers(t *testing.T) {
	l := newLinked(t)
	l.Set(Fault{HalfOpen: true})
	answered := l.started(t, "done, unheard")
	l.did(t, 1)
	select {
	case err := <-answered:
		t.Fatalf("the client heard of it: %v", err)
	default:
	}
	// The link may not have seen the answer yet; without it nothing was lost.
	err := Poll(within(t), "the answer to be swallowed", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns {
			if c.torn {
				return nil
			}
		}
		return io.ErrNoProgress
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Set(Fault{})
	if err := <-answered; err == nil {
		t.Fatal("the swallowed answer arrived")
	}
	l.wants(t, "after")
}

func TestALostReplyMeansDoneAndNotKnown(t *testing.T) {
	l := newLinked(t)
	l.Set(Fault{LoseReply: true})
	if _, err := l.post(within(t), "done"); err == nil {
		t.Fatal("the answer came through")
	}
	l.did(t, 1)
}

func TestLatencyAndBandwidthDelayWithoutLoss(t *testing.T) {
	l := newLinked(t)
	l.Set(Fault{Latency: 20 * time.Millisecond, Bandwidth: 1 << 20})
	start := time.Now()
	l.wants(t, strings.Repeat("y", 256<<10))
	// Both directions share 1 MiB a second; only too fast would be wrong.
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Fatalf("512 KiB took %v at 1 MiB a second", took)
	}
}

func TestAFaultOfEverySecondConnectionSparesTheOthers(t *testing.T) {
	l := newLinked(t)
	l.client.Transport.(*http.Transport).DisableKeepAlives = true
	l.Set(Fault{Reset: true, Every: 2})
	failed := 0
	for range 6 {
		if _, err := l.post(within(t), "x"); err != nil {
			failed++
		}
	}
	if failed != 3 {
		t.Fatalf("%d of 6 failed, want 3", failed)
	}
}
