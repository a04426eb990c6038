package harness

import (
	"bytes"
	"crypto/md5"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// kplMagic begins an aggregate of the Kinesis Producer Library (aggregation-format.md).
var kplMagic = []byte{0xf3, 0x89, 0x9a, 0xc2}

// Aggregate packs user records into one stream record, as the KPL does.
func Aggregate(users ...[]byte) []byte {
	body := protowire.AppendTag(nil, 1, protowire.BytesType) // partition_key_table
	body = protowire.AppendString(body, "k")
	for _, u := range users {
		record := protowire.AppendTag(nil, 1, protowire.VarintType) // partition_key_index
		record = protowire.AppendVarint(record, 0)
		record = protowire.AppendTag(record, 3, protowire.BytesType) // data
		record = protowire.AppendBytes(record, u)
		body = protowire.AppendTag(body, 3, protowire.BytesType) // records
		body = protowire.AppendBytes(body, record)
	}
	sum := md5.Sum(body)
	return append(append(bytes.Clone(kplMagic), body...), sum[:]...)
}

// UserRecords unpacks a stream record: an aggregate's user records, or the
// record itself.
func UserRecords(data []byte) ([][]byte, error) {
	if !bytes.HasPrefix(data, kplMagic) || len(data) < len(kplMagic)+md5.Size {
		return [][]byte{data}, nil
	}
	body := data[len(kplMagic) : len(data)-md5.Size]
	if sum := md5.Sum(body); !bytes.Equal(sum[:], data[len(data)-md5.Size:]) {
		return [][]byte{data}, nil
	}
	var users [][]byte
	err := fields(body, func(number protowire.Number, record []byte) error {
		if number != 3 {
			return nil
		}
		return fields(record, func(number protowire.Number, value []byte) error {
			if number == 3 {
				users = append(users, value)
			}
			return nil
		})
	})
	return users, err
}

// fields walks the length-delimited fields of a message.
func fields(message []byte, each func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("read an aggregate: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if kind == protowire.BytesType {
			value, m := protowire.ConsumeBytes(message)
			if m < 0 {
				return fmt.Errorf("read an aggregate: %w", protowire.ParseError(m))
			}
			if err := each(number, value); err != nil {
				return err
			}
			n = m
		} else if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return fmt.Errorf("read an aggregate: %w", protowire.ParseError(n))
		}
		message = message[n:]
	}
	return nil
}
