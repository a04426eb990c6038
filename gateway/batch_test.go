package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe/gateway"
)

// A script is a Kinesis that answers by rule and remembers what it was asked.
type script struct {
	mu     sync.Mutex
	calls  []gateway.Call
	answer func(n int, c gateway.Call) (gateway.Reply, error)
}

func (s *script) Do(_ context.Context, c gateway.Call) (gateway.Reply, error) {
	s.mu.Lock()
	s.calls = append(s.calls, c)
	n := len(s.calls)
	s.mu.Unlock()
	return s.answer(n, c)
}

func (s *script) seen() []gateway.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]gateway.Call(nil), s.calls...)
}

type entry struct{ Data, PartitionKey string }

// stored answers as Kinesis does when all is well: the sequence number is the data.
func stored(_ int, c gateway.Call) (gateway.Reply, error) {
	var in struct {
		entry
		Records []entry
	}
	if err := json.Unmarshal(c.Body, &in); err != nil {
		return gateway.Reply{}, err
	}
	if c.Action == "PutRecord" {
		return gateway.Reply{Status: 200, Body: fmt.Appendf(nil, `{"SequenceNumber":%q,"ShardId":"alone"}`, in.Data)}, nil
	}
	var out []string
	for _, r := range in.Records {
		if strings.HasPrefix(r.Data, "bad") {
			out = append(out, `{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow"}`)
			continue
		}
		out = append(out, fmt.Sprintf(`{"SequenceNumber":%q,"ShardId":"batch"}`, r.Data))
	}
	return gateway.Reply{Status: 200, Body: fmt.Appendf(nil, `{"FailedRecordCount":0,"Records":[%s]}`, strings.Join(out, ","))}, nil
}

func put(data string) gateway.Call {
	return gateway.Call{Action: "PutRecord", Region: "r", Body: fmt.Appendf(nil, `{"StreamName":"s","Data":%q,"PartitionKey":"k"}`, data)}
}

// gather sends the calls one after the other into a batcher, each from a
// goroutine of its own, and returns their answers in order.
func gather(t *testing.T, s *script, calls ...gateway.Call) (replies []gateway.Reply, errs []error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := gateway.NewBatcher(s, 5*time.Millisecond, nil)
		defer b.Close()
		replies, errs = make([]gateway.Reply, len(calls)), make([]error, len(calls))
		var group sync.WaitGroup
		for i, c := range calls {
			group.Go(func() { replies[i], errs[i] = b.Do(t.Context(), c) })
			synctest.Wait() // the next arrives after this one
		}
		group.Wait()
	})
	return replies, errs
}

func TestRecordsOfABatchKeepTheirOrderAndTheirAnswers(t *testing.T) {
	s := &script{answer: stored}
	var calls []gateway.Call
	for i := range 20 {
		name := "ok"
		if i%7 == 3 {
			name = "bad"
		}
		calls = append(calls, put(fmt.Sprintf("%s%d", name, i)))
	}
	replies, errs := gather(t, s, calls...)
	if n := len(s.seen()); n != 1 || s.seen()[0].Action != "PutRecords" {
		t.Fatalf("%d calls: %v", n, s.seen())
	}
	var sent struct{ Records []entry }
	if err := json.Unmarshal(s.seen()[0].Body, &sent); err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		want, status := fmt.Sprintf(`{"SequenceNumber":"ok%d","ShardId":"batch"}`, i), 200
		if i%7 == 3 {
			want, status = `{"__type":"ProvisionedThroughputExceededException","message":"slow"}`, 400
		}
		if errs[i] != nil || replies[i].Status != status || string(replies[i].Body) != want {
			t.Errorf("%d: %d %s %v", i, replies[i].Status, replies[i].Body, errs[i])
		}
		if !strings.HasSuffix(sent.Records[i].Data, fmt.Sprint(i)) {
			t.Errorf("record %d is %s", i, sent.Records[i].Data)
		}
	}
}

