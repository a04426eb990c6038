package dynamodb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/checkpointtest"
)

// A wire answers requests as a script says, one step each, and keeps what came.
type wire struct {
	t     *testing.T
	store *Store

	mu     sync.Mutex
	script []step
	calls  []call
}

// A step answers a request; the row that the request would make is in it.
type step func(w http.ResponseWriter, c call)

type call struct {
	op   string
	body map[string]any
	text string
}

func newWire(t *testing.T, script ...step) *wire {
	x := &wire{t: t, script: script}
	server := httptest.NewServer(x)
	x.store = &Store{NewTable(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	}, "leases")}
	t.Cleanup(func() {
		_ = x.store.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return x
}

func (x *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c := call{op: op, text: string(body)}
	if err := json.Unmarshal(body, &c.body); err != nil {
		x.t.Errorf("%s: %v", op, err)
	}
	x.mu.Lock()
	n := len(x.calls)
	x.calls = append(x.calls, c)
	x.mu.Unlock()
	if n >= len(x.script) {
		x.t.Errorf("call %d, %s: one too many", n+1, op)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	x.script[n](w, c)
}

// ops are the operations that were called, in order.
func (x *wire) ops() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var ops []string
	for _, c := range x.calls {
		ops = append(ops, c.op)
	}
	return strings.Join(ops, " ")
}

// writeID is the id a request carries.
func (c call) writeID() string {
	values, _ := c.body["ExpressionAttributeValues"].(map[string]any)
	set, _ := c.body["UpdateExpression"].(string)
	_, after, _ := strings.Cut(set, "#standpipeWrite = ")
	placeholder := strings.FieldsFunc(after, func(r rune) bool { return r == ',' || r == ' ' })[0]
	return values[placeholder].(map[string]any)["S"].(string)
}

func fault(status int, code string) step {
	return func(w http.ResponseWriter, _ call) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"says the script"}`, code)
	}
}

// reset drops the connection before the answer.
func reset(w http.ResponseWriter, _ call) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// silent answers nothing until the client goes away.
func silent(w http.ResponseWriter, _ call) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_, _ = buf.ReadByte()
		_ = conn.Close()
	}
}

const row = `{"leaseKey":{"S":"shardId-000000000001"},"leaseOwner":{"S":"me"},"leaseCounter":{"N":"8"},"ownerSwitchesSinceCheckpoint":{"N":"0"},` +
	`"checkpoint":{"S":"10"},"checkpointSubSequenceNumber":{"N":"0"},"standpipeEpoch":{"N":"3"},"standpipeWrite":{"S":"%s"}}`

func updated(w http.ResponseWriter, c call) { fmt.Fprintf(w, `{"Attributes":`+row+`}`, c.writeID()) }

// refusedWith is a failed condition that shows the row with that write's id;
// "mine" stands for the request's own.
func refusedWith(id string) step {
	return func(w http.ResponseWriter, c call) {
		if id == "mine" {
			id = c.writeID()
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed","Item":`+row+`}`, id)
	}
}

var refusedBare = fault(http.StatusBadRequest, "ConditionalCheckFailedException")

var mine = checkpoint.Lease{Shard: "shardId-000000000001", Owner: "me", Epoch: 3, Counter: 7, Checkpoint: standpipe.Position{Sequence: "10"}}

func outcome(err error) string {
	_, fenced := errors.AsType[*checkpoint.FencedError](err)
	switch {
	case err == nil:
		return "applied"
	case fenced:
		return "refused"
	case strings.Contains(err.Error(), "applied or not is unknown") && standpipe.ClassOf(err) == standpipe.Retryable:
		return "unknown"
	}
	return string(standpipe.ClassOf(err))
}

