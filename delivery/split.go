package delivery

import (
	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
)

// A RecordFormat says what becomes of a user record.
type RecordFormat string

// The formats.
const (
	// Lines splits on newlines, strips one carriage return before each, drops
	// empty lines, and ends every line in exactly one newline.
	Lines RecordFormat = "lines"
	// Raw concatenates records byte for byte, as Firehose does.
	Raw RecordFormat = "raw"
)

// A splitter turns a stream record into the lines to deliver.
type splitter struct {
	raw  bool
	mode consumer.Deaggregation
	hash consumer.HashRange
	skip int64
	// packed: an aggregate was delivered as it is, because unpacking is off.
	packed bool
	emit   func(line []byte, newline bool)
	yield  func(consumer.UserRecord) bool // user, made once so that a record allocates nothing
}

func newSplitter(settings Settings, info standpipe.Shard) splitter {
	hash, err := consumer.RangeOf(info)
	if err != nil { // a listing without hash keys: nothing is outside
		hash = consumer.WholeRange()
	}
	return splitter{raw: settings.RecordFormat == Raw, mode: settings.Deaggregation, hash: hash}
}

// each calls emit for every line of r, leaving out the first skip user
// records. sub is the sub-sequence number of the last user record, 0 for a
// plain record; corrupt says that r only looks like an aggregate and was taken
// as it is.
func (s *splitter) each(r *standpipe.Record, skip int64, emit func(line []byte, newline bool)) (sub int64, corrupt bool) {
	if s.yield == nil {
		s.yield = s.user
	}
	s.emit, s.skip = emit, skip
	res := consumer.Unpack(*r, s.mode, s.hash, s.yield)
	s.packed = s.packed || res.Aggregate && s.mode == consumer.Off
	return max(res.Users-1, 0), res.Corrupt
}

func (s *splitter) user(u consumer.UserRecord) bool {
	if s.skip > 0 {
		s.skip--
		return true
	}
	if s.raw {
		if len(u.Data) > 0 {
			s.emit(u.Data, false)
		}
		return true
	}
	for line := range consumer.Lines(u.Data) {
		s.emit(line, true)
	}
	return true
}
