package replay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
)

// The jobs' kinds.
const (
	RestoreKind = "restore"
	DeliverKind = "replay"
)

// SlicesMax bounds a job: every worker reads all of its slices now and then.
const SlicesMax = 10_000

// A Spec is the question of a job. Places, times and the stream are absolute, so
// that it means the same on every machine.
type Spec struct {
	// Stream names the stream and when it was made: one that was made anew under
	// the same name has other records.
	Stream string `json:"stream"`
	// Archive is the place of the live archive, Prefix where below it the range
	// is delivered; empty when it is restored.
	Archive string `json:"archive"`
	Prefix  string `json:"prefix,omitempty"`
	// Asked is the range in the words of whoever asked. From and To are what they
	// meant when the job began: "24h" means another time in each job.
	Asked   string              `json:"asked"`
	From    Point               `json:"from"`
	To      Point               `json:"to"`
	Shards  []standpipe.ShardID `json:"shards,omitempty"`
	Deep    bool                `json:"deep,omitempty"`
	Replace bool                `json:"replace,omitempty"`
}

// digest is a short name of what the words name together.
func digest(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// Asks reports whether both were asked the same, whenever that was.
func (s Spec) Asks(o Spec) bool {
	return s.Stream == o.Stream && s.Archive == o.Archive && s.Prefix == o.Prefix && s.Asked == o.Asked &&
		slices.Equal(s.Shards, o.Shards) && s.Deep == o.Deep && s.Replace == o.Replace
}

// Family begins the id of every restore that was asked for in the same words.
func (s Spec) Family() string {
	words := []string{s.Stream, s.Archive, s.Asked, strconv.FormatBool(s.Deep), strconv.FormatBool(s.Replace)}
	for _, id := range s.Shards {
		words = append(words, string(id))
	}
	return RestoreKind + "-" + digest(words...) + "-"
}

// DeliverID is the id of the one job that delivers into the prefix.
func (s Spec) DeliverID() string { return DeliverKind + "-" + digest(s.Archive, s.Prefix) }

// Ongoing finds the restore of the family that has not ended, if there is one,
// and the id of the one that would come next. A cancelled one has ended until it
// is resumed.
func (s Spec) Ongoing(ctx context.Context, store jobs.Store) (j jobs.Job, found bool, next string, err error) {
	all, err := store.Jobs(ctx)
	if err != nil {
		return j, false, "", fmt.Errorf("read the jobs: %w", err)
	}
	last := 0
	for _, one := range all {
		number, ours := strings.CutPrefix(one.ID, s.Family())
		n, err := strconv.Atoi(number)
		if !ours || err != nil {
			continue
		}
		last = max(last, n)
		if one.Cancelled {
			continue
		}
		parts, err := store.Slices(ctx, one.ID)
		if err != nil {
			return j, false, "", fmt.Errorf("read job %s: %w", one.ID, err)
		}
		if !jobs.Summarize(parts).Ended() {
			j, found = one, true
		}
	}
	return j, found, s.Family() + strconv.Itoa(last+1), nil
}

// Restoration is the job of a plan. Its slices take turns by chain, so that
// those that are worked on at once read different shards.
func (s Spec) Restoration(id string, plan []Slice, now time.Time) (jobs.Job, []jobs.Slice, error) {
	title := fmt.Sprintf("restore %s, %s", s.Archive, s.Asked)
	return newJob(id, RestoreKind, title, s, byTurns(plan), now)
}

// Delivery is the job of ranges, one slice for each.
func (s Spec) Delivery(ranges []ShardRange, now time.Time) (jobs.Job, []jobs.Slice, error) {
	title := fmt.Sprintf("replay %s into %s", s.Asked, s.Prefix)
	return newJob(s.DeliverID(), DeliverKind, title, s, ranges, now)
}

func newJob[S fmt.Stringer](id, kind, title string, spec Spec, plan []S, now time.Time) (j jobs.Job, all []jobs.Slice, err error) {
	if len(plan) > SlicesMax {
		return j, nil, fmt.Errorf("the plan has %d slices, a job at most %d", len(plan), SlicesMax)
	}
	j = jobs.Job{ID: id, Kind: kind, Title: title, Created: now.UTC(), Slices: len(plan)}
	if j.Spec, err = json.Marshal(spec); err != nil {
		return j, nil, fmt.Errorf("encode the job: %w", err)
	}
	for n, part := range plan {
		one := jobs.Slice{Job: id, Number: n, Name: part.String(), State: jobs.Waiting}
		if one.Spec, err = json.Marshal(part); err != nil {
			return j, nil, fmt.Errorf("encode slice %d: %w", n, err)
		}
		all = append(all, one)
	}
	return j, all, nil
}

// byTurns puts the first slice of every chain before the second of any.
func byTurns(plan []Slice) []Slice {
	type place struct{ nth, at int }
	nth := map[string]int{}
	places := make([]place, len(plan))
	for at, s := range plan {
		places[at] = place{nth[s.Folder], at}
		nth[s.Folder]++
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.nth, b.nth), cmp.Compare(a.at, b.at)) })
	ordered := make([]Slice, len(plan))
	for n, p := range places {
		ordered[n] = plan[p.at]
	}
	return ordered
}

// SpecOf reads the question out of a job.
func SpecOf(j jobs.Job) (s Spec, err error) {
	if err := json.Unmarshal(j.Spec, &s); err != nil {
		return s, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	return s, nil
}

// unreadable is final: a slice that cannot be read now cannot be read later.
func unreadable(t jobs.Task, err error) error {
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: fmt.Sprintf("read slice %d of job %s", t.Slice.Number, t.Job.ID), Err: err,
		Hint: "run the version of standpipe that planned it, or a newer one",
	}
}
