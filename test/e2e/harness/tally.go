package harness

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// A Tally counts how often each object was written, over any number of wires.
// An upload that is completed again is written once: S3 answers as the first
// time and changes nothing. Safe for concurrent use.
type Tally struct {
	mu      sync.Mutex
	writes  map[string]int // by the path of the call: /bucket/key
	uploads map[string]bool
}

// Watch makes the tally count what passes the wire.
func (y *Tally) Watch(w *Tripwire) { w.Watch(y.seen) }

func (y *Tally) seen(c Call, status int) {
	if !c.Creates() || status/100 != 2 {
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.writes == nil {
		y.writes, y.uploads = map[string]int{}, map[string]bool{}
	}
	if upload := c.Query.Get("uploadId"); upload != "" {
		if y.uploads[upload] {
			return
		}
		y.uploads[upload] = true
	}
	y.writes[c.Path]++
}

// Creates says whether the call, if the server agrees, makes an object visible:
// it puts a whole one or completes a multipart upload.
func (c Call) Creates() bool {
	return c.Publishes() || c.Operation == "" && c.Method == http.MethodPut && !c.Query.Has("uploadId") && c.Key() != ""
}

// Key is the name of the object that a call to S3 is about.
func (c Call) Key() string {
	_, key, _ := strings.Cut(strings.TrimPrefix(c.Path, "/"), "/")
	return key
}

// Written is how many objects were written.
func (y *Tally) Written() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.writes)
}

// Twice are those that were written more than once, in order.
func (y *Tally) Twice() []string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(y.writes)), func(path string) bool { return y.writes[path] < 2 })
}
