package dynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/vmihailenco/taskq/v3"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/jobs/jobstest"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A fault is what a network or DynamoDB does to a request.
type fault int

const (
	none       fault = iota
	lostAnswer       // done, no answer
	lostAsked        // not done, no answer
	broken           // done, answered 500
	throttled        // not done
	half             // of a batch only the first item is taken
)

// A network stands before a server, keeps what passes and does harm.
type network struct {
	target string
	client *http.Client

	mu    sync.Mutex
	harm  func(op, body string) fault // guarded by mu
	calls []string                    // operations; a batch says whether it puts or deletes
}

func newNetwork(t *testing.T, target string) (*network, aws.Config) {
	n := &network{target: target, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	server := httptest.NewServer(n)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		n.client.CloseIdleConnections()
	})
	return n, (&harness.DynamoDB{Endpoint: server.URL}).Settings()
}

// begin forgets what has passed and does harm from now on.
func (n *network) begin(harm func(op, body string) fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls, n.harm = nil, harm
}

// first does f to the first request of an operation.
func first(op string, f fault) func(string, string) fault {
	return func(called, _ string) fault {
		if called == op {
			op = ""
			return f
		}
		return none
	}
}

func (n *network) passed() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	n.mu.Lock()
	harm := none
	if n.harm != nil {
		harm = n.harm(op, string(body))
	}
	if op == "BatchWriteItem" && bytes.Contains(body, []byte("DeleteRequest")) {
		op += "(delete)"
	}
	n.calls = append(n.calls, op)
	n.mu.Unlock()
	switch harm {
	case lostAsked:
		hangUp(w)
		return
	case throttled:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow"}`)
		return
	}
	var left []byte
	if harm == half {
		body, left = halve(body)
	}
	answer, err := n.forward(r, body)
	if err != nil {
		hangUp(w)
		return
	}
	defer answer.Body.Close()
	switch {
	case harm == lostAnswer:
		hangUp(w)
	case harm == broken:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"oh"}`)
	default:
		maps.Copy(w.Header(), answer.Header)
		w.Header().Del("X-Amz-Crc32")
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.StatusCode)
		if left != nil {
			fmt.Fprintf(w, `{"UnprocessedItems":%s}`, left)
		} else {
			_, _ = io.Copy(w, answer.Body)
		}
	}
}

// halve cuts a batch after its first item.
func halve(body []byte) (taken, left []byte) {
	var in struct{ RequestItems map[string][]json.RawMessage }
	if err := json.Unmarshal(body, &in); err != nil {
		return body, nil
	}
	rest := map[string][]json.RawMessage{}
	for table, items := range in.RequestItems {
		rest[table], in.RequestItems[table] = items[1:], items[:1]
		if len(items) == 1 {
			return body, nil
		}
	}
	taken, _ = json.Marshal(in)
	left, _ = json.Marshal(rest)
	return taken, left
}

func (n *network) forward(r *http.Request, body []byte) (*http.Response, error) {
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, n.target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	return n.client.Do(out)
}

func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func TestAWriteIsOneWhateverBecomesOfItsAnswer(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	plan(t, s, "j", 1)
	for name, f := range map[string]fault{"at once": none, "answer lost": lostAnswer, "request lost": lostAsked, "500 though done": broken, "throttled": throttled} {
		x, err := s.Slice(t.Context(), "j", 0)
		if err != nil {
			t.Fatal(err)
		}
		net.begin(first("UpdateItem", f))
		got, err := s.Put(t.Context(), x.Claim("w", name))
		net.begin(nil)
		if err != nil || got.Revision != x.Revision+1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if now, err := s.Slice(t.Context(), "j", 0); err != nil || now.Revision != got.Revision || now.Token != name {
			t.Errorf("%s: stored %+v, %v", name, now, err)
		}
	}
}

// Somebody else writes while the answer to the first attempt is missing.
func TestTheOutcomeOfAWriteIsNeverGuessed(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	other := again(t, s, server.Settings())
	plan(t, s, "j", 1)
	for _, c := range []struct {
		name   string
		f      fault
		others int // writes of somebody else before the repeat
		want   string
	}{
		{"the request was lost, then one other write", lostAsked, 1, "changed"},
		{"the request was lost, then two", lostAsked, 2, "unknown"},
		{"the answer was lost, then another write", lostAnswer, 1, "unknown"},
		{"throttled, then two other writes", throttled, 2, "changed"},
	} {
		x, err := s.Slice(t.Context(), "j", 0)
		if err != nil {
			t.Fatal(err)
		}
		attempts := 0
		net.begin(func(op, _ string) fault {
			if op != "UpdateItem" {
				return none
			}
			if attempts++; attempts == 1 {
				return c.f
			}
			for range c.others {
				now, err := other.Slice(context.Background(), "j", 0)
				if err == nil {
					_, err = other.Put(context.Background(), now.Claim("o", "other"))
				}
				if err != nil {
					t.Error(err)
				}
			}
			return none
		})
		_, err = s.Put(t.Context(), x.Claim("w", "mine"))
		net.begin(nil)
		got := "unknown"
		switch {
		case err == nil:
			got = "done"
		case errors.Is(err, jobs.ErrChanged):
			got = "changed"
		case standpipe.ClassOf(err) != standpipe.Retryable || !strings.Contains(err.Error(), "unknown"):
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAPlanBecomesVisibleLastAndOnce(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	watcher := again(t, s, server.Settings())
	for i, f := range []fault{none, lostAnswer, lostAsked, broken, throttled, half} {
		id := fmt.Sprintf("j%d", i)
		j, all := jobstest.Plan(id, 60)
		j.Spec, all[7].Spec = largeDocument(1), largeDocument(2)
		harmed := map[string]int{}
		net.begin(func(op, _ string) fault {
			if _, err := watcher.Job(context.Background(), id); op == "BatchWriteItem" && !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("%v: visible while its rows are written: %v", f, err)
			}
			if harmed[op]++; op == "BatchWriteItem" && (harmed[op] < 3 || f == half) || op == "PutItem" && f != half && harmed[op] == 1 {
				return f
			}
			return none
		})
		err := s.Create(t.Context(), j, all)
		calls := net.passed()
		net.begin(nil)
		if err != nil {
			t.Errorf("fault %v: %v", f, err)
			continue
		}
		if last := calls[len(calls)-1]; f == none && last != "PutItem" {
			t.Errorf("the last call is %s", last)
		}
		got, err := s.Slices(t.Context(), id)
		if err != nil || len(got) != 60 || !bytes.Equal(got[7].Spec, all[7].Spec) {
			t.Errorf("fault %v: %d slices, %v", f, len(got), err)
		}
		if n := rowsOf(t, s, id); n != 60+3+3 {
			t.Errorf("fault %v: %d rows", f, n)
		}
		if err := s.Create(t.Context(), j, all); !errors.Is(err, jobs.ErrExists) {
			t.Errorf("fault %v: a second plan: %v", f, err)
		}
	}
}

// A document's parts are there before the row that names them, and stay until
// another one does.
func TestPartsAreWrittenBeforeTheirRowAndRemovedAfterIt(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	plan(t, s, "j", 1)
	x, err := s.Slice(t.Context(), "j", 0)
	if err != nil {
		t.Fatal(err)
	}
	put := func(doc json.RawMessage) string {
		t.Helper()
		net.begin(nil)
		if x, err = s.Put(t.Context(), x.Report(doc)); err != nil {
			t.Fatal(err)
		}
		return strings.Join(slices.Compact(net.passed()), " ")
	}
	for i, c := range []struct {
		doc  json.RawMessage
		want string
	}{
		{largeDocument(1), "GetItem BatchWriteItem UpdateItem"},
		{largeDocument(1), "GetItem UpdateItem"}, // a heartbeat
		{largeDocument(2), "GetItem BatchWriteItem UpdateItem BatchWriteItem(delete)"},
		{json.RawMessage(`1`), "UpdateItem BatchWriteItem(delete)"},
		{json.RawMessage(`2`), "UpdateItem"},
	} {
		if got := put(c.doc); got != c.want {
			t.Errorf("write %d: %s, want %s", i, got, c.want)
		}
	}
	// A write that comes too late leaves nothing, and no harm.
	late := x
	put(largeDocument(3))
	if _, err := s.Put(t.Context(), late.Report(largeDocument(4))); !errors.Is(err, jobs.ErrChanged) {
		t.Error(err)
	}
	if now, err := s.Slice(t.Context(), "j", 0); err != nil || !bytes.Equal(now.Progress, largeDocument(3)) || rowsOf(t, s, "j") != 1+3 {
		t.Errorf("%d bytes in %d rows, %v", len(now.Progress), rowsOf(t, s, "j"), err)
	}
}

// A document that is replaced between the reads of its row and of its parts is
// read again.
func TestAReaderNeverSeesHalfADocument(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	writer := again(t, s, server.Settings())
	plan(t, s, "j", 1)
	write := func(i int) {
		x, err := writer.Slice(context.Background(), "j", 0)
		if err == nil {
			_, err = writer.Put(context.Background(), x.Report(largeDocument(i)))
		}
		if err != nil {
			t.Error(err)
		}
	}
	write(0)
	for name, read := range map[string]func() (jobs.Slice, error){
		"one": func() (jobs.Slice, error) { return s.Slice(t.Context(), "j", 0) },
		"all": func() (jobs.Slice, error) {
			all, err := s.Slices(t.Context(), "j")
			if err != nil || len(all) != 1 {
				return jobs.Slice{}, fmt.Errorf("%d slices, %w", len(all), err)
			}
			return all[0], nil
		},
	} {
		replaced := 0
		net.begin(func(op, body string) fault {
			if op == "Query" && strings.Contains(body, "/part/") && replaced < 2 {
				replaced++
				write(replaced)
			}
			return none
		})
		x, err := read()
		net.begin(nil)
		if err != nil || replaced != 2 || !bytes.Equal(x.Progress, largeDocument(2)) {
			t.Errorf("%s: %d bytes after %d replacements, %v", name, len(x.Progress), replaced, err)
		}
	}
}

// Another machine's plan becomes visible while ours is written: ours leaves
// nothing.
func TestTheSecondPlanRemovesItsRows(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	other := again(t, s, server.Settings())
	net.begin(func(op, _ string) fault {
		if op == "PutItem" {
			plan(t, other, "j", 3)
		}
		return none
	})
	j, all := jobstest.Plan("j", 40)
	j.Spec, all[1].Spec = largeDocument(1), largeDocument(2)
	if err := s.Create(t.Context(), j, all); !errors.Is(err, jobs.ErrExists) {
		t.Error(err)
	}
	if got, err := s.Slices(t.Context(), "j"); err != nil || len(got) != 3 || rowsOf(t, s, "j") != 3 {
		t.Errorf("%d slices in %d rows, %v", len(got), rowsOf(t, s, "j"), err)
	}
}

// runJob does a job with a runner for each store, each with a queue of its own,
// and watches it through one more.
func runJob(t *testing.T, id string, stores []*Store, watch *Store, opt jobs.Options) []jobs.Slice {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(stores))
	for _, s := range stores {
		queue, err := embedded.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer queue.Close()
		r, err := jobs.NewRunner(s, func(o *taskq.QueueOptions) jobs.Queue { return queue.NewQueue(o) }, map[string]jobs.Handler{
			"test": func(_ context.Context, task jobs.Task) (json.RawMessage, error) {
				return json.Marshal(task.Slice.Number)
			},
		}, opt)
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- r.Run(ctx) }()
	}
	limit, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var all []jobs.Slice
	err := harness.Poll(limit, "every slice to end", func() (err error) {
		if all, err = watch.States(limit, id); err == nil && !jobs.Summarize(all).Ended() {
			err = fmt.Errorf("%+v", jobs.Summarize(all))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	cancel()
	for range stores {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return all
}

func TestAFleetOnABadNetworkDoesEverySlice(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	plan(t, s, "j", 60)
	random := rand.New(rand.NewPCG(7, 7))
	net.begin(func(string, string) fault { // under the network's lock
		if n := random.IntN(30); n <= int(throttled) {
			return fault(n)
		}
		return none
	})
	opt := jobs.Options{Parallel: 4, Beat: 100 * time.Millisecond, ClaimTimeout: 2 * time.Second, MaxTries: 1000}
	for i, x := range runJob(t, "j", []*Store{s, again(t, s, settings)}, again(t, s, server.Settings()), opt) {
		if x.State != jobs.Done || string(x.Result) != fmt.Sprint(i) {
			t.Errorf("slice %d: %+v", i, x)
		}
	}
}

// What a job of 500 slices costs. docs/operations.md says the same numbers.
func TestWhatFiveHundredSlicesCost(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	net, settings := newNetwork(t, server.Endpoint)
	s := openTable(t, settings)
	count := func() map[string]int {
		all := map[string]int{}
		for _, op := range net.passed() {
			all[op]++
		}
		return all
	}
	net.begin(nil)
	plan(t, s, "j", 500)
	if got, want := count(), map[string]int{"GetItem": 1, "BatchWriteItem": 20, "PutItem": 1}; !maps.Equal(got, want) {
		t.Errorf("planning: %v, want %v", got, want)
	}
	net.begin(nil)
	if _, err := s.States(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	if got, want := count(), map[string]int{"GetItem": 1, "Query": 1}; !maps.Equal(got, want) {
		t.Errorf("a look: %v, want %v", got, want)
	}
	// No heartbeat and no look but those that the ends of slices cause, of which
	// several may cause one together.
	const n = 100
	s = openTable(t, settings)
	plan(t, s, "j", n)
	net.begin(nil)
	runJob(t, "j", []*Store{s}, again(t, s, server.Settings()), jobs.Options{Parallel: 4, Beat: time.Minute})
	got := count()
	// Each slice: its claim and its end; read the job and the slice.
	if got["UpdateItem"] != 2*n || got["PutItem"]+got["BatchWriteItem"]+got["DeleteItem"] != 0 {
		t.Errorf("writes: %v, want %d UpdateItem", got, 2*n)
	}
	// A look: list the jobs, read the job, read its slices. The last may be cut off.
	if looks := got["GetItem"] - 2*n; looks < 1 || looks > n+1 || got["Query"] > 2*looks+2 {
		t.Errorf("reads: %v, want %d GetItem and at most a look for each slice", got, 2*n)
	}
}
