package consumer

import (
	"crypto/md5"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendAggregate appends the KPL aggregate of the user records to dst: what a
// producer that wants fewer, fuller stream records puts. Keys are entered into
// the tables once. Sub is ignored: the order is the order. Keeping all of them
// within one shard is the caller's task, and so is the size limit of a record.
func AppendAggregate(dst []byte, users []UserRecord) []byte {
	var body []byte
	keys, hashes := map[string]uint64{}, map[string]uint64{}
	enter := func(table map[string]uint64, field protowire.Number, v []byte) {
		if _, ok := table[string(v)]; !ok {
			table[string(v)] = uint64(len(table))
			body = protowire.AppendTag(body, field, protowire.BytesType)
			body = protowire.AppendBytes(body, v)
		}
	}
	for _, u := range users {
		enter(keys, 1, u.PartitionKey)
		if u.ExplicitHashKey != nil {
			enter(hashes, 2, u.ExplicitHashKey)
		}
	}
	var rec []byte
	for _, u := range users {
		rec = protowire.AppendTag(rec[:0], 1, protowire.VarintType)
		rec = protowire.AppendVarint(rec, keys[string(u.PartitionKey)])
		if u.ExplicitHashKey != nil {
			rec = protowire.AppendTag(rec, 2, protowire.VarintType)
			rec = protowire.AppendVarint(rec, hashes[string(u.ExplicitHashKey)])
		}
		rec = protowire.AppendTag(rec, 3, protowire.BytesType)
		rec = protowire.AppendBytes(rec, u.Data)
		body = protowire.AppendTag(body, 3, protowire.BytesType)
		body = protowire.AppendBytes(body, rec)
	}
	sum := md5.Sum(body)
	dst = append(dst, magic...)
	dst = append(dst, body...)
	return append(dst, sum[:]...)
}