func TestOneRecordThatIsRefusedDoesNotTakeTheOthersWithIt(t *testing.T) {
	s := &script{answer: func(n int, c gateway.Call) (gateway.Reply, error) {
		if n == 1 || strings.Contains(string(c.Body), "empty") {
			return gateway.Reply{Status: 400, Body: []byte(`{"__type":"ValidationException","message":"no key"}`)}, nil
		}
		return stored(n, c)
	}}
	replies, _ := gather(t, s, put("a"), put("empty"), put("c"))
	if replies[0].Status != 200 || replies[1].Status != 400 || replies[2].Status != 200 || len(s.seen()) != 4 {
		t.Errorf("%d calls, answers %+v", len(s.seen()), replies)
	}
	for i, want := range []string{"a", "empty", "c"} {
		if c := s.seen()[i+1]; c.Action != "PutRecord" || !strings.Contains(string(c.Body), `"`+want+`"`) {
			t.Errorf("call %d is %s %s", i+1, c.Action, c.Body)
		}
	}
}

// What may have been stored is never sent again.
func TestABatchOfUnknownFateIsNotRepeated(t *testing.T) {
	lost := errors.New("connection lost")
	for name, answer := range map[string]func(int, gateway.Call) (gateway.Reply, error){
		"lost": func(int, gateway.Call) (gateway.Reply, error) { return gateway.Reply{}, lost },
		"internal": func(int, gateway.Call) (gateway.Reply, error) {
			return gateway.Reply{Status: 500, Body: []byte(`{"__type":"InternalFailure"}`)}, nil
		},
		"limit": func(int, gateway.Call) (gateway.Reply, error) {
			return gateway.Reply{Status: 400, Body: []byte(`{"__type":"LimitExceededException"}`)}, nil
		},
	} {
		s := &script{answer: answer}
		replies, errs := gather(t, s, put("a"), put("b"))
		if len(s.seen()) != 1 {
			t.Errorf("%s: %d calls", name, len(s.seen()))
		}
		for i := range replies {
			if name == "lost" && !errors.Is(errs[i], lost) || name != "lost" && replies[i].Status < 400 {
				t.Errorf("%s: %+v %v", name, replies[i], errs[i])
			}
		}
	}
}

func TestWhatIsNoPlainRecordGoesAlone(t *testing.T) {
	s := &script{answer: func(int, gateway.Call) (gateway.Reply, error) {
		return gateway.Reply{Status: 200, Body: []byte(`{}`)}, nil
	}}
	odd := []string{`{`, `{"StreamName":"s","Data":"a","PartitionKey":"k","SequenceNumberForOrdering":"1"}`, `{"StreamName":"s","Data":"a"}`, `{"StreamName":"s","Data":"a","PartitionKey":"k"} x`}
	var calls []gateway.Call
	for _, body := range odd {
		calls = append(calls, gateway.Call{Action: "PutRecord", Body: []byte(body)})
	}
	gather(t, s, calls...)
	for i, c := range s.seen() {
		if c.Action != "PutRecord" || string(c.Body) != odd[i] {
			t.Errorf("%s %s", c.Action, c.Body)
		}
	}
}

func TestABatchHasKinesissLimits(t *testing.T) {
	s := &script{answer: stored}
	var calls []gateway.Call
	for i := range 520 {
		calls = append(calls, put(fmt.Sprint("ok", i)))
	}
	big := strings.Repeat("A", 8<<20)
	calls = append(calls, put(big), put(big))
	replies, errs := gather(t, s, calls...)
	for i := range replies {
		if errs[i] != nil || replies[i].Status != 200 {
			t.Fatalf("%d: %v", i, errs[i])
		}
	}
	for _, c := range s.seen() {
		var in struct{ Records []entry }
		if err := json.Unmarshal(c.Body, &in); err != nil || len(in.Records) > 500 || len(c.Body) > 14<<20 {
			t.Errorf("a call of %d records, %d bytes", len(in.Records), len(c.Body))
		}
	}
	if n := len(s.seen()); n < 3 || n > 5 {
		t.Errorf("%d calls", n)
	}
}

func TestACallerThatLeftIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: stored}
		b := gateway.NewBatcher(s, time.Second, nil)
		defer b.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := b.Do(ctx, put("left")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if r, err := b.Do(t.Context(), put("stays")); err != nil || r.Status != 200 {
			t.Errorf("%+v %v", r, err)
		}
		for _, c := range s.seen() {
			if strings.Contains(string(c.Body), "left") {
				t.Error("a record was sent for nobody")
			}
		}
	})
}

