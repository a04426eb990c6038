package produce

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// Generators are the names --generate takes.
var Generators = []string{"events"}

// event is the shape of the generated lines: small JSON objects of uneven
// length, with text beyond ASCII, as a collector of app events sees them.
type event struct {
	N     int64    `json:"n"`
	Time  string   `json:"time"`
	Type  string   `json:"type"`
	User  string   `json:"user"`
	City  string   `json:"city"`
	Value string   `json:"value"`
	Note  string   `json:"note,omitempty"`
	Tags  []string `json:"tags,omitempty"`
}

var (
	eventTypes  = []string{"view", "click", "search", "cart", "purchase", "Tip 3"}
	eventCities = []string{"서울", "부산", "Daejeon", "제주", "Zürich", "東京"}
	eventWords  = []string{"수집", "pipeline", "데이터", "batch", "😀", "shard", "naïve", "—", "stream", "€"}
)

// eventStart is the time of event 0: generated data must not depend on the day.
var eventStart = time.Date(2022, time.April, 18, 0, 0, 0, 0, time.UTC)

// Events gives endless events. The same seed gives the same bytes; event n does
// not depend on those before it.
func Events(ctx context.Context, seed uint64) Source {
	return func(yield func(Record, error) bool) {
		for n := int64(0); ctx.Err() == nil; n++ {
			record := Record{Source: "events", Line: n + 1, Data: makeEvent(seed, n)}
			if !yield(record, nil) {
				return
			}
		}
	}
}

func makeEvent(seed uint64, n int64) []byte {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	e := event{
		N:     n,
		Time:  eventStart.Add(time.Duration(n) * 37 * time.Millisecond).Format("2006-01-02T15:04:05.000Z"),
		Type:  pick(eventTypes),
		User:  fmt.Sprintf("u%05d", rng.IntN(20000)),
		City:  pick(eventCities),
		Value: fmt.Sprint(rng.IntN(1000)),
	}
	// Most events are short, one in sixteen carries a long note.
	words := rng.IntN(6)
	if rng.IntN(16) == 0 {
		words = 40 + rng.IntN(200)
	}
	for i := range words {
		if i > 0 {
			e.Note += " "
		}
		e.Note += pick(eventWords)
	}
	for range rng.IntN(3) {
		e.Tags = append(e.Tags, pick(eventTypes))
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // the struct holds strings and integers only
	}
	return b
}
