package kinesis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func (f *fixture) consumer(stream, name string) string {
	f.t.Helper()
	arn := f.server.streams[stream].arn
	out, err := f.client.RegisterStreamConsumer(context.Background(), &api.RegisterStreamConsumerInput{StreamARN: &arn, ConsumerName: &name})
	if err != nil {
		f.t.Fatalf("register %s: %v", name, err)
	}
	return *out.Consumer.ConsumerARN
}

// A tap is a subscription through the SDK.
type tap struct {
	t      *testing.T
	events *api.SubscribeToShardEventStream
}

func (f *fixture) trySubscribe(consumer, shard string, at types.StartingPosition) (*tap, error) {
	// Of smithy-go v1.28.8 two subscriptions of one client share a buffer and race.
	own := f.client.Options()
	own.Protocol = nil
	out, err := api.New(own).SubscribeToShard(context.Background(), &api.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: &shard, StartingPosition: &at})
	if err != nil {
		return nil, err
	}
	tp := &tap{f.t, out.GetStream()}
	f.t.Cleanup(func() { _ = tp.events.Close() })
	return tp, nil
}

func (f *fixture) subscribe(consumer, shard string, kind types.ShardIteratorType, seq string) *tap {
	f.t.Helper()
	at := types.StartingPosition{Type: kind}
	if seq != "" {
		at.SequenceNumber = &seq
	}
	tp, err := f.trySubscribe(consumer, shard, at)
	if err != nil {
		f.t.Fatalf("subscribe: %v", err)
	}
	return tp
}

// next waits for an event; nil when the subscription has ended.
func (tp *tap) next() *types.SubscribeToShardEvent {
	e, ok := <-tp.events.Events()
	if !ok {
		return nil
	}
	return &e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
}

// until waits for an event with records and returns their data.
func (tp *tap) until() (string, *types.SubscribeToShardEvent) {
	tp.t.Helper()
	for e := tp.next(); e != nil; e = tp.next() {
		if len(e.Records) > 0 {
			return payloads(e.Records), e
		}
	}
	tp.t.Fatalf("the subscription ended: %v", tp.events.Err())
	return "", nil
}

func TestRecordsArriveWhenTheyArePut(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	f.put("s", "k", "before")
	tp := f.subscribe(f.consumer("s", "c"), shard0, types.ShardIteratorTypeTrimHorizon, "")
	for _, want := range []string{"before", "one", "two"} {
		if want != "before" {
			f.put("s", "k", want)
		}
		got, e := tp.until()
		if got != want || *e.MillisBehindLatest != 0 || *e.ContinuationSequenceNumber != *e.Records[0].SequenceNumber {
			t.Errorf("%q came as %q, %+v", want, got, e)
		}
	}
}

// An event's continuation leads on, with AFTER and, if no record has it, with AT too.
func TestContinuationLeadsOnWithAndWithoutRecords(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	consumer := f.consumer("s", "c")
	fresh := *f.subscribe(consumer, shard0, types.ShardIteratorTypeTrimHorizon, "").next().ContinuationSequenceNumber
	f.put("s", "k", "a")
	f.advance(6 * time.Second)
	idle := *f.subscribe(consumer, shard0, types.ShardIteratorTypeLatest, "").next().ContinuationSequenceNumber
	f.put("s", "k", "b")
	f.order("/admin/clock", `{"advance":"-5s"}`) // a record that seems older than the number
	f.put("s", "k", "c")
	for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
		if got := f.data("s", shard0, kind, fresh); got != "a b c" {
			t.Errorf("%s the continuation of a fresh shard read %q", kind, got)
		}
		if got := f.data("s", shard0, kind, idle); got != "b c" {
			t.Errorf("%s the continuation of an idle shard read %q", kind, got)
		}
	}
}