// What the answers to the attempts of one write say together.
func TestTheOutcomeOfAWriteIsNeverGuessed(t *testing.T) {
	throttled, broken := fault(400, "ProvisionedThroughputExceededException"), fault(500, "InternalServerError")
	short := func(w http.ResponseWriter, _ call) { _, _ = io.WriteString(w, `{"Attributes":{"leaseKey"`) }
	found := func(w http.ResponseWriter, _ call) { fmt.Fprintf(w, `{"Item":`+row+`}`, "theirs") }
	for name, c := range map[string]struct {
		script []step
		want   string
		ops    string
	}{
		"at once":                                    {[]step{updated}, "applied", "UpdateItem"},
		"throttled, then done":                       {[]step{throttled, fault(400, "ThrottlingException"), fault(400, "RequestLimitExceeded"), updated}, "applied", "UpdateItem UpdateItem UpdateItem UpdateItem"},
		"refused":                                    {[]step{refusedWith("theirs")}, "refused", "UpdateItem"},
		"refused without the row":                    {[]step{refusedBare, found}, "refused", "UpdateItem GetItem"},
		"throttled, then refused":                    {[]step{throttled, refusedWith("theirs")}, "refused", "UpdateItem UpdateItem"},
		"answer lost, repeat refused by itself":      {[]step{reset, refusedWith("mine")}, "applied", "UpdateItem UpdateItem"},
		"5xx, repeat refused by itself":              {[]step{broken, refusedWith("mine")}, "applied", "UpdateItem UpdateItem"},
		"repeated on the way":                        {[]step{refusedWith("mine")}, "applied", "UpdateItem"},
		"answer cut short, repeat refused by itself": {[]step{short, refusedWith("mine")}, "applied", "UpdateItem UpdateItem"},
		"answer cut short, then another's write":     {[]step{short, refusedWith("theirs")}, "unknown", "UpdateItem UpdateItem"},
		"5xx and not applied":                        {[]step{broken, updated}, "applied", "UpdateItem UpdateItem"},
		"answer lost, then another's write":          {[]step{reset, refusedWith("theirs")}, "unknown", "UpdateItem UpdateItem"},
		"5xx, then another's write":                  {[]step{broken, throttled, refusedWith("theirs")}, "unknown", "UpdateItem UpdateItem UpdateItem"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newWire(t, c.script...)
			l, err := x.store.Update(t.Context(), checkpoint.Prepare(mine, checkpoint.Pending{Position: standpipe.Position{Sequence: "11"}, State: []byte("i")}))
			if got := outcome(err); got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
			if x.ops() != c.ops {
				t.Errorf("calls %s, want %s", x.ops(), c.ops)
			}
			if c.want == "applied" && l.Counter != 8 {
				t.Errorf("returned %+v", l)
			}
			for _, again := range x.calls[1:] {
				if diff := cmp.Diff(x.calls[0].body, again.body); again.op == "UpdateItem" && diff != "" {
					t.Errorf("the repeat is another request than the first, it could be applied twice:\n%s", diff)
				}
			}
		})
	}
}

// A connection that says nothing costs one attempt, not the lease.
func TestASilentServerEndsTheAttemptAndNotTheWrite(t *testing.T) {
	x := newWire(t, silent, refusedWith("mine"))
	x.store.table.Attempt = 50 * time.Millisecond
	if _, err := x.store.Update(t.Context(), checkpoint.Release(mine, "")); err != nil {
		t.Error(err)
	}
}

func TestWhatOnlyAPersonCanMendIsSaidOnceAndAtOnce(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		class  standpipe.Class
		hint   string
	}{
		"ResourceNotFoundException":   {400, standpipe.NotFound, "--create-table"},
		"AccessDeniedException":       {400, standpipe.Denied, "deploy/iam"},
		"UnrecognizedClientException": {400, standpipe.Denied, "credentials"},
		"ValidationException":         {400, standpipe.Fatal, "says the script"},
	} {
		x := newWire(t, fault(c.status, code))
		_, err := x.store.Get(t.Context(), "shardId-000000000001")
		if standpipe.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.hint) || !strings.Contains(err.Error(), "table leases") || strings.Contains(err.Error(), "operation error") {
			t.Errorf("%s: class %s, %v", code, standpipe.ClassOf(err), err)
		}
	}
}

