package harness

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A Worker is one of a fleet: its process, started again and again, and its
// own network to each server, so that it alone can be cut off. Calls to the
// store of checkpoints and to S3 can be held one by one too.
type Worker struct {
	Name    string
	Kinesis *Link
	S3      *Link
	Store   *Link // nil when the store is a file
	OnS3    *Tripwire
	OnStore *Tripwire // nil when the store is a file

	delivery *Delivery
	process  *Process
	starts   int
}

// NewWorker makes a worker that will reach the servers through links of its
// own. The settings are the fleet's.
func NewWorker(t testing.TB, program, dir, name string, servers Endpoints, s Settings) *Worker {
	t.Helper()
	w := &Worker{Name: name, OnS3: NewTripwire(t, servers.S3)}
	w.Kinesis, w.S3 = NewLink(t, servers.Kinesis), NewLink(t, w.OnS3.Endpoint)
	own := servers
	own.Kinesis, own.S3 = w.Kinesis.Endpoint, w.S3.Endpoint
	if servers.DynamoDB != "" {
		w.OnStore = NewTripwire(t, servers.DynamoDB)
		w.Store = NewLink(t, w.OnStore.Endpoint)
		own.DynamoDB = w.Store.Endpoint
	}
	s.Worker = name
	w.delivery = NewDelivery(t, program, dir, own.Environment(), s)
	return w
}

// Links are the worker's networks by the name of what they lead to.
func (w *Worker) Links() map[string]*Link {
	links := map[string]*Link{"kinesis": w.Kinesis, "s3": w.S3}
	if w.Store != nil {
		links["store"] = w.Store
	}
	return links
}

// Heal ends every fault of the worker's networks.
func (w *Worker) Heal() {
	for _, link := range w.Links() {
		link.Set(Fault{})
	}
}

// Start starts the process, after Kill or Terminate the next one.
func (w *Worker) Start(t testing.TB) *Process {
	t.Helper()
	w.starts++
	args := []string{"run", "-c", w.delivery.Config}
	if w.Store != nil {
		args = append(args, "--create-table")
	}
	cmd := exec.Command(w.delivery.Program, args...)
	cmd.Env = w.delivery.Env
	w.process = Start(t, fmt.Sprintf("standpipe run, worker %s, start %d", w.Name, w.starts), cmd)
	return w.process
}

// Process is the one that was started last; nil before the first Start.
func (w *Worker) Process() *Process { return w.process }

// Started waits until the process says so: before, a SIGTERM may meet no
// handler.
func (w *Worker) Started(ctx context.Context) error {
	_, err := w.process.WaitLine(ctx, `"msg":"started"`)
	return err
}

// Stop sends SIGTERM and wants exit code 0 within the limit.
func (w *Worker) Stop(limit time.Duration) (took time.Duration, err error) {
	code, took, err := w.process.Terminate(limit)
	if err != nil {
		return took, err
	}
	if code != 0 {
		return took, fmt.Errorf("worker %s: exit code %d after SIGTERM, want 0", w.Name, code)
	}
	return took, nil
}

// Wrecked says how a process has ended that no program may end by, or nothing:
// a worker may give up with a message, not with a stack.
func (p *Process) Wrecked() string {
	for line := range strings.Lines(p.Output()) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, "DATA RACE") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
