package kinesis

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// The requests are AWS's own goldens inside the SDK module: each must parse,
// whatever is then wrong with its made-up values.
func TestTheSDKsGoldenRequestsParse(t *testing.T) {
	f := newFixture(t, Config{})
	for op := range operations {
		if op == "SubscribeToShard" { // the SDK has none of event streams
			continue
		}
		status, header, answer := f.raw(op, sdkGolden(t, "request_snapshot/"+op+".request.snap"))
		if status == 500 || status == 404 || strings.Contains(answer, "SerializationException") || strings.Contains(answer, "UnknownOperation") {
			t.Errorf("%s: %d %s", op, status, answer)
		}
		if header.Get("x-amzn-RequestId") == "" || header.Get("x-amz-id-2") == "" || header.Get("Content-Length") == "" {
			t.Errorf("%s: headers %v", op, header)
		}
	}
}

func TestFramingErrorsHaveTheServicesForms(t *testing.T) {
	f := newFixture(t, Config{})
	for _, tc := range []struct {
		method, contentType, target, body string
		status                            int
		want                              string
	}{
		{"POST", "application/x-amz-json-1.1", "Kinesis_20131202.Nonsense", "{}", 400, `{"__type":"UnknownOperationException"}`},
		{"POST", "application/x-amz-json-1.1", "ListStreams", "{}", 400, `{"__type":"UnknownOperationException"}`},
		{"POST", "application/x-amz-json-1.1", "Kinesis_20131202.ListStreams", "", 400, `{"__type":"SerializationException"}`},
		{"POST", "application/x-amz-json-1.1; charset=utf-8", "Kinesis_20131202.ListStreams", "{}", 200, `{"StreamNames":[],"StreamSummaries":[],"HasMoreStreams":false}`},
		{"POST", "text/plain", "Kinesis_20131202.ListStreams", "{}", 404, "<UnknownOperationException/>"},
		{"POST", "application/json", "Kinesis_20131202.ListStreams", "{}", 404, `{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`},
		{"GET", "", "", "", 403, "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>"},
		{"POST", "application/x-amz-json-1.1", "Kinesis_20131202.ListStreams", `{"Limit":"1"}`, 400, `{"Message":"class java.lang.String can not be converted to an Integer","__type":"SerializationException"}`},
	} {
		r, err := http.NewRequest(tc.method, f.url+"/any/path", strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", tc.contentType)
		r.Header.Set("X-Amz-Target", tc.target)
		transport := &http.Transport{DisableKeepAlives: true}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tc.status || strings.TrimSpace(string(b)) != tc.want {
			t.Errorf("%s %s %s: %d %s, want %d %s", tc.method, tc.contentType, tc.target, res.StatusCode, b, tc.status, tc.want)
		}
	}
}
