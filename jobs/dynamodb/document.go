package dynamodb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/dynamo"
)

// A reference is what a row says about a document in parts. The zero value says
// that there is none.
type reference struct {
	name  string
	parts int
	hash  []byte
}

func referenceOf(item dynamo.Item) reference {
	return reference{textOf(item, attrDocument), int(numberOf(item, attrParts)), binaryOf(item, attrHash)}
}

// refer adds the reference to an item.
func (r reference) refer(item dynamo.Item) {
	if r.name != "" {
		item[attrDocument], item[attrParts], item[attrHash] = text(r.name), number(r.parts), binary(r.hash)
	}
}

// partsOf cuts a document into the items of a new name.
func partsOf(collection, plan string, document []byte) (r reference, writes []dynamo.Write) {
	if document == nil {
		return r, nil
	}
	hash := sha256.Sum256(document)
	r = reference{name: dynamo.WriteID(), hash: hash[:]}
	for len(document) > 0 {
		part := document[:min(len(document), inlineMax)]
		document = document[len(part):]
		item := keyOf(collection, partRow(plan, r.name, r.parts))
		item[attrData] = binary(part)
		writes = append(writes, dynamo.Write{Item: item, Size: len(part)})
		r.parts++
	}
	return r, writes
}

// dropParts removes the parts of a document that no row names any more. What
// cannot be removed goes with the job.
func (s *Store) dropParts(ctx context.Context, collection, plan string, r reference) {
	var writes []dynamo.Write
	for n := range r.parts {
		writes = append(writes, dynamo.Write{Item: keyOf(collection, partRow(plan, r.name, n)), Delete: true})
	}
	_ = s.table.Batch(ctx, "remove an old document", writes)
}

// errTorn: the parts are not those of the row, which was replaced meanwhile.
var errTorn = errors.New("a document's parts are not there")

// document reads the parts a row names; nil when it has none.
func (s *Store) document(ctx context.Context, collection, plan string, r reference) ([]byte, error) {
	if r.name == "" {
		return nil, nil
	}
	var b bytes.Buffer
	err := s.query(ctx, "read a document", collection, plan+"/part/"+r.name+"/", false, func(item dynamo.Item) error {
		b.Write(binaryOf(item, attrData))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if hash := sha256.Sum256(b.Bytes()); !bytes.Equal(hash[:], r.hash) {
		return nil, errTorn
	}
	return b.Bytes(), nil
}

// whole reads a row with its document. ErrNotFound is the caller's to say: nil
// item. planOf says which plan the parts belong to.
func (s *Store) whole(ctx context.Context, what string, key dynamo.Item, collection string, planOf func(dynamo.Item) string) (item dynamo.Item, document []byte, err error) {
	for torn := int64(0); ; {
		if item, err = s.table.Get(ctx, what, key); err != nil || item == nil {
			return nil, nil, err
		}
		document, err = s.document(ctx, collection, planOf(item), referenceOf(item))
		if !errors.Is(err, errTorn) {
			return item, document, err
		}
		if revision := numberOf(item, attrRevision); revision != torn {
			torn = revision // replaced between the two reads: look again
			continue
		}
		return nil, nil, s.damaged(what, err)
	}
}

func (s *Store) damaged(what string, err error) error {
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: fmt.Sprintf("table %s: read %s", s.table.Name, what), Err: err,
		Hint: "rows were changed or removed by hand, or by jobs delete while the job was being made: standpipe jobs delete it, and give the command that began it again",
	}
}

// query visits the rows of a collection whose names begin with prefix, in order.
func (s *Store) query(ctx context.Context, op, collection, prefix string, keys bool, visit func(dynamo.Item) error) error {
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("#c = :c"),
		ExpressionAttributeNames:  map[string]string{"#c": attrCollection},
		ExpressionAttributeValues: dynamo.Item{":c": text(collection)},
	}
	if prefix != "" || keys {
		in.ExpressionAttributeNames["#r"] = attrRow
	}
	if prefix != "" {
		*in.KeyConditionExpression += " AND begins_with(#r, :p)"
		in.ExpressionAttributeValues[":p"] = text(prefix)
	}
	if keys {
		in.ProjectionExpression = aws.String("#c, #r")
	}
	return s.table.Query(ctx, op, in, visit)
}
