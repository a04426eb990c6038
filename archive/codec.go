package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A Codec is how the bytes of an object are compressed.
type Codec string

// The codecs that are read: what Firehose writes, what standpipe writes, and
// the official snappy framing, which other writers use.
const (
	None         Codec = "none"
	Gzip         Codec = "gzip"          // RFC 1952, any number of members
	Zip          Codec = "zip"           // the entries of the file, one after the other
	Snappy       Codec = "snappy"        // snappy-java's stream ("xerial"), Firehose's Snappy
	HadoopSnappy Codec = "hadoop_snappy" // Hadoop's block format
	SnappyFramed Codec = "snappy_framed" // google/snappy framing_format.txt
	Zstd         Codec = "zstd"          // RFC 8878, any number of frames
)

// A CorruptError says that an object cannot be read to its end.
type CorruptError struct {
	Key   string
	Codec Codec
	// Offset counts the stored bytes that were used up when it was noticed; the
	// fault lies there or shortly before.
	Offset int64
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: %s at byte %d: %v", e.Key, e.Codec, e.Offset, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// headSize is how many bytes the codec is told by.
const headSize = 32

var (
	magicGzip   = []byte{0x1f, 0x8b}
	magicZip    = []byte("PK\x03\x04")
	magicNoZip  = []byte("PK\x05\x06") // a zip without entries
	magicXerial = []byte("\x82SNAPPY\x00")
	magicFramed = []byte("\xff\x06\x00\x00sNaPpY")
)

// foreign are formats that archives hold and nobody here reads. Taken for
// plain text they would be lines that no other archive has.
var foreign = []struct{ name, magic string }{
	{"bzip2", "BZh91AY&SY"},
	{"xz", "\xfd7zXZ\x00"},
	{"lz4", "\x04\x22\x4d\x18"},
	{"Parquet", "PAR1\x15"},
	{"Avro", "Obj\x01"},
	{"ORC", "ORC\x08"},
	{"ORC", "ORC\x0a"},
	{"7z", "7z\xbc\xaf\x27\x1c"},
}

// sniff tells the codec by the first bytes of an object, or all of them if it
// is shorter than headSize.
func sniff(head []byte) (Codec, error) {
	switch {
	case bytes.HasPrefix(head, magicGzip):
		return Gzip, nil
	case bytes.HasPrefix(head, magicZip), bytes.HasPrefix(head, magicNoZip):
		return Zip, nil
	case isZstd(head):
		return Zstd, nil
	case begins(head, magicXerial):
		return Snappy, nil
	case begins(head, magicFramed):
		return SnappyFramed, nil
	case isHadoop(head):
		return HadoopSnappy, nil
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return None, fmt.Errorf("the object is %s: only %s, %s, %s, %s, %s, %s and plain text are read",
				f.name, Gzip, Zip, Snappy, HadoopSnappy, SnappyFramed, Zstd)
		}
	}
	return None, nil
}

// begins says whether an object begins with magic, or is cut within it.
func begins(head, magic []byte) bool {
	return bytes.HasPrefix(head, magic) || len(head) >= 4 && bytes.HasPrefix(magic, head)
}

// isZstd knows a frame and a skippable frame, which may come first (RFC 8878, 3.1).
func isZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	n := binary.LittleEndian.Uint32(head)
	return n == 0xfd2fb528 || n&^0xf == 0x184d2a50
}

// isHadoop knows Hadoop's blocks, which have no magic: the plain length of a
// block, the length of its first chunk, and the chunk, which begins with its
// own plain length. Text never looks so: four bytes of it are a length of half
// a gigabyte and more. A few bytes that might be the beginning of a block are
// taken for one, cut short: better an error than a line of noughts.
func isHadoop(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	block := binary.BigEndian.Uint32(head)
	if len(head) < 9 {
		return block <= blockMax
	}
	chunk := binary.BigEndian.Uint32(head[4:])
	plain, n := binary.Uvarint(head[8:])
	return block > 0 && block <= blockMax && chunk > 0 && chunk <= chunkMax(block) &&
		n > 0 && plain > 0 && plain <= uint64(block)
}
