package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
)

var uploadID = regexp.MustCompile(`<UploadId>(.*)</UploadId>`)

func TestUploadsThatBeginAtOnceHaveIDsOfTheirOwn(t *testing.T) {
	const shards, rounds = 64, 400
	var b bucket
	b.init(false)
	ids := make(chan string, shards*rounds)
	var group sync.WaitGroup
	for n := range shards {
		group.Go(func() {
			for range rounds {
				w := httptest.NewRecorder()
				key := fmt.Sprintf("rawdata/%d", n)
				b.serve(w, httptest.NewRequest(http.MethodPost, "/bench/"+key+"?uploads", nil), key)
				ids <- uploadID.FindStringSubmatch(w.Body.String())[1]
			}
		})
	}
	group.Wait()
	close(ids)
	seen := map[string]bool{}
	twice := 0
	for id := range ids {
		if seen[id] {
			twice++
		}
		seen[id] = true
	}
	if twice > 0 {
		t.Errorf("%d of %d uploads were given the id of another", twice, shards*rounds)
	}
}
