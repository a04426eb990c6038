package produce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/kinesistest"
	"github.com/standpipe/standpipe/consumer"
)

// What a consumer unpacks is what went in, under the same keys; a refused aggregate is sent again whole and counted by its records.
func TestAggregatesUnpackToTheSameRecords(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, func(call int, records []kinesistest.Record) (string, map[int]string) {
		if call == 1 {
			return "", map[int]string{0: "ProvisionedThroughputExceededException"}
		}
		return "", nil
	})
	stream := open(t, stub)
	stream.Aggregate = true
	cfg := config(stream)
	cfg.Key, _ = ParseKey("$.k", nil)
	var text strings.Builder
	want := map[string][]string{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 1500 {
		key := fmt.Sprint(rnd.IntN(4))
		line := fmt.Sprintf(`{"k":%q,"i":%d,"pad":%q}`, key, i, strings.Repeat("x", rnd.IntN(400)))
		if i == 700 {
			line = fmt.Sprintf(`{"k":%q,"pad":%q}`, key, strings.Repeat("y", aggregateMax+1))
		}
		want[key] = append(want[key], line+"\n")
		text.WriteString(line + "\n")
	}
	s := New(cfg)
	if err := s.Run(context.Background(), lines(text.String())); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, r := range stub.Stored() {
		if len(r.Data) > aggregateMax+2000 {
			t.Errorf("an aggregate has %d bytes", len(r.Data))
		}
		consumer.Unpack(standpipe.Record{Data: r.Data, PartitionKey: []byte(r.Key)}, consumer.KeepAll, consumer.WholeRange(), func(u consumer.UserRecord) bool {
			if string(u.PartitionKey) != r.Key {
				t.Errorf("a record of key %s is in an aggregate of %s", u.PartitionKey, r.Key)
			}
			got[r.Key] = append(got[r.Key], string(u.Data))
			return true
		})
	}
	for key := range want {
		slices.Sort(got[key]) // what was refused comes after what was not
		slices.Sort(want[key])
		if !slices.Equal(got[key], want[key]) {
			t.Errorf("key %s: %d records, want %d, or others", key, len(got[key]), len(want[key]))
		}
	}
	if n := len(stub.Stored()); n > 40 {
		t.Errorf("1500 records became %d", n)
	}
	if sum := s.Summary(); sum.Records != 1500 || sum.Retried == 0 || sum.Rejected != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestRandomKeysComeInRunsUnderAggregation(t *testing.T) {
	random, _ := ParseKey("random", rand.New(rand.NewPCG(1, 0)))
	key := KeyRuns(random)
	seen := map[string]int{}
	for range 3 * randomRun {
		k, err := key(nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[k]++
	}
	if len(seen) != 3 {
		t.Errorf("%d keys", len(seen))
	}
	for k, n := range seen {
		if n != randomRun {
			t.Errorf("%s %d times", k, n)
		}
	}
}
