package directput

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/build"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// post sends a raw request to the door and returns the answer.
func (r *rig) post(operation, contentType, body string) (int, string) {
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("X-Amz-Target", operation)
	req.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	r.door.ServeHTTP(w, req)
	if w.Header().Get("x-amzn-RequestId") == "" || w.Header().Get("Content-Type") != contentJSON {
		r.t.Errorf("headers %v", w.Header())
	}
	return w.Code, w.Body.String()
}

func TestAWebPageFromElsewhereCannotPut(t *testing.T) {
	r := newRig(t, 1)
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req.Header.Set("X-Amz-Target", "Firehose_20150804.PutRecord")
	req.Header.Set("Content-Type", contentJSON)
	for origin, want := range map[string]int{"http://rebound.example.com:4573": http.StatusForbidden, "http://localhost:3000": http.StatusOK} {
		req := req.Clone(t.Context())
		req.Body = io.NopCloser(strings.NewReader(`{"DeliveryStreamName":"clicks","Record":{"Data":"eA=="}}`))
		req.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		r.door.ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", origin, w.Code, w.Body, want)
		}
	}
}

// The words are AWS's, as producers have reported them.
func TestWhatIsWrongIsToldInFirehosesWords(t *testing.T) {
	r := newRig(t, 1)
	long := strings.Repeat("n", 65)
	blob := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), n)) }
	many := func(n int, data string) string {
		return `{"DeliveryStreamName":"clicks","Records":[` + strings.TrimSuffix(strings.Repeat(`{"Data":"`+data+`"},`, n), ",") + `]}`
	}
	for _, c := range []struct {
		op, body string
		status   int
		answer   string
	}{
		{"PutRecord", `{}`, 400, `{"__type":"ValidationException","message":"2 validation errors detected: Value null at 'deliveryStreamName' failed to satisfy constraint: Member must not be null; Value null at 'record' failed to satisfy constraint: Member must not be null"}`},
		{"PutRecord", `{"DeliveryStreamName":"clicks","Record":{}}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value null at 'record.data' failed to satisfy constraint: Member must not be null"}`},
		{"PutRecord", `{"DeliveryStreamName":"` + long + `","Record":{"Data":""}}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value '` + long + `' at 'deliveryStreamName' failed to satisfy constraint: Member must have length less than or equal to 64"}`},
		{"PutRecord", `{"DeliveryStreamName":"a b","Record":{"Data":""}}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value 'a b' at 'deliveryStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"}`},
		{"PutRecord", `{"DeliveryStreamName":"other","Record":{"Data":"eA=="}}`, 400, `{"__type":"ResourceNotFoundException","message":"Firehose other under account 000000000000 not found."}`},
		{"PutRecord", `{"DeliveryStreamName":"clicks","Record":{"Data":"` + blob(recordMax+1) + `"}}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1024001 cap=1024001]' at 'record.data' failed to satisfy constraint: Member must have length less than or equal to 1024000"}`},
		{"PutRecordBatch", `{"DeliveryStreamName":"clicks"}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value null at 'records' failed to satisfy constraint: Member must not be null"}`},
		{"PutRecordBatch", `{"DeliveryStreamName":"clicks","Records":[]}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1"}`},
		{"PutRecordBatch", many(501, "eA=="), 400, `{"__type":"ValidationException","message":"1 validation error detected: Value '[501 records]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"}`},
		{"PutRecordBatch", `{"DeliveryStreamName":"clicks","Records":[{"Data":"eA=="},{},null]}`, 400, `{"__type":"ValidationException","message":"2 validation errors detected: Value null at 'records.2.member.data' failed to satisfy constraint: Member must not be null; Value null at 'records.3.member' failed to satisfy constraint: Member must not be null"}`},
		{"PutRecordBatch", many(5, blob(batchMax/5+1)), 400, `{"__type":"InvalidArgumentException","message":"Records size exceeds 4 MB limit"}`},
		{"DescribeDeliveryStream", `{"DeliveryStreamName":"clicks","Limit":0}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"}`},
		{"ListDeliveryStreams", `{"Limit":10001,"DeliveryStreamType":"x"}`, 400, `{"__type":"ValidationException","message":"2 validation errors detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000; Value 'x' at 'deliveryStreamType' failed to satisfy constraint: Member must satisfy enum value set: [DirectPut, KinesisStreamAsSource, MSKAsSource, DatabaseAsSource]"}`},
		{"PutRecord", ``, 400, `{"__type":"SerializationException","message":"The request is not what the operation takes: unexpected end of JSON input"}`},
		{"PutRecord", `{"DeliveryStreamName":"clicks","Record":{"Data":"not base64"}}`, 400, `{"__type":"SerializationException","message":"The request is not what the operation takes: illegal base64 data at input byte 3"}`},
		{"PutRecord", strings.Repeat(" ", bodyMax+1), 413, `{"__type":"RequestEntityTooLargeException","message":"The body is greater than 8388608 bytes"}`},
		{"CreateDeliveryStream", `{}`, 400, `{"__type":"UnknownOperationException","message":"This endpoint has PutRecord, PutRecordBatch, DescribeDeliveryStream and ListDeliveryStreams; its delivery streams come from configuration files."}`},
	} {
		if status, answer := r.post(target+c.op, contentJSON, c.body); status != c.status || answer != c.answer {
			t.Errorf("%s %.80s\n got %d %.600s\nwant %d %s", c.op, c.body, status, answer, c.status, c.answer)
		}
	}
	if n := len(r.stored()); n != 0 {
		t.Errorf("%d records stored", n)
	}
}

