package jobs

import (
	"encoding/json"
	"strings"
	"time"
)

// A Job is what a person asked for. Kind chooses the handler.
type Job struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Spec is the handler's business: the question, the same for all slices.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Title says in a line what was asked for, for people.
	Title   string    `json:"title,omitempty"`
	Created time.Time `json:"created"`
	// Slices is how many were planned; they are numbered from 0.
	Slices int `json:"slices"`
	// Cancelled: no slice is begun any more, and running ones are stopped.
	Cancelled bool `json:"cancelled,omitempty"`
	// Revision moves with every write; see Store.
	Revision int64 `json:"revision"`
}

// State of a slice.
type State string

// The states; doc.go draws them.
const (
	Waiting State = "waiting"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// A Slice is a part of a job that one worker does in one go. It is a value.
type Slice struct {
	Job    string `json:"job"`
	Number int    `json:"number"`
	// Name says for people which part it is: "shardId-000000000002, 14:00-15:00".
	Name string `json:"name,omitempty"`
	// Spec is the handler's business: which part.
	Spec json.RawMessage `json:"spec,omitempty"`

	State State `json:"state"`
	// Owner is the worker that has it, for people. Token is what counts: it is
	// new with every claim, so a worker knows whether a claim is still its own.
	Owner string `json:"owner,omitempty"`
	Token string `json:"token,omitempty"`
	// Tries counts claims since the slice was planned or resumed.
	Tries int `json:"tries,omitempty"`
	// Rest is how long to wait after a failed try, from when an observer first
	// sees this revision, so that no two clocks are compared.
	Rest time.Duration `json:"rest,omitempty"`
	// Progress is what the handler needs to go on where it was; Result is what
	// it found.
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	// Error is why the last try ended.
	Error string `json:"error,omitempty"`
	// Revision moves with every write; see Store.
	Revision int64 `json:"revision"`
}

// Ended reports whether nothing is left to do for s.
func (s Slice) Ended() bool { return s.State == Done || s.State == Failed }

// Claim makes owner the one who works on s, whoever had it.
func (s Slice) Claim(owner, token string) Slice {
	s.State, s.Owner, s.Token = Running, owner, token
	s.Tries++
	s.Rest = 0
	return s
}

// Report keeps a claim alive and notes how far its work has come.
func (s Slice) Report(progress json.RawMessage) Slice {
	if progress != nil {
		s.Progress = progress
	}
	return s
}

// Finish ends s with what was found.
func (s Slice) Finish(result json.RawMessage) Slice {
	s.State, s.Owner, s.Token, s.Error = Done, "", "", ""
	s.Result = result
	return s
}

// Retry gives s back after a failed try, or undone when the worker stops.
func (s Slice) Retry(reason string, rest time.Duration) Slice {
	s.State, s.Owner, s.Token = Waiting, "", ""
	s.Error, s.Rest = cut(reason), rest
	return s
}

// Return gives s back because its worker stops; that was no try.
func (s Slice) Return() Slice {
	s.State, s.Owner, s.Token, s.Rest = Waiting, "", "", 0
	s.Tries--
	return s
}

// Fail ends s without a result.
func (s Slice) Fail(reason string) Slice {
	s.State, s.Owner, s.Token = Failed, "", ""
	s.Error = cut(reason)
	return s
}

// errorMax bounds Error in bytes: it is for people, and every look reads it.
const errorMax = 4 << 10

func cut(reason string) string {
	if len(reason) > errorMax {
		return strings.ToValidUTF8(reason[:errorMax], "") + " …"
	}
	return reason
}

// Resume gives a failed slice its tries back. Its progress stays.
func (s Slice) Resume() Slice {
	s.State, s.Tries, s.Rest = Waiting, 0, 0
	return s
}

// A Summary counts the slices of a job by state.
type Summary struct {
	Waiting int `json:"waiting"`
	Running int `json:"running"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
}

// Summarize counts.
func Summarize(slices []Slice) (s Summary) {
	for _, x := range slices {
		switch x.State {
		case Waiting:
			s.Waiting++
		case Running:
			s.Running++
		case Done:
			s.Done++
		case Failed:
			s.Failed++
		}
	}
	return s
}

// Ended reports whether every slice is done or failed.
func (s Summary) Ended() bool { return s.Waiting+s.Running == 0 }

// State names the job's state in one word: running, cancelled, done, failed.
func (s Summary) State(j Job) string {
	switch {
	case s.Ended() && s.Failed == 0:
		return "done"
	case j.Cancelled:
		return "cancelled"
	case s.Ended():
		return "failed"
	}
	return "running"
}