func TestGatheredRecordsReachKinesis(t *testing.T) {
	r := start(t, tutorial(t), func(c *gateway.Config) { c.Batch = 20 * time.Millisecond })
	const clients, each = 16, 5
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			for i := range each {
				if a := r.post(fmt.Sprintf(`{"c":%d,"i":%d}`, c, i)); a.status != 200 || !strings.Contains(a.body, "shardId-") {
					t.Errorf("%+v", a)
				}
			}
		})
	}
	group.Wait()
	if n := len(r.records()); n != clients*each {
		t.Errorf("%d records", n)
	}
	if n := r.metric("standpipe_gateway_batch_records", ""); n == 0 || n >= clients*each {
		t.Errorf("%v batches", n)
	}
}

// A request that is under way when the gateway is asked to stop gets its
// answer; one that comes later finds nobody.
func TestAStopAnswersWhatWasAccepted(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	backend := &script{answer: func(n int, c gateway.Call) (gateway.Reply, error) {
		close(entered)
		<-release
		return stored(n, c)
	}}
	g, err := gateway.New(gateway.Config{API: parse(t, tutorial(t)), Backend: backend, Stage: "PROD"})
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	url := "http://" + l.Addr().String() + "/PROD/v1"
	answered := make(chan error, 1)
	go func() {
		res, err := client.Post(url, "application/json", strings.NewReader("{}"))
		if err == nil {
			res.Body.Close()
			if res.StatusCode != 200 || !res.Close {
				err = fmt.Errorf("status %d, closes %v", res.StatusCode, res.Close)
			}
		}
		answered <- err
	}()
	<-entered
	stop()
	for { // until nobody listens
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-served:
		t.Fatalf("it stopped with a request under way: %v", err)
	default:
	}
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// An answer that does not say what became of a record is no answer: nobody is
// told that Kinesis has it.
func TestABatchWithoutAnAnswerForEachRecordIsOfUnknownFate(t *testing.T) {
	for name, body := range map[string]string{
		"not JSON":       `<html>welcome</html>`,
		"cut off":        `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","Sh`,
		"one for two":    `{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1","ShardId":"a"}]}`,
		"neither, and a": `{"FailedRecordCount":0,"Records":[{},{"SequenceNumber":"1","ShardId":"a"}]}`,
	} {
		s := &script{answer: func(int, gateway.Call) (gateway.Reply, error) {
			return gateway.Reply{Status: 200, Body: []byte(body)}, nil
		}}
		replies, errs := gather(t, s, put("a"), put("b"))
		if n := len(s.seen()); n != 1 {
			t.Errorf("%s: %d calls", name, n)
		}
		for i := range replies {
			if known := i == 1 && name == "neither, and a"; known != (errs[i] == nil) || known && replies[i].Status != 200 {
				t.Errorf("%s: caller %d got %d %s", name, i, replies[i].Status, replies[i].Body)
			}
		}
	}
}

// What one caller's request made of the headers is not sent for another's.
func TestABatchHasTheHeadersOfEachOfItsRecords(t *testing.T) {
	s := &script{answer: func(n int, c gateway.Call) (gateway.Reply, error) {
		if c.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
			return gateway.Reply{Status: 404, Body: []byte(`{"__type":"UnknownOperationException"}`)}, nil
		}
		return stored(n, c)
	}}
	var calls []gateway.Call
	for i, media := range []string{"text/plain", "application/x-amz-json-1.1", "application/x-amz-json-1.1", "text/plain"} {
		c := put(fmt.Sprint("ok", i))
		c.Header = http.Header{"Content-Type": {media}}
		calls = append(calls, c)
	}
	replies, errs := gather(t, s, calls...)
	for i, want := range []int{404, 200, 200, 404} {
		if errs[i] != nil || replies[i].Status != want {
			t.Errorf("%d: %d %s %v, want %d", i, replies[i].Status, replies[i].Body, errs[i], want)
		}
	}
}