func TestASecondSubscriptionIsRefusedForFiveSecondsAndThenTakesOver(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 2)
	consumer := f.consumer("s", "c")
	latest := types.StartingPosition{Type: types.ShardIteratorTypeLatest}
	first := f.subscribe(consumer, shard0, types.ShardIteratorTypeLatest, "")
	f.subscribe(consumer, "shardId-000000000001", types.ShardIteratorTypeLatest, "") // another shard
	f.subscribe(f.consumer("s", "d"), shard0, types.ShardIteratorTypeLatest, "")     // another consumer
	f.advance(5*time.Second - time.Millisecond)
	_, err := f.trySubscribe(consumer, shard0, latest)
	wantCode(t, err, "ResourceInUseException")
	f.advance(time.Millisecond)
	second := f.subscribe(consumer, shard0, types.ShardIteratorTypeLatest, "")
	for first.next() != nil { // its own events, then the end
	}
	wantCode(t, first.events.Err(), "ResourceInUseException")
	if second.next() == nil {
		t.Errorf("the new subscription ended: %v", second.events.Err())
	}
}

func TestAClientThatLeavesFreesItsSubscription(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	consumer := f.consumer("s", "c")
	first := f.subscribe(consumer, shard0, types.ShardIteratorTypeLatest, "")
	first.next()
	if err := first.events.Close(); err != nil {
		t.Fatal(err)
	}
	for { // the server hears of it a moment later; the test's clock stands still
		_, err := f.trySubscribe(consumer, shard0, types.StartingPosition{Type: types.ShardIteratorTypeLatest})
		if err == nil {
			return
		}
		wantCode(t, err, "ResourceInUseException")
		if t.Failed() || t.Context().Err() != nil {
			return
		}
	}
}

func TestASubscriptionEndsWithItsShardConsumerOrStream(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	f.create("t", 1)
	consumer := f.consumer("s", "c")
	reader := f.subscribe(consumer, shard0, types.ShardIteratorTypeTrimHorizon, "")
	f.put("s", "k", "last")
	split(f, "s", shard0, "1000")
	got := ""
	for e := reader.next(); ; e = reader.next() {
		if e == nil {
			t.Fatalf("no children before the end: %v", reader.events.Err())
		}
		got += payloads(e.Records)
		if len(e.ChildShards) == 0 {
			if e.ContinuationSequenceNumber == nil {
				t.Error("an event without continuation is not the last")
			}
			continue
		}
		if e.ContinuationSequenceNumber != nil || len(e.ChildShards) != 2 || e.ChildShards[0].ParentShards[0] != shard0 {
			t.Errorf("the last event is %+v", e)
		}
		break
	}
	if reader.next() != nil || reader.events.Err() != nil || got != "last" {
		t.Errorf("after the end: %v; read %q", reader.events.Err(), got)
	}
	// A shard that ended long ago ends again.
	if e := f.subscribe(consumer, shard0, types.ShardIteratorTypeLatest, "").next(); e == nil || len(e.ChildShards) != 2 {
		t.Errorf("an ended shard: %+v", e)
	}
	for name, end := range map[string]func() error{
		"c": func() error {
			_, err := f.client.DeregisterStreamConsumer(t.Context(), &api.DeregisterStreamConsumerInput{ConsumerARN: &consumer})
			return err
		},
		"d": func() error {
			_, err := f.client.DeleteStream(t.Context(), &api.DeleteStreamInput{StreamName: aws.String("t"), EnforceConsumerDeletion: aws.Bool(true)})
			return err
		},
	} {
		arn, shard := consumer, "shardId-000000000001"
		if name == "d" {
			arn, shard = f.consumer("t", "d"), shard0
		}
		tp := f.subscribe(arn, shard, types.ShardIteratorTypeLatest, "")
		tp.next()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		for tp.next() != nil {
		}
		wantCode(t, tp.events.Err(), "ResourceNotFoundException")
	}
}

