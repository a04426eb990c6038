package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/standpipe/standpipe/test/bench/canned"
)

// small is a stub whose slices hold a few records only.
func small() *stub {
	return &stub{slices: map[canned.Kind][]*canned.Slice{canned.Click: canned.Slices(canned.Click, 1, 40, 5000)}}
}

type record struct{ SequenceNumber, Data string }

// ask is one call to the stub's Kinesis.
func ask(t *testing.T, s *stub, op string, in map[string]any) (status int, out struct {
	ShardIterator, NextShardIterator string
	Records                          []record
},
) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
	w := httptest.NewRecorder()
	s.kinesis(w, req)
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, out
}

// read reads a shard to its end.
func read(t *testing.T, s *stub, kind, sequence string) (all []record) {
	t.Helper()
	_, out := ask(t, s, "GetShardIterator", map[string]any{
		"ShardId": "shardId-000000000001", "ShardIteratorType": kind, "StartingSequenceNumber": sequence,
	})
	for it := out.ShardIterator; ; it = out.NextShardIterator {
		if _, out = ask(t, s, "GetRecords", map[string]any{"ShardIterator": it}); len(out.Records) == 0 {
			return all
		}
		all = append(all, out.Records...)
	}
}

func TestAShardIsReadAgainFromAnyOfItsRecords(t *testing.T) {
	s := small()
	s.reset(settings{kind: canned.Click, shards: 2, pages: 2})
	all := read(t, s, "TRIM_HORIZON", "")
	first := s.current().progress()
	if first.Again != (Again{}) || first.Records != int64(len(all)) {
		t.Errorf("%d records, and the progress is %+v", len(all), first)
	}
	for n := 0; n < len(all); n += 1 + len(all)/40 {
		for kind, rest := range map[string][]record{"AT_SEQUENCE_NUMBER": all[n:], "AFTER_SEQUENCE_NUMBER": all[n+1:]} {
			got := read(t, s, kind, all[n].SequenceNumber)
			if len(got) != len(rest) {
				t.Fatalf("%s record %d gave %d records, want %d", kind, n, len(got), len(rest))
			}
			for k := range got {
				if got[k] != rest[k] {
					t.Fatalf("%s record %d: the %dth is %s, want %s", kind, n, k, got[k].SequenceNumber, rest[k].SequenceNumber)
				}
			}
		}
	}
	again := s.current().progress()
	if again.Payload != first.Payload || again.Records != first.Records {
		t.Errorf("what was read again is counted as new: %+v", again)
	}
	if again.Again.Shards < 10 || again.Again.Payload < 5*first.Payload || len(again.Broken) > 0 {
		t.Errorf("read again more than ten times: %+v", again)
	}
}

func TestWhatTheStubCannotAnswerIsReported(t *testing.T) {
	s := small()
	s.reset(settings{kind: canned.Click, shards: 1, pages: 1})
	for _, in := range []map[string]any{
		{"ShardIteratorType": "LATEST"},
		{"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "1"},
		{"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "4966833878235471987438261508931746500000000000999999999"},
	} {
		in["ShardId"] = "shardId-000000000000"
		if status, _ := ask(t, s, "GetShardIterator", in); status != http.StatusBadRequest {
			t.Errorf("%v: %d", in, status)
		}
	}
	if got := s.current().progress().Broken; len(got) != 3 {
		t.Errorf("reported are %q", got)
	}
}
