package harness

import (
	"fmt"
	"testing"
)

func TestAnUpdateOfALeaseIsTakenApart(t *testing.T) {
	c := Call{Operation: "UpdateItem", Body: []byte(`{"Key":{"leaseKey":{"S":"shardId-000000000001"}},
		"ConditionExpression":"#checkpoint = :9",
		"UpdateExpression":"SET #pendingCheckpoint = :0, #f = :1 ADD #leaseCounter :2 REMOVE #x, leaseOwner",
		"ExpressionAttributeNames":{"#pendingCheckpoint":"pendingCheckpoint","#f":"standpipeFlush","#leaseCounter":"leaseCounter","#x":"childShardIds","#checkpoint":"checkpoint"}}`)}
	row, ok := c.Row()
	if !ok || fmt.Sprint(row) != "{shardId-000000000001 [pendingCheckpoint standpipeFlush leaseCounter]}" {
		t.Fatalf("%v, %v", row, ok)
	}
	if !c.Prepares() || c.Commits() {
		t.Fatal("an intent is stored, and the checkpoint is only asked for")
	}
	if _, ok := (Call{Operation: "PutItem", Body: c.Body}).Row(); ok {
		t.Fatal("PutItem updates nothing")
	}
}