func TestATableThatCannotBeUsedSaysWhy(t *testing.T) {
	describe := func(status, key string) step {
		return func(w http.ResponseWriter, _ call) {
			fmt.Fprintf(w, `{"Table":{"TableName":"leases","TableStatus":%q,"KeySchema":[{"AttributeName":%q,"KeyType":"HASH"}]}}`, status, key)
		}
	}
	for name, c := range map[string]struct {
		step step
		want string
	}{
		"active":   {describe("ACTIVE", "leaseKey"), ""},
		"updating": {describe("UPDATING", "leaseKey"), ""},
		"creating": {describe("CREATING", "leaseKey"), "being created"},
		"deleting": {describe("DELETING", "leaseKey"), "being deleted"},
		"archived": {describe("ARCHIVED", "leaseKey"), "it is ARCHIVED"},
		"foreign":  {describe("ACTIVE", "id"), "another program's table"},
	} {
		err := newWire(t, c.step).store.Ready(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Cost: one write per step of the protocol, one page per megabyte of roster.
func TestEachCallOfTheStoreIsOneRequest(t *testing.T) {
	empty := func(w http.ResponseWriter, _ call) { _, _ = io.WriteString(w, `{}`) }
	hundred := func(w http.ResponseWriter, _ call) {
		var rows []string
		for range 100 {
			rows = append(rows, fmt.Sprintf(row, "w"))
		}
		fmt.Fprintf(w, `{"Items":[%s]}`, strings.Join(rows, ","))
	}
	pending := mine
	pending.Pending = &checkpoint.Pending{Position: standpipe.Position{Sequence: "11"}, State: []byte("i")}
	worker := func(w http.ResponseWriter, c call) {
		fmt.Fprintf(w, `{"Attributes":{"standpipeWorker":{"S":"me"},"leaseCounter":{"N":"1"},"standpipeWrite":{"S":%q}}}`, c.writeID())
	}
	for name, c := range map[string]struct {
		step step
		do   func(s *Store) error
		op   string
	}{
		"create": {empty, func(s *Store) error { return s.Create(t.Context(), checkpointtest.Fresh("shardId-1")) }, "PutItem"},
		"take":   {updated, func(s *Store) error { _, err := s.Update(t.Context(), checkpoint.Take(mine, "me")); return err }, "UpdateItem"},
		"commit": {updated, func(s *Store) error {
			_, err := s.Update(t.Context(), checkpoint.Commit(pending, time.Now(), nil))
			return err
		}, "UpdateItem"},
		"heartbeat": {worker, func(s *Store) error { _, err := s.Beat(t.Context(), checkpoint.Worker{ID: "me"}); return err }, "UpdateItem"},
		"delete":    {empty, func(s *Store) error { return s.Delete(t.Context(), mine) }, "DeleteItem"},
		"roster":    {hundred, func(s *Store) error { _, err := s.Roster(t.Context()); return err }, "Scan"},
	} {
		x := newWire(t, c.step)
		if err := c.do(x.store); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if x.ops() != c.op {
			t.Errorf("%s: calls %s, want one %s", name, x.ops(), c.op)
		}
		if c.op == "Scan" && x.calls[0].body["ConsistentRead"] != true {
			t.Error("the roster is read without ConsistentRead")
		}
	}
}

// All pages, and a throttled one again.
func TestARosterIsEveryPage(t *testing.T) {
	page := func(key, next string) step {
		return func(w http.ResponseWriter, c call) {
			last := ""
			if next != "" {
				last = fmt.Sprintf(`,"LastEvaluatedKey":{"leaseKey":{"S":%q}}`, next)
			}
			fmt.Fprintf(w, `{"Items":[%s]%s}`, strings.Replace(fmt.Sprintf(row, "w"), "shardId-000000000001", key, 1), last)
		}
	}
	x := newWire(t, page("b", "b"), fault(400, "ProvisionedThroughputExceededException"), page("a", "a"), page("c", ""))
	r, err := x.store.Roster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range r.Leases {
		got = append(got, string(l.Shard))
	}
	if strings.Join(got, "") != "abc" || !strings.Contains(x.calls[3].text, `"ExclusiveStartKey":{"leaseKey":{"S":"a"}}`) {
		t.Errorf("leases %v, last request %s", got, x.calls[3].text)
	}
}

// The largest intent a lease carries stays far below DynamoDB's 400 KB an item.
func TestTheLargestRowIsFarBelowTheItemLimit(t *testing.T) {
	const inline = 4000 // delivery's limit for an intent in the row
	x := newWire(t, updated)
	_, err := x.store.Update(t.Context(), checkpoint.Prepare(mine, checkpoint.Pending{
		Position: standpipe.Position{Sequence: strings.Repeat("9", 129)}, State: make([]byte, inline),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(x.calls[0].text); n > 8<<10 {
		t.Errorf("the request has %d bytes", n)
	}
}
