package kcl

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// A Row is a lease of a table that may be KCL's, ours, or both in turn.
type Row struct {
	// Key is the row's key: the shard id, or a multi-stream key that ends in it.
	Key string
	// Lease is what the row says; its Shard is the bare shard id.
	Lease checkpoint.Lease
	// Stream is set by a multi-stream key.
	Stream Stream
	// HandOff is the old owner while a 3.x fleet hands the lease over.
	HandOff string
	// Ours: standpipe wrote the row last.
	Ours bool
	// Err is why the row cannot be read; the lease is then empty.
	Err error
}

// A Stream is what a multi-stream key says of its stream.
type Stream struct {
	Account, Name string
	// Created is in Unix seconds.
	Created int64
}

func (s Stream) String() string {
	return s.Account + ":" + s.Name + ":" + strconv.FormatInt(s.Created, 10)
}

// Rows reads the leases among the items of a table, ordered by key. Workers and
// the other entities of KCL 3.5 are left out.
func Rows(items []Item) []Row {
	var rows []Row
	for _, item := range items {
		if IsLease(item) {
			rows = append(rows, rowOf(item))
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Key, b.Key) })
	return rows
}

func rowOf(item Item) Row {
	row := Row{Key: plainText(item, Key), HandOff: plainText(item, HandOffOwner), Ours: Ours(item)}
	row.Lease, row.Err = DecodeLease(item)
	if stream, shard, ok := parseKey(row.Key); ok {
		row.Stream = stream
		row.Lease.Shard = shard
	}
	return row
}

// parseKey takes a multi-stream key apart: account:stream:epoch:shard.
func parseKey(key string) (Stream, standpipe.ShardID, bool) {
	parts := strings.Split(key, ":")
	if len(parts) != 4 {
		return Stream{}, "", false
	}
	created, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return Stream{}, "", false
	}
	return Stream{Account: parts[0], Name: parts[1], Created: created}, standpipe.ShardID(parts[3]), true
}

// key is the row key of a shard in the form that s asks for.
func (s Stream) key(shard standpipe.ShardID) string {
	if s == (Stream{}) {
		return string(shard)
	}
	return s.String() + ":" + string(shard)
}

// plainText is an attribute's text, or empty for whatever else it is.
func plainText(item Item, name string) string {
	if s, ok := item[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// A Rewrite is one conditional write on a row, by whoever takes a table over or
// hands it back. The counter moves with it, so that a KCL worker that still
// believes to own the row is refused.
type Rewrite struct {
	Key string
	// Counter is what the row's must be; nil says that there must be no row.
	Counter *int64
	Set     Item
	Remove  []string
}
