package kinesis

import (
	"net/http"
	"sync"
	"time"
)

// When a fault drops the connection: before the call has an effect, or after,
// so that the client can't know.
const (
	dropBefore = "before"
	dropAfter  = "after"
)

// A fault is what an operator ordered for coming calls.
type fault struct {
	Operation string `json:"operation"`         // "" is any
	Count     int    `json:"count"`             // calls it hits; 1 when 0
	Error     string `json:"error,omitempty"`   // error code of the answer
	Message   string `json:"message,omitempty"` // its message
	Status    int    `json:"status,omitempty"`  // 400 when 0; 500 for InternalFailure
	Drop      string `json:"drop,omitempty"`    // "before" or "after"
	Delay     string `json:"delay,omitempty"`   // a Go duration, before anything else
	// Records lists records of a PutRecords, from 0, that fail alone, with Code.
	Records []int  `json:"records,omitempty"`
	Code    string `json:"code,omitempty"` // ProvisionedThroughputExceededException when ""

	delay time.Duration
}

// faults is the list of ordered faults. Safe for concurrent use.
type faults struct {
	mu   sync.Mutex
	list []*fault
}

func (f *faults) add(order fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, &order)
}

// clear forgets every fault and returns how many there were.
func (f *faults) clear() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.list)
	f.list = nil
	return n
}

// take returns the first fault that is due for that operation, or nil. The
// value is a copy: the list goes on counting.
func (f *faults) take(op string) *fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, order := range f.list {
		if order.Operation != "" && order.Operation != op {
			continue
		}
		if order.Count--; order.Count <= 0 {
			f.list = append(f.list[:i:i], f.list[i+1:]...)
		}
		due := *order
		return &due
	}
	return nil
}

func (f *fault) apiError() error {
	status := f.Status
	if status == 0 {
		status = http.StatusBadRequest
		if f.Error == failedInternally {
			status = http.StatusInternalServerError
		}
	}
	message := f.Message
	if message == "" {
		message = "ordered by the operator"
	}
	return &apiError{status, f.Error, message}
}

// mark makes the ordered records of a PutRecords fail; f may be nil.
func (f *fault) mark(records []put) {
	if f == nil {
		return
	}
	code := f.Code
	if code == "" {
		code = throughputExceeded
	}
	for _, i := range f.Records {
		if i < len(records) {
			records[i].failed = code
		}
	}
}
