package harness

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// A Row is what an UpdateItem does to an item of a lease table: the attributes
// it sets or adds to. Their names are KCL's, which are documented, so that a
// step of the protocol can be told from outside.
type Row struct {
	Key  string // leaseKey
	Sets []string
}

var clause = regexp.MustCompile(`\b(SET|ADD|REMOVE|DELETE)\b`)

// Row takes an UpdateItem apart; false for any other call.
func (c Call) Row() (Row, bool) {
	var in struct {
		Key                      map[string]struct{ S string }
		UpdateExpression         string
		ExpressionAttributeNames map[string]string
	}
	if c.Operation != "UpdateItem" || json.Unmarshal(c.Body, &in) != nil {
		return Row{}, false
	}
	row := Row{Key: in.Key["leaseKey"].S}
	marks := clause.FindAllStringIndex(in.UpdateExpression, -1)
	for i, mark := range marks {
		end := len(in.UpdateExpression)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		if verb := in.UpdateExpression[mark[0]:mark[1]]; verb != "SET" && verb != "ADD" {
			continue
		}
		for term := range strings.SplitSeq(in.UpdateExpression[mark[1]:end], ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(term), " ")
			if named, ok := in.ExpressionAttributeNames[name]; ok {
				name = named
			}
			row.Sets = append(row.Sets, name)
		}
	}
	return row, true
}

// Prepares says whether the call stores an intent: KCL's pending checkpoint.
func (c Call) Prepares() bool { return c.sets("pendingCheckpoint") }

// Commits says whether the call moves a checkpoint.
func (c Call) Commits() bool { return c.sets("checkpoint") }

func (c Call) sets(attribute string) bool {
	row, ok := c.Row()
	return ok && row.OfShard() && slices.Contains(row.Sets, attribute)
}

// OfShard says whether the row is a shard's lease. Rows of workers are in the
// same table.
func (r Row) OfShard() bool { return strings.HasPrefix(r.Key, "shardId-") }

// Publishes says whether the call completes a multipart upload.
func (c Call) Publishes() bool { return c.Method == "POST" && c.Query.Has("uploadId") }
