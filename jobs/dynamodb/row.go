package dynamodb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe/internal/dynamo"
	"github.com/standpipe/standpipe/jobs"
)

// The attributes of a row.
const (
	attrCollection = "collection"
	attrRow        = "row"
	attrBody       = "body"     // JSON: the job or the slice, without documents that lie in parts
	attrRevision   = "revision" // of the job or the slice
	attrWrite      = "write"    // random: which write made the row what it is
	attrPlan       = "plan"     // of a job: what its rows' names begin with
	attrSlices     = "slices"   // of a job: how many rows of slices there are
	attrDocument   = "document" // the name of the document's parts
	attrParts      = "parts"    // how many
	attrHash       = "hash"     // SHA-256 of the document
	attrData       = "data"     // of a part
)

const allJobs = "jobs"

func collectionOf(job string) string { return "job/" + job }

func sliceRow(plan string, number int) string { return fmt.Sprintf("%s/slice/%010d", plan, number) }

func partRow(plan, document string, n int) string {
	return fmt.Sprintf("%s/part/%s/%04d", plan, document, n)
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number[T int | int64](n T) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(n), 10)}
}

func binary(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

func keyOf(collection, row string) dynamo.Item {
	return dynamo.Item{attrCollection: text(collection), attrRow: text(row)}
}

func textOf(item dynamo.Item, name string) string {
	if s, ok := item[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func binaryOf(item dynamo.Item, name string) []byte {
	if b, ok := item[name].(*types.AttributeValueMemberB); ok {
		return b.Value
	}
	return nil
}

func numberOf(item dynamo.Item, name string) int64 {
	if n, ok := item[name].(*types.AttributeValueMemberN); ok {
		v, _ := strconv.ParseInt(n.Value, 10, 64) // DynamoDB's numbers are numbers; ours are whole
		return v
	}
	return 0
}

// inlineMax bounds a row, and a part: far enough below DynamoDB's 400 KB an item.
const inlineMax = 300 << 10

// documents are what a row may keep in parts.
type documents struct {
	Spec     json.RawMessage `json:"spec,omitempty"`
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
}

// A record is a job or a slice as it is stored. Document is nil when the body
// holds everything.
type record struct {
	body, document []byte
}

func recordOf(whole, head any, d documents) (r record, err error) {
	if r.body, err = json.Marshal(whole); err != nil || len(r.body) <= inlineMax {
		return r, err
	}
	if r.body, err = json.Marshal(head); err != nil {
		return r, err
	}
	if len(r.body) > inlineMax {
		return r, errors.New("its name, title or error is too long for a row")
	}
	r.document, err = json.Marshal(d)
	return r, err
}

func recordOfJob(j jobs.Job) (record, error) {
	j.Revision = 0 // an attribute
	head := j
	head.Spec = nil
	return recordOf(j, head, documents{Spec: j.Spec})
}

func recordOfSlice(x jobs.Slice) (record, error) {
	x.Revision = 0 // an attribute
	head := x
	head.Spec, head.Progress, head.Result = nil, nil, nil
	return recordOf(x, head, documents{x.Spec, x.Progress, x.Result})
}

// decodeJob and decodeSlice read a row; document is that of its parts, if any.
func decodeJob(item dynamo.Item, document []byte) (j jobs.Job, err error) {
	if err = json.Unmarshal(binaryOf(item, attrBody), &j); err == nil && document != nil {
		var d documents
		err = json.Unmarshal(document, &d)
		j.Spec = d.Spec
	}
	j.Revision = numberOf(item, attrRevision)
	return j, err
}

func decodeSlice(item dynamo.Item, document []byte) (x jobs.Slice, err error) {
	if err = json.Unmarshal(binaryOf(item, attrBody), &x); err == nil && document != nil {
		var d documents
		err = json.Unmarshal(document, &d)
		x.Spec, x.Progress, x.Result = d.Spec, d.Progress, d.Result
	}
	x.Revision = numberOf(item, attrRevision)
	return x, err
}
