package dynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/checkpointtest"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A mischief stands before a DynamoDB server and does what networks do: it
// loses requests, loses answers, answers 500 after the write was done, throttles,
// and delivers a request once more, later, when others have passed.
type mischief struct {
	target  string
	client  *http.Client
	pending sync.WaitGroup // late repeats

	mu   sync.Mutex
	rnd  *rand.Rand
	done int // faults
}

func newMischief(t *testing.T, target string, seed uint64) (*mischief, aws.Config) {
	m := &mischief{target: target, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}, rnd: rand.New(rand.NewPCG(seed, 1))}
	server := httptest.NewServer(m)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		m.pending.Wait()
		m.client.CloseIdleConnections()
	})
	settings := (&harness.DynamoDB{Endpoint: server.URL}).Settings()
	return m, settings
}

func (m *mischief) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m.mu.Lock()
	fault := m.rnd.IntN(20)
	if fault < 5 {
		m.done++
	}
	m.mu.Unlock()
	switch fault {
	case 0: // the request is lost
		reset(w, call{})
		return
	case 1: // refused before anything is done
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}`)
		return
	}
	status, answer, err := m.forward(r.Header, body)
	switch {
	case err != nil || fault == 2: // the answer is lost
		reset(w, call{})
	case fault == 3:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"and yet it was done"}`)
	default:
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		_, _ = w.Write(answer)
	}
	if fault == 4 {
		m.repeatLater(r.Header.Clone(), body)
	}
}

// repeatLater sends a request once more after it was answered: a copy that was
// held up somewhere.
func (m *mischief) repeatLater(header http.Header, body []byte) {
	m.mu.Lock()
	wait := time.Duration(m.rnd.IntN(100)) * time.Millisecond
	m.mu.Unlock()
	m.pending.Go(func() {
		<-time.After(wait)
		_, _, _ = m.forward(header, body)
	})
}

