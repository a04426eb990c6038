package directput

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Batches go through a door behind which anything can fail: single records,
// whole calls, answers that get lost. Afterwards the stream is asked: an id leads
// to the record's bytes, what was refused is not there, and what was not known
// to be stored is there once at most, for nothing was sent a second time in doubt.
func TestUnderAnyFaultsAnIDMeansStoredAndRefusedMeansNotStored(t *testing.T) {
	const seeds = 60
	seen := map[string]int{}
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			r := newRig(t, 1+rnd.IntN(3))
			for i := range 6 {
				for range rnd.IntN(4) {
					r.order(anyFault(rnd))
				}
				began := time.Now()
				r.check(t, fmt.Sprintf("seed %d batch %d", seed, i), 1+rnd.IntN(20), seen)
				if took := time.Since(began); took > patience+6*callTimeout {
					t.Errorf("seed %d: an answer took %v", seed, took)
				}
				r.forget()
			}
		})
	}
	for _, what := range []string{"stored", "ServiceUnavailableException", "InternalFailure", "whole"} {
		if seen[what] < 20 {
			t.Errorf("%s came only %d times: the test proves little", what, seen[what])
		}
	}
	t.Logf("%v", seen)
}

// check puts one batch and compares the answer with the stream.
func (r *rig) check(t *testing.T, at string, n int, seen map[string]int) {
	var data []string
	for i := range n {
		data = append(data, fmt.Sprintf("%s record %d", at, i))
	}
	out, err := r.producer.PutRecordBatch(t.Context(), batchOf(data...))
	copies := map[string]int{}
	all := r.stored()
	for _, d := range all {
		copies[d]++
	}
	for _, d := range data {
		if copies[d] > 1 {
			t.Errorf("%s is stored %d times", d, copies[d])
		}
	}
	if err != nil {
		seen["whole"]++
		if code := codeOf(err); code == "ServiceUnavailableException" && len(copies) > 0 {
			for _, d := range data {
				if copies[d] > 0 {
					t.Errorf("%s: refused as a whole and stored", d)
				}
			}
		}
		return
	}
	failed := 0
	for i, a := range out.RequestResponses {
		switch code := aws.ToString(a.ErrorCode); {
		case a.RecordId != nil:
			seen["stored"]++
			if code != "" || all[*a.RecordId] != data[i] {
				t.Errorf("%s: id %s leads to %q, code %q", data[i], *a.RecordId, all[*a.RecordId], code)
			}
			continue
		case code == "ServiceUnavailableException" && copies[data[i]] != 0:
			t.Errorf("%s: told to slow down and stored", data[i])
		}
		failed++
		seen[*a.ErrorCode]++
	}
	if int(*out.FailedPutCount) != failed {
		t.Errorf("%s: FailedPutCount %d, %d failed", at, *out.FailedPutCount, failed)
	}
}

// anyFault is an order for the Kinesis server: up to 40 calls of it, which is more
// than patience lasts.
func anyFault(rnd *rand.Rand) string {
	f := map[string]any{"operation": "PutRecords"}
	switch rnd.IntN(5) {
	case 0:
		f["drop"] = []string{"before", "after"}[rnd.IntN(2)]
	case 1:
		f["error"] = []string{"InternalFailure", "ProvisionedThroughputExceededException", "LimitExceededException", "KMSAccessDeniedException"}[rnd.IntN(4)]
	case 2, 3:
		f["records"] = rnd.Perm(20)[:1+rnd.IntN(10)]
		f["code"] = []string{"ProvisionedThroughputExceededException", "InternalFailure"}[rnd.IntN(2)]
	case 4:
		f["delay"] = (time.Duration(rnd.IntN(3000)) * time.Millisecond).String()
	}
	f["count"] = []int{1, 2, 40}[rnd.IntN(3)]
	b, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// forget takes back all faults.
func (r *rig) forget() { r.admin("reset", "{}") }