// What fits exactly passes.
// What is wrong is told ten times at most, and not made two million times first:
// a body of empty records would take fifty times its bytes.
func TestAMillionWrongRecordsCostNoMoreThanTen(t *testing.T) {
	var v violations
	v.records(make([]*record, 1_000_000))
	if len(v) > 10 {
		t.Errorf("%d violations", len(v))
	}
	if err := v.err(); err == nil || !strings.HasPrefix(err.message, "10 validation errors detected: Value '[1000000 records]' at 'records' failed") {
		t.Errorf("%v", err)
	}
}

func TestTheLimitsAreInclusive(t *testing.T) {
	r := newRig(t, 1)
	var body strings.Builder
	body.WriteString(`{"DeliveryStreamName":"clicks","Records":[`)
	for range 4 {
		fmt.Fprintf(&body, `{"Data":%q},`, base64.StdEncoding.EncodeToString(make([]byte, recordMax)))
	}
	for range 495 {
		body.WriteString(`{"Data":""},`)
	}
	fmt.Fprintf(&body, `{"Data":%q}]}`, base64.StdEncoding.EncodeToString(make([]byte, batchMax-4*recordMax)))
	if status, answer := r.post(target+"PutRecordBatch", contentJSON, body.String()); status != 200 || !strings.HasPrefix(answer, `{"Encrypted":false,"FailedPutCount":0,`) {
		t.Errorf("%d %.300s", status, answer)
	}
}

// A page in a browser can send text/plain or a form to any address without being
// asked for permission, and it can't set X-Amz-Target.
func TestWhatABrowserCanSendUnaskedIsRefused(t *testing.T) {
	r := newRig(t, 1)
	good := `{"DeliveryStreamName":"clicks","Record":{"Data":"eA=="}}`
	for contentType, op := range map[string]string{
		"text/plain": target + "PutRecord", "application/x-www-form-urlencoded": target + "PutRecord",
		"": target + "PutRecord", contentJSON: "PutRecord", contentJSON + "; charset=utf-8": "Kinesis_20131202.PutRecord",
	} {
		if status, answer := r.post(op, contentType, good); status == 200 || !strings.Contains(answer, "UnknownOperationException") {
			t.Errorf("%q %q: %d %s", contentType, op, status, answer)
		}
	}
	w := httptest.NewRecorder()
	r.door.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != 403 {
		t.Errorf("GET: %d", w.Code)
	}
	if status, _ := r.post(target+"PutRecord", contentJSON+"; charset=utf-8", good); status != 200 {
		t.Errorf("a parameter of the content type is ignored: %d", status)
	}
}

// snapshot reads one of the files with which the SDK tests itself: what it sends,
// and what it can read, member for member.
func snapshot(t *testing.T, name string) (head, body string) {
	t.Helper()
	pkg, err := build.Import("github.com/aws/aws-sdk-go-v2/service/firehose", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(pkg.Dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.LastIndex(b, []byte("\n\n"))
	return string(b[:i]), string(b[i+2:])
}

func TestTheSDKsOwnRequestsAreUnderstoodAndOurAnswersAreOfItsShape(t *testing.T) {
	r := newRig(t, 1)
	for op := range operations {
		head, body := snapshot(t, "request_snapshot/"+op+".request.snap")
		if !strings.Contains(head, "X-Amz-Target: "+target+op) || !strings.Contains(head, "Content-Type: "+contentJSON) {
			t.Errorf("the SDK sends other headers:\n%s", head)
		}
		body = strings.ReplaceAll(body, "__DeliveryStreamName__", "clicks")
		body = strings.ReplaceAll(body, "__ExclusiveStartDeliveryStreamName__", "A")
		status, answer := r.post(target+op, contentJSON, body)
		if status != 200 {
			t.Errorf("%s: %d %s", op, status, answer)
			continue
		}
		_, known := snapshot(t, "response_snapshot/"+op+".response.snap")
		var ours, theirs any
		if err := json.Unmarshal([]byte(answer), &ours); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(known), &theirs); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range strange(op, ours, theirs) {
			t.Error(wrong)
		}
	}
	for name, want := range map[string]*apiError{
		"ServiceUnavailableException": slowDown(),
		"ResourceNotFoundException":   {status: 400, code: "ResourceNotFoundException"},
		"InvalidArgumentException":    {status: 400, code: "InvalidArgumentException"},
	} {
		head, body := snapshot(t, "response_snapshot/"+name+".error.snap")
		var doc map[string]string
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(head, fmt.Sprint(want.status)+"\n") || doc["__type"] != want.code || doc["message"] == "" {
			t.Errorf("%s: the SDK reads %s %s, we write %d %s", name, head, body, want.status, want.body())
		}
	}
}

// strange names the members of ours that theirs has not, or has of another kind.
func strange(at string, ours, theirs any) (wrong []string) {
	switch o := ours.(type) {
	case map[string]any:
		th, ok := theirs.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is a structure", at)}
		}
		for k, v := range o {
			if th[k] == nil {
				wrong = append(wrong, fmt.Sprintf("%s.%s does not exist", at, k))
				continue
			}
			wrong = append(wrong, strange(at+"."+k, v, th[k])...)
		}
	case []any:
		th, ok := theirs.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s is a list", at)}
		}
		for _, v := range o {
			wrong = append(wrong, strange(at+"[]", v, th[0])...)
		}
	default:
		if got, want := fmt.Sprintf("%T", ours), fmt.Sprintf("%T", theirs); got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %s, should be %s", at, got, want))
		}
	}
	return wrong
}

