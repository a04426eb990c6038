// Package kinesistest answers the two Kinesis calls that producing needs, over
// HTTP, and fails by script. It promises to keep what it stored in the order it
// stored it and to know the limits of PutRecords; it is no emulator.
package kinesistest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A Record is one stored record.
type Record struct {
	Data []byte
	Key  string `json:"PartitionKey"`
}

// A Fault decides about one request before anything is stored. It returns an
// API error code for the whole request, or codes for single records by their
// index, or nothing.
type Fault func(call int, records []Record) (whole string, single map[int]string)

// A Stub is one stream behind an HTTP endpoint.
type Stub struct {
	URL    string
	Stream string

	mu sync.Mutex
	// Fault may be nil. Describe is an error code for DescribeStreamSummary.
	fault    Fault
	describe string
	sizeKiB  int
	stored   []Record
	calls    [][]Record
}

// New starts a stub of stream that ends with the test. sizeKiB is its
// MaxRecordSizeInKiB, 0 to leave the field out.
func New(t testing.TB, stream string, sizeKiB int, fault Fault) *Stub {
	s := &Stub{Stream: stream, fault: fault, sizeKiB: sizeKiB}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	s.URL = srv.URL
	return s
}

// DenyDescribe makes DescribeStreamSummary fail with code.
func (s *Stub) DenyDescribe(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.describe = code
}

// Stored are the records stored so far, in order.
func (s *Stub) Stored() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record(nil), s.stored...)
}

// Calls are the records of each PutRecords, stored or not.
func (s *Stub) Calls() [][]Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]Record(nil), s.calls...)
}

// Lines is the text of everything stored.
func (s *Stub) Lines() string {
	var b strings.Builder
	for _, r := range s.Stored() {
		b.Write(r.Data)
	}
	return b.String()
}

func (s *Stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		StreamName string
		Records    []Record
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, "SerializationException", err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.StreamName != s.Stream {
		refuse(w, "ResourceNotFoundException", "Stream "+in.StreamName+" under account 000000000000 not found.")
		return
	}
	switch r.Header.Get("X-Amz-Target") {
	case "Kinesis_20131202.DescribeStreamSummary":
		s.summary(w)
	case "Kinesis_20131202.PutRecords":
		s.put(w, in.Records)
	default:
		refuse(w, "UnknownOperationException", "")
	}
}

func (s *Stub) summary(w http.ResponseWriter) {
	if s.describe != "" {
		refuse(w, s.describe, "")
		return
	}
	d := map[string]any{"StreamName": s.Stream, "StreamStatus": "ACTIVE", "OpenShardCount": 1, "RetentionPeriodHours": 24}
	if s.sizeKiB > 0 {
		d["MaxRecordSizeInKiB"] = s.sizeKiB
	}
	answer(w, http.StatusOK, map[string]any{"StreamDescriptionSummary": d})
}

func (s *Stub) put(w http.ResponseWriter, records []Record) {
	s.calls = append(s.calls, records)
	if reason := overLimit(records); reason != "" {
		refuse(w, "ValidationException", reason)
		return
	}
	var whole string
	var single map[int]string
	if s.fault != nil {
		whole, single = s.fault(len(s.calls), records)
	}
	if whole != "" {
		refuse(w, whole, "by script")
		return
	}
	results, failed := make([]map[string]any, len(records)), 0
	for i, r := range records {
		if code := single[i]; code != "" {
			results[i] = map[string]any{"ErrorCode": code, "ErrorMessage": "by script"}
			failed++
			continue
		}
		s.stored = append(s.stored, r)
		results[i] = map[string]any{"SequenceNumber": fmt.Sprint(len(s.stored)), "ShardId": "shardId-000000000000"}
	}
	answer(w, http.StatusOK, map[string]any{"FailedRecordCount": failed, "Records": results})
}

// overLimit holds requests to the limits of the API, of which producing allows
// itself half the bytes.
func overLimit(records []Record) string {
	total := 0
	for _, r := range records {
		total += len(r.Data) + len(r.Key)
		if r.Key == "" {
			return "partition key is empty"
		}
	}
	if len(records) == 0 || len(records) > 500 || total > 10<<20 || (len(records) > 1 && total > 5<<20) {
		return fmt.Sprintf("%d records of %d bytes", len(records), total)
	}
	return ""
}

func refuse(w http.ResponseWriter, code, message string) {
	status := http.StatusBadRequest
	if code == "InternalFailure" || code == "ServiceUnavailable" {
		status = http.StatusInternalServerError
	}
	answer(w, status, map[string]any{"__type": code, "message": message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
