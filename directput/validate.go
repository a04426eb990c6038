package directput

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
)

// The limits of the API (Firehose API reference, PutRecordBatch; they cannot be
// raised there, nor here).
const (
	recordMax  = 1000 << 10 // bytes of one record
	recordsMax = 500        // records of one batch
	batchMax   = 4 << 20    // bytes of the records of one batch
	nameMax    = 64         // characters of a delivery stream's name
	limitMax   = 10000      // Limit of the two operations that list
)

const namePattern = "[a-zA-Z0-9_.-]+"

var nameRule = regexp.MustCompile("^" + namePattern + "$")

// streamTypes in the order in which AWS lists them in its message.
var streamTypes = []string{"DirectPut", "KinesisStreamAsSource", "MSKAsSource", "DatabaseAsSource"}

// shownMax bounds how much of a value a message repeats.
const shownMax = 256

// violations collects what is wrong with a request, in AWS's words.
type violations []string

func (v *violations) add(shown, member, constraint string) {
	*v = append(*v, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: Member must %s", shown, member, constraint))
}

// toldMax is how many AWS tells at most.
const toldMax = 10

// err is nil when nothing is wrong.
func (v violations) err() *apiError {
	if len(v) == 0 {
		return nil
	}
	told, s := v[:min(len(v), toldMax)], "s"
	if len(told) == 1 {
		s = ""
	}
	return clientError("ValidationException", "%d validation error%s detected: %s", len(told), s, strings.Join(told, "; "))
}

// name checks the name of a delivery stream.
func (v *violations) name(s *string, member string, required bool) {
	if s == nil {
		if required {
			v.add("null", member, "not be null")
		}
		return
	}
	shown := "'" + (*s)[:min(len(*s), shownMax)] + "'"
	if !nameRule.MatchString(*s) {
		v.add(shown, member, "satisfy regular expression pattern: "+namePattern)
	}
	switch n := len(utf16.Encode([]rune(*s))); {
	case n < 1:
		v.add(shown, member, "have length greater than or equal to 1")
	case n > nameMax:
		v.add(shown, member, fmt.Sprintf("have length less than or equal to %d", nameMax))
	}
}

func (v *violations) limit(n *int64) {
	switch {
	case n == nil:
	case *n < 1:
		v.add(fmt.Sprintf("'%d'", *n), "limit", "have value greater than or equal to 1")
	case *n > limitMax:
		v.add(fmt.Sprintf("'%d'", *n), "limit", fmt.Sprintf("have value less than or equal to %d", limitMax))
	}
}

// record checks one record; member is where it stands in the request.
func (v *violations) record(r *record, member string) {
	switch {
	case r == nil:
		v.add("null", member, "not be null")
	case r.Data == nil:
		v.add("null", member+".data", "not be null")
	case len(*r.Data) > recordMax:
		n := len(*r.Data)
		v.add(fmt.Sprintf("'java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]'", n, n), member+".data",
			fmt.Sprintf("have length less than or equal to %d", recordMax))
	}
}

// records checks a batch. Its records are counted from 1, as AWS does.
func (v *violations) records(rs []*record) {
	switch {
	case rs == nil:
		v.add("null", "records", "not be null")
	case len(rs) == 0:
		v.add("'[]'", "records", "have length greater than or equal to 1")
	case len(rs) > recordsMax:
		v.add(fmt.Sprintf("'[%d records]'", len(rs)), "records", fmt.Sprintf("have length less than or equal to %d", recordsMax))
	}
	for i, r := range rs {
		if len(*v) >= toldMax {
			return
		}
		v.record(r, fmt.Sprintf("records.%d.member", i+1))
	}
}
