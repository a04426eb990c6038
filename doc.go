// Package standpipe holds the words of the domain: what is read from a stream
// (Record), where a reader stands (Position), why a batch is cut (SealReason),
// why a shard is left (StopReason), what an object contains (Digest), and the
// classes an error can belong to.
//
// It promises to stay small and pure: no I/O, no clock, no AWS, no logging.
// Every other package speaks these words and not one another's; package
// delivery joins them and cmd/standpipe wires them.
//
// One word has one meaning throughout the project:
//
//	stream, shard, parent, child   Kinesis's own
//	record                         one Kinesis stream record
//	user record                    what a producer sent; a KPL aggregate record holds many
//	line                           what is delivered: a user record split on newlines
//	page                           the answer to one GetRecords
//	position                       sequence number + sub-sequence number, or a sentinel
//	batch                          lines for one prefix of one shard, bounded
//	flush                          all open batches of a shard, delivered by one intent
//	object, key                    the S3 object and its full name
//	stage, prepare, publish, commit  the four steps of delivery, see package delivery
package standpipe