func (m *mischief) forward(header http.Header, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, m.target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header.Clone()
	req.Header.Del("Accept-Encoding")
	res, err := m.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// asked and answered are one operation of a history. A read has no update.
type asked struct {
	shard  standpipe.ShardID
	update *checkpoint.Update
}

type answered struct {
	outcome string // applied, refused, unknown
	lease   string // as JSON, after an applied write or a read
}

func text(l checkpoint.Lease) string {
	b, _ := json.Marshal(l) // plain data
	return string(b)
}

// leaseModel is a lease as the Store contract has it: Holds and Apply, nothing else.
var leaseModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byShard := map[standpipe.ShardID][]porcupine.Operation{}
		for _, op := range history {
			shard := op.Input.(asked).shard
			byShard[shard] = append(byShard[shard], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byShard {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in, out := input.(asked), output.(answered)
		if state == "" {
			state = text(checkpointtest.Fresh(in.shard))
		}
		if in.update == nil {
			return out.outcome == "unknown" || out.lease == state, state
		}
		var l checkpoint.Lease
		if err := json.Unmarshal([]byte(state.(string)), &l); err != nil {
			panic(err)
		}
		holds := in.update.If.Holds(l)
		next := text(in.update.Set.Apply(l))
		switch {
		case out.outcome == "refused":
			return !holds, state
		case out.outcome == "applied":
			return holds && out.lease == next, next
		case holds: // unknown: it takes effect somewhere, at the end if need be
			return true, next
		}
		return true, state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// A player is a worker that takes, prepares, commits and releases at random,
// and judges by what it read.
type player struct {
	store  *Store
	id     int
	rnd    *rand.Rand
	flush  int
	begin  time.Time
	shards []standpipe.ShardID
	// weaken changes what is sent, not what the history says was asked.
	weaken func(*checkpoint.Condition)
}

func (p *player) play(ctx context.Context, moves int) (history []porcupine.Operation) {
	known := map[standpipe.ShardID]checkpoint.Lease{}
	for range moves {
		shard := p.shards[p.rnd.IntN(len(p.shards))]
		in := asked{shard: shard}
		if l, ok := known[shard]; ok && p.rnd.IntN(4) > 0 {
			in.update = p.move(l)
		}
		op := porcupine.Operation{ClientId: p.id, Input: in, Call: int64(time.Since(p.begin))}
		l, err := p.send(ctx, in)
		op.Return = int64(time.Since(p.begin))
		out := answered{outcome: outcome(err), lease: text(l)}
		if f, ok := errors.AsType[*checkpoint.FencedError](err); ok {
			l = f.Current
		} else if err != nil {
			out.outcome, op.Return = "unknown", math.MaxInt64
			delete(known, shard)
		}
		op.Output = out
		history = append(history, op)
		if out.outcome != "unknown" {
			known[shard] = l
		}
	}
	return history
}

func (p *player) send(ctx context.Context, in asked) (checkpoint.Lease, error) {
	if in.update == nil {
		return p.store.Get(ctx, in.shard)
	}
	u := *in.update
	if p.weaken != nil {
		p.weaken(&u.If)
	}
	return p.store.Update(ctx, u)
}

// move is what a worker would do next with a lease it saw like that.
func (p *player) move(l checkpoint.Lease) *checkpoint.Update {
	me := fmt.Sprint("worker-", p.id)
	var u checkpoint.Update
	switch {
	case l.Owner != me || p.rnd.IntN(10) == 0:
		u = checkpoint.Take(l, me)
	case l.Pending == nil && p.rnd.IntN(6) == 0:
		u = checkpoint.Release(l, "")
	case l.Pending == nil:
		p.flush++
		u = checkpoint.Prepare(l, checkpoint.Pending{
			Position: standpipe.Position{Sequence: fmt.Sprint(1 + p.id + 10*p.flush)}, State: fmt.Appendf(nil, "intent %d of %s", p.flush, me),
		})
	case p.rnd.IntN(5) == 0:
		u = checkpoint.Rollback(l)
	default:
		u = checkpoint.Commit(l, time.Unix(int64(p.flush), 0).UTC(), nil)
	}
	return &u
}

// game lets four workers play for two leases and returns what happened.
func game(t *testing.T, settings aws.Config, direct aws.Config, seed uint64, weaken func(*checkpoint.Condition)) []porcupine.Operation {
	t.Helper()
	quiet := openTable(t, direct)
	shards := []standpipe.ShardID{"shardId-000000000000", "shardId-000000000001"}
	for _, shard := range shards {
		if err := quiet.Create(t.Context(), checkpointtest.Fresh(shard)); err != nil {
			t.Fatal(err)
		}
	}
	const players, moves = 4, 60
	histories := make([][]porcupine.Operation, players)
	var group sync.WaitGroup
	begin := time.Now()
	for i := range players {
		store := &Store{NewTable(settings, quiet.Name())}
		p := &player{store: store, id: i, rnd: rand.New(rand.NewPCG(seed, uint64(i))), begin: begin, shards: shards, weaken: weaken}
		group.Go(func() {
			defer store.Table.Close()
			histories[i] = p.play(t.Context(), moves)
		})
	}
	group.Wait()
	var all []porcupine.Operation
	for _, h := range histories {
		all = append(all, h...)
	}
	return all
}

const judgeLimit = time.Minute

// However requests and answers are lost, delayed and repeated: what the store
// says happened is what a single lease in one place could have done.
func TestWhatTheStoreSaysIsLinearizableUnderFaults(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	applied, unknown, faults := 0, 0, 0
	for seed := range uint64(4) {
		m, settings := newMischief(t, server.Endpoint, seed)
		history := game(t, settings, server.Settings(), seed, nil)
		for _, op := range history {
			switch op.Output.(answered).outcome {
			case "applied":
				applied++
			case "unknown":
				unknown++
			}
		}
		m.mu.Lock()
		faults += m.done
		m.mu.Unlock()
		if got := porcupine.CheckOperationsTimeout(leaseModel, history, judgeLimit); got != porcupine.Ok {
			t.Errorf("seed %d: the history of %d operations is %s", seed, len(history), got)
		}
	}
	t.Logf("%d operations applied, %d unknown, %d faults", applied, unknown, faults)
	if applied < 200 || faults < 50 {
		t.Error("too little happened to prove anything")
	}
}

// The judge is no yes-man: a store that forgets a condition is found out.
func TestAForgottenConditionIsFoundByTheJudge(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	for name, forget := range map[string]func(*checkpoint.Condition){
		"counter": func(c *checkpoint.Condition) { c.Counter = nil },
		"epoch": func(c *checkpoint.Condition) {
			c.Epoch, c.Owner, c.PendingState, c.Flush, c.Checkpoint = nil, nil, nil, nil, nil
		},
	} {
		found := false
		for seed := uint64(0); seed < 10 && !found; seed++ {
			history := game(t, server.Settings(), server.Settings(), seed, forget)
			found = porcupine.CheckOperationsTimeout(leaseModel, history, judgeLimit) == porcupine.Illegal
		}
		if !found {
			t.Errorf("without its %s condition the store passes ten games", name)
		}
	}
}

// A repeat of a write that was applied finds the write's id in the row: even a
// write whose condition still holds is done once.
func TestAWriteWhoseAnswerWasLostIsDoneOnce(t *testing.T) {
	direct := harness.StartDynalite(t, 0)
	s := openTable(t, direct.Settings())
	if err := s.Create(t.Context(), checkpointtest.Fresh("shardId-000000000000")); err != nil {
		t.Fatal(err)
	}
	m, _ := newMischief(t, direct.Endpoint, 0)
	calls := 0
	losing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status, answer, err := m.forward(r.Header, body)
		if calls++; calls == 1 || err != nil {
			reset(w, call{})
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write(answer)
	}))
	defer losing.Close()
	lossy := &Store{NewTable((&harness.DynamoDB{Endpoint: losing.URL}).Settings(), s.Name())}
	defer lossy.Table.Close()
	if w, err := lossy.Beat(t.Context(), checkpointtest.Worker("me")); err != nil || w.Counter != 1 || calls < 2 {
		t.Errorf("heartbeat: %+v, %v after %d calls", w, err, calls)
	}
	calls = 0
	l, err := lossy.Update(t.Context(), checkpoint.Update{Shard: "shardId-000000000000", Set: checkpoint.Change{NextEpoch: true}})
	if err != nil || l.Epoch != 1 || calls < 2 {
		t.Errorf("update without a condition: epoch %d, %v after %d calls", l.Epoch, err, calls)
	}
	calls = 0
	if err := lossy.Create(t.Context(), checkpointtest.Fresh("shardId-000000000001")); err != nil || calls < 2 {
		t.Errorf("create: %v after %d calls", err, calls)
	}
}