func TestSubscriptionsCanBeHungUpByOrder(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 2)
	consumer := f.consumer("s", "c")
	a := f.subscribe(consumer, shard0, types.ShardIteratorTypeLatest, "")
	// The SDK takes a dropped connection for the end, so this one reads for itself.
	r, err := http.NewRequest(http.MethodPost, f.url, strings.NewReader(`{"ConsumerARN":"`+consumer+`","ShardId":"1","StartingPosition":{"Type":"LATEST"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentJSON)
	r.Header.Set("X-Amz-Target", target+"SubscribeToShard")
	b, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Body.Close()
	if got := f.order("/admin/hang-up", `{"stream":"s","shard":"0","error":"InternalFailureException","message":"by order"}`); !strings.Contains(got, `"subscriptions": 1`) {
		t.Errorf("order: %s", got)
	}
	for a.next() != nil {
	}
	wantCode(t, a.events.Err(), "InternalFailureException")
	f.order("/admin/hang-up", `{"stream":"s","consumer":"c"}`)
	if _, err := io.Copy(io.Discard, b.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a dropped connection looks like %v", err)
	}
}

func TestSubscribingIsRefusedWithTheServicesWords(t *testing.T) {
	f := newFixture(t, Config{CreateDelay: time.Second})
	f.create("s", 1)
	f.advance(time.Second)
	arn := f.consumer("s", "c")
	from := func(consumer, shard, position string) string {
		return fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":%q,"StartingPosition":%s}`, consumer, shard, position)
	}
	f.refused("SubscribeToShard", from(arn, shard0, `{"Type":"LATEST"}`), "ResourceInUseException",
		fmt.Sprintf("Consumer c with creation timestamp %d under stream s and account 000000000000 is not in ACTIVE status.", f.clock.Load()/1000))
	f.advance(time.Second)
	f.refused("SubscribeToShard", from(arn[:len(arn)-1], shard0, `{"Type":"LATEST"}`), "ResourceNotFoundException", "Consumer "+arn[:len(arn)-1]+", account 000000000000 not found.")
	f.refused("SubscribeToShard", from(arn, "shardId-000000000009", `{"Type":"LATEST"}`), "ResourceNotFoundException", "Shard shardId-000000000009 in stream s under account 000000000000 does not exist")
	f.refused("SubscribeToShard", from(arn, shard0, `{"Type":"AT_TIMESTAMP"}`), "InvalidArgumentException", "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
	f.refused("SubscribeToShard", from(arn, shard0, `{"Type":"X"}`), "ValidationException", "1 validation error detected: Value 'X' at 'startingPosition.type' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]")
	f.refused("SubscribeToShard", `{}`, "ValidationException", "3 validation errors detected: Value null at 'consumerARN' failed to satisfy constraint: Member must not be null; Value null at 'shardId' failed to satisfy constraint: Member must not be null; Value null at 'startingPosition' failed to satisfy constraint: Member must not be null")
	f.refused("SubscribeToShard", strings.TrimSuffix(from(arn, shard0, `{"Type":"LATEST"}`), "}")+`,"DryRun":true}`, "DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
}

// A wire collects what a handler writes, without a network, so that a
// subscription runs in virtual time.
type wire struct {
	mu     sync.Mutex
	header http.Header
	status int
	b      bytes.Buffer
	at     []time.Time // of each flush
}

func (w *wire) Header() http.Header    { return w.header }
func (w *wire) WriteHeader(status int) { w.status = status }
func (w *wire) Flush()                 { w.mu.Lock(); w.at = append(w.at, time.Now()); w.mu.Unlock() }

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

// messages reads them with the SDK's own decoder, which checks every CRC.
func (w *wire) messages(t *testing.T) (list []eventstream.Message) {
	t.Helper()
	for r := bytes.NewReader(w.b.Bytes()); r.Len() > 0; {
		m, err := eventstream.NewDecoder().Decode(r, nil)
		if err != nil {
			t.Fatalf("message %d: %v", len(list), err)
		}
		list = append(list, m)
	}
	return list
}

func post(s http.Handler, w http.ResponseWriter, c codec, op, body string) {
	r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", c.contentType())
	r.Header.Set("X-Amz-Target", target+op)
	s.ServeHTTP(w, r)
}

func TestASubscriptionBeatsEveryFiveSecondsForFiveMinutes(t *testing.T) {
	for _, c := range []codec{jsonCodec{}, cborCodec{}} {
		synctest.Test(t, func(t *testing.T) {
			s, err := New(Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.EnsureStream("s", 1); err != nil {
				t.Fatal(err)
			}
			made := &wire{header: http.Header{}}
			post(s, made, jsonCodec{}, "RegisterStreamConsumer", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":"c"}`)
			var out api.RegisterStreamConsumerOutput
			if err := json.Unmarshal([]byte(strings.Replace(made.b.String(), `"ConsumerCreationTimestamp":`, `"X":`, 1)), &out); err != nil {
				t.Fatal(err)
			}
			w, start := &wire{header: http.Header{}}, time.Now()
			in := map[string]any{"ConsumerARN": *out.Consumer.ConsumerARN, "ShardId": shard0, "StartingPosition": map[string]any{"Type": "LATEST"}}
			post(s, w, c, "SubscribeToShard", string(c.append(nil, in)))
			list := w.messages(t)
			if len(list) != 1+60 || w.status != 200 || w.header.Get("Content-Type") != contentEvents {
				t.Fatalf("%d messages, status %d, %s", len(list), w.status, w.header.Get("Content-Type"))
			}
			for i, m := range list {
				kind, payload := "SubscribeToShardEvent", "ContinuationSequenceNumber"
				if i == 0 {
					kind, payload = "initial-response", ""
				}
				if m.Headers.Get(":event-type").String() != kind || m.Headers.Get(":message-type").String() != "event" ||
					m.Headers.Get(":content-type").String() != c.contentType() || !bytes.Contains(m.Payload, []byte(payload)) {
					t.Errorf("message %d is %v %q", i, m.Headers, m.Payload)
				}
				if want := time.Duration(max(0, i-1)) * heartbeat; w.at[i].Sub(start) != want {
					t.Errorf("message %d came after %v, want %v", i, w.at[i].Sub(start), want)
				}
			}
			if took := time.Since(start); took != 5*time.Minute {
				t.Errorf("it lasted %v", took)
			}
			if string(list[0].Payload) != string(c.append(nil, nil)) {
				t.Errorf("the initial response is %q", list[0].Payload)
			}
		})
	}
}

// Nothing polls: what happens to the shard is sent in the same instant.
func TestAChangeWakesTheSubscriptionAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.EnsureStream("s", 1); err != nil {
			t.Fatal(err)
		}
		k, err := s.addConsumer(s.streams["s"], "c", nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w, start, done := &wire{header: http.Header{}}, time.Now(), make(chan struct{})
		go func() {
			defer close(done)
			post(s, w, jsonCodec{}, "SubscribeToShard", `{"ConsumerARN":"`+k.ConsumerARN+`","ShardId":"0","StartingPosition":{"Type":"LATEST"}}`)
		}()
		time.Sleep(time.Second)
		post(s, &wire{header: http.Header{}}, jsonCodec{}, "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":""}`)
		time.Sleep(time.Second)
		post(s, &wire{header: http.Header{}}, jsonCodec{}, "SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"7"}`)
		<-done
		want := []time.Duration{0, 0, time.Second, 2 * time.Second} // the initial response, the first event, the record, the children
		if len(w.at) != len(want) {
			t.Fatalf("%d messages", len(w.at))
		}
		for i, at := range w.at {
			if at.Sub(start) != want[i] {
				t.Errorf("message %d came after %v, want %v", i, at.Sub(start), want[i])
			}
		}
	})
}

// With the quotas enforced a subscription gets 2 MiB a second, whatever the
// shard holds.
func TestAThrottledSubscriptionIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Throttle: true, SubscriptionLife: 4 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.EnsureStream("s", 1); err != nil {
			t.Fatal(err)
		}
		st := s.streams["s"]
		half := make([]byte, 1<<19)
		for range 16 { // 8 MiB, past the quota of puts
			if err := st.shards[0].log.append(time.Now().UnixMilli(), []*put{{key: []byte("k"), data: half}}); err != nil {
				t.Fatal(err)
			}
		}
		k, err := s.addConsumer(st, "c", nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w, start := &wire{header: http.Header{}}, time.Now()
		post(s, w, cborCodec{}, "SubscribeToShard", string(cborOf(map[string]any{"ConsumerARN": k.ConsumerARN, "ShardId": shard0, "StartingPosition": map[string]any{"Type": "TRIM_HORIZON"}})))
		for i, at := range w.at[1:] { // one record of 512 KiB and its key an event: two would pass 1 MiB
			if want := time.Duration(i) * time.Second / 4; at.Sub(start).Round(time.Millisecond) != want && i < 16 {
				t.Errorf("event %d came after %v, want %v", i, at.Sub(start), want)
			}
		}
	})
}