func TestMetricsAndLogAddUp(t *testing.T) {
	r := newRig(t, 1)
	r.door.putter.patience = 0
	ctx := context.Background()
	r.order(`{"operation":"PutRecords","records":[1]}`)
	_, _ = r.producer.PutRecordBatch(ctx, batchOf("aa", "bb", "cc"))
	r.order(`{"operation":"PutRecords","drop":"after"}`)
	_, _ = r.producer.PutRecordBatch(ctx, batchOf("dd", "ee"))
	_, _ = r.producer.PutRecordBatch(ctx, batchOf("f"))
	_, _ = r.post(target+"PutRecord", contentJSON, `{}`)
	_, _ = r.post("nonsense", contentJSON, `secret`)
	want := map[string]float64{
		`standpipe_directput_records_total{result="stored"}`:                              3,
		`standpipe_directput_records_total{result="throttled"}`:                           1,
		`standpipe_directput_records_total{result="unknown"}`:                             2,
		`standpipe_directput_bytes_total{}`:                                               5,
		`standpipe_directput_requests_total{operation="PutRecordBatch",result="partial"}`: 1,
		`standpipe_directput_requests_total{operation="PutRecordBatch",result="failed"}`:  1,
		`standpipe_directput_requests_total{operation="PutRecordBatch",result="ok"}`:      1,
		`standpipe_directput_requests_total{operation="PutRecord",result="invalid"}`:      1,
		`standpipe_directput_requests_total{operation="unknown",result="invalid"}`:        1,
		`standpipe_directput_request_duration_seconds{operation="PutRecordBatch"}`:        3,
		`standpipe_directput_request_duration_seconds{operation="PutRecord"}`:             1,
		`standpipe_directput_request_duration_seconds{operation="unknown"}`:               1,
	}
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			got := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if got != want[name] {
				t.Errorf("%s is %v, want %v", name, got, want[name])
			}
			delete(want, name)
		}
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
	lines := r.log.All()
	if len(lines) != 5 {
		t.Fatalf("%d lines", len(lines))
	}
	first := lines[0].ContextMap()
	if first["records"] != int64(3) || first["bytes"] != int64(6) || first["failed"] != int64(1) || first["delivery"] != "clicks" || first["status"] != int64(200) {
		t.Errorf("%v", first)
	}
	for _, l := range lines {
		if text := fmt.Sprint(l.ContextMap()); strings.Contains(text, "secret") || strings.Contains(text, "YWE=") {
			t.Errorf("a payload is in the log: %s", text)
		}
	}
}

func FuzzRequests(f *testing.F) {
	f.Add("PutRecord", `{"DeliveryStreamName":"clicks","Record":{"Data":"eA=="}}`)
	f.Add("PutRecordBatch", `{"DeliveryStreamName":"clicks","Records":[{"Data":"eA=="},{},null]}`)
	f.Add("DescribeDeliveryStream", `{"DeliveryStreamName":"clicks","Limit":1}`)
	f.Add("ListDeliveryStreams", `{"ExclusiveStartDeliveryStreamName":"a"}`)
	f.Add("", `null`)
	f.Fuzz(func(t *testing.T, op, body string) {
		r := newRig(t, 1)
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		req.Header.Set("X-Amz-Target", target+op)
		req.Header.Set("Content-Type", contentJSON)
		w := httptest.NewRecorder()
		r.door.ServeHTTP(w, req)
		answer, _ := io.ReadAll(w.Body)
		if !json.Valid(answer) || w.Code >= 500 {
			t.Errorf("%d %s", w.Code, answer)
		}
		if ids := strings.Count(string(answer), `"RecordId"`); ids != len(r.stored()) {
			t.Errorf("%d ids, %d stored", ids, len(r.stored()))
		}
	})
}
