package kinesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// adminBodyMax bounds an order; the longest is a few hundred bytes.
const adminBodyMax = 64 << 10

// An adminCommand is one order of the admin API, with an example for GET /admin.
type adminCommand struct {
	Path    string `json:"path"`
	Does    string `json:"does"`
	Example string `json:"example"`
	run     func(*Server, []byte) (any, error)
}

var adminCommands = []adminCommand{
	{"/admin/clock", "advance the clock; answers the time. Records past retention go at once.", `{"advance":"25h"}`, (*Server).adminClock},
	{"/admin/trim", "drop records: of one shard or all, those that arrived before a time or all.", `{"stream":"s","shard":"shardId-000000000000","before":"2026-01-02T15:04:05Z"}`, (*Server).adminTrim},
	{"/admin/throttle", "refuse the next calls on a shard, puts and GetRecords alike, with ProvisionedThroughputExceededException.", `{"stream":"s","shard":"shardId-000000000000","calls":3}`, (*Server).adminThrottle},
	{"/admin/empty-pages", "answer the next GetRecords on a shard without records though there are some.", `{"stream":"s","shard":"shardId-000000000000","calls":3}`, (*Server).adminEmptyPages},
	{"/admin/expire-iterators", "expire every iterator given out so far.", `{}`, (*Server).adminExpire},
	{"/admin/hang-up", "end the subscriptions to a shard or to all: with error (and message) as an exception in the stream, without it by dropping the connection.", `{"stream":"s","consumer":"c","shard":"shardId-000000000000","error":"InternalFailureException"}`, (*Server).adminHangUp},
	{"/admin/fault", "make the next count calls of an operation (\"\" is any) fail with error (and status, message), drop the connection before or after the effect, wait for delay, or fail single records of a PutRecords.", `{"operation":"PutRecords","count":1,"records":[0,2],"code":"InternalFailure"}`, (*Server).adminFault},
	{"/admin/reset", "forget all ordered faults; answers their number.", `{}`, (*Server).adminReset},
}

// Admin returns the operator's API: orders that AWS has no call for. It is a
// test bed and must not be reachable by others: serve it on its own loopback
// listener. GET /admin lists the orders with examples.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin", func(w http.ResponseWriter, _ *http.Request) {
		s.adminAnswer(w, http.StatusOK, map[string]any{"commands": adminCommands})
	})
	for _, command := range adminCommands {
		mux.HandleFunc("POST "+command.Path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Origin") != "" { // a web page somewhere must not give orders through the operator's browser
				s.adminAnswer(w, http.StatusForbidden, map[string]any{"error": "orders do not come from web pages"})
				return
			}
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, adminBodyMax))
			if err != nil {
				s.adminAnswer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
				return
			}
			answer, err := command.run(s, body)
			if err != nil {
				s.adminAnswer(w, http.StatusBadRequest, map[string]any{"error": err.Error(), "example": command.Example})
				return
			}
			s.adminAnswer(w, http.StatusOK, answer)
		})
	}
	return mux
}

func (s *Server) adminAnswer(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // our own maps of strings and numbers
		panic(err)
	}
	write(w, status, "application/json", append(b, '\n'))
}

// strict decodes an order; a misspelt member would silently order nothing.
func strict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read order: %w", err)
	}
	return nil
}

func (s *Server) adminClock(body []byte) (any, error) {
	var in struct{ Advance string }
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	if in.Advance != "" {
		d, err := time.ParseDuration(in.Advance)
		if err != nil {
			return nil, fmt.Errorf("read advance: %w", err)
		}
		s.clock.advance(d)
		s.sweep(s.clock.now())
	}
	return map[string]any{"now": s.clock.now().Format(time.RFC3339Nano)}, nil
}

// An adminScope names shards: one, all of a stream, or all there are.
type adminScope struct{ Stream, Shard string }

// each calls do for every shard in the scope with its stream locked for reading,
// then saves the stream.
func (s *Server) each(scope adminScope, do func(*stream, *shard)) (int, error) {
	now, n := s.clock.now(), 0
	for _, st := range s.all(now) {
		if scope.Stream != "" && scope.Stream != st.name {
			continue
		}
		hit, err := st.each(scope.Shard, do)
		n += hit
		if err != nil {
			return n, err
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("no shard %q in stream %q", scope.Shard, scope.Stream)
	}
	return n, nil
}

func (st *stream) each(name string, do func(*stream, *shard)) (int, error) {
	st.mu.Lock() // save writes a file: one at a time
	defer st.mu.Unlock()
	index, ok := parseShardName(name)
	if name != "" && !ok {
		return 0, fmt.Errorf("%s is no shard id", strconv.Quote(name))
	}
	n := 0
	for _, sh := range st.shards {
		if name == "" || sh.index == index {
			do(st, sh)
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, st.save()
}

func (s *Server) adminTrim(body []byte) (any, error) {
	var in struct {
		adminScope
		Before string
	}
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	trim := func(_ *stream, sh *shard) { sh.log.trim(sh.log.tip()) }
	if in.Before != "" {
		t, err := time.Parse(time.RFC3339Nano, in.Before)
		if err != nil {
			return nil, fmt.Errorf("read before: %w", err)
		}
		trim = func(_ *stream, sh *shard) { sh.log.expire(t.UnixMilli()) }
	}
	return shardsHit(s.each(in.adminScope, trim))
}

func shardsHit(n int, err error) (any, error) { return map[string]int{"shards": n}, err }

func (s *Server) adminThrottle(body []byte) (any, error) {
	return s.adminOrder(body, func(sh *shard, calls int) { sh.limits.order(&calls, nil) })
}

func (s *Server) adminEmptyPages(body []byte) (any, error) {
	return s.adminOrder(body, func(sh *shard, calls int) { sh.limits.order(nil, &calls) })
}

func (s *Server) adminOrder(body []byte, order func(*shard, int)) (any, error) {
	var in struct {
		adminScope
		Calls int
	}
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	if in.Calls < 0 {
		return nil, fmt.Errorf("calls is %d, must be 0 or more", in.Calls)
	}
	return shardsHit(s.each(in.adminScope, func(_ *stream, sh *shard) { order(sh, in.Calls) }))
}

func (s *Server) adminExpire([]byte) (any, error) {
	return map[string]uint64{"generation": s.generation.Add(1)}, nil
}

func (s *Server) adminHangUp(body []byte) (any, error) {
	var in struct {
		adminScope
		Consumer       string
		Error, Message string
	}
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	cause := errDropped
	if in.Error != "" {
		cause = (&fault{Error: in.Error, Message: in.Message}).apiError()
	}
	n := 0
	_, err := s.each(in.adminScope, func(st *stream, sh *shard) {
		for _, k := range st.consumers {
			if sub := k.subs[sh.index]; sub != nil && (in.Consumer == "" || in.Consumer == k.name) {
				sub.end(cause)
				delete(k.subs, sh.index)
				n++
			}
		}
	})
	return map[string]int{"subscriptions": n}, err
}

func (s *Server) adminFault(body []byte) (any, error) {
	var in fault
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	if _, ok := operations[in.Operation]; !ok && in.Operation != "" {
		return nil, fmt.Errorf("no operation %q", in.Operation)
	}
	if !slices.Contains([]string{"", dropBefore, dropAfter}, in.Drop) {
		return nil, fmt.Errorf("drop is %q, must be %q or %q", in.Drop, dropBefore, dropAfter)
	}
	if in.Delay != "" {
		d, err := time.ParseDuration(in.Delay)
		if err != nil {
			return nil, fmt.Errorf("read delay: %w", err)
		}
		in.delay = d
	}
	if in.Error == "" && in.Drop == "" && in.Delay == "" && len(in.Records) == 0 {
		return nil, errors.New("a fault needs error, drop, delay or records")
	}
	for _, i := range in.Records {
		if i < 0 {
			return nil, fmt.Errorf("record %d is negative", i)
		}
	}
	if in.Status != 0 && (in.Status < 400 || in.Status > 599) {
		return nil, fmt.Errorf("status %d is not of an error", in.Status)
	}
	in.Count = max(in.Count, 1)
	s.faults.add(in)
	return map[string]int{"count": in.Count}, nil
}

func (s *Server) adminReset([]byte) (any, error) {
	n := s.faults.clear()
	zero := 0
	for _, st := range s.all(s.clock.now()) {
		st.mu.RLock()
		for _, sh := range st.shards {
			sh.limits.order(&zero, &zero)
		}
		st.mu.RUnlock()
	}
	return map[string]int{"faults": n}, nil
}
