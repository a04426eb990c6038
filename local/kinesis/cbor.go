package kinesis

import (
	"encoding/binary"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// The major types of CBOR (RFC 8949, section 3.1).
const (
	cborBytes byte = 2
	cborText  byte = 3
	cborArray byte = 4
	cborMap   byte = 5
	cborTag   byte = 6
	cborOther byte = 7

	cborIndefinite = 31   // additional information: the length is not told
	cborBreak      = 0xff // ends what is indefinite
	cborNull       = 0xf6
	cborUndefined  = 0xf7
)

// cborCodec is application/x-amz-cbor-1.1, what the AWS SDKs for Java speak.
// Blobs are byte strings; times have tag 1 and, unlike RFC 8949, integer
// milliseconds: a Java client takes seconds for a day in January 1970.
type cborCodec struct{}

func (cborCodec) contentType() string { return contentCBOR }

func (cborCodec) scan(body []byte) reader { return &cborScanner{b: body} }

var cborDecoding = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		MaxNestedLevels:   depthMax,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil { // constants
		panic(err)
	}
	return m
}()

func (cborCodec) decode(body []byte, into any) error {
	if cborDecoding.Unmarshal(body, into) != nil {
		return serialization("")
	}
	return nil
}

func (cborCodec) append(b []byte, answer any) []byte {
	if answer == nil {
		return append(b, 0xa0) // an empty map
	}
	if a, ok := answer.(appender); ok {
		return a.appendCBOR(b)
	}
	out, err := cbor.Marshal(answer)
	if err != nil { // our own structs of strings and numbers
		panic(err)
	}
	return append(b, out...)
}

// MarshalCBOR writes tag 1 and integer milliseconds.
func (t instant) MarshalCBOR() ([]byte, error) { return appendCBORTime(nil, int64(t)), nil }

// UnmarshalCBOR reads seconds or milliseconds, with a tag or without.
func (t *instant) UnmarshalCBOR(b []byte) error {
	var s float64
	if len(b) > 0 && b[0]>>5 == cborTag {
		var tagged cbor.RawTag
		if err := cbor.Unmarshal(b, &tagged); err != nil {
			return err
		}
		b = tagged.Content
	}
	if err := cbor.Unmarshal(b, &s); err != nil {
		return err
	}
	return t.set(s)
}

// appendHead appends the head of a data item: its major type and its length or
// value.
func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func appendCBORText[T string | []byte](b []byte, s T) []byte {
	return append(appendHead(b, cborText, uint64(len(s))), s...)
}

func appendCBORBytes(b, data []byte) []byte {
	return append(appendHead(b, cborBytes, uint64(len(data))), data...)
}

func appendCBORInt(b []byte, v int64) []byte {
	if v < 0 {
		return appendHead(b, 1, uint64(-1-v))
	}
	return appendHead(b, 0, uint64(v))
}

func appendCBORTime(b []byte, ms int64) []byte {
	return appendCBORInt(appendHead(b, cborTag, 1), ms)
}

// A cborScanner is the reader of CBOR. It takes definite and indefinite lengths;
// every error is a SerializationException.
type cborScanner struct {
	b []byte
	i int
}

func (s *cborScanner) wrong() error { return serialization("") }

// head reads the head of the next item and passes over tags before it.
func (s *cborScanner) head() (major byte, n uint64, indefinite bool, err error) {
	for {
		if s.i >= len(s.b) {
			return 0, 0, false, s.wrong()
		}
		c := s.b[s.i]
		s.i++
		major, n = c>>5, uint64(c&31)
		switch {
		case n == cborIndefinite:
			indefinite = true
		case n >= 28:
			return 0, 0, false, s.wrong()
		case n >= 24:
			size := 1 << (n - 24)
			if len(s.b)-s.i < size {
				return 0, 0, false, s.wrong()
			}
			var wide [8]byte
			copy(wide[8-size:], s.b[s.i:s.i+size])
			n = binary.BigEndian.Uint64(wide[:])
			s.i += size
		}
		if major != cborTag {
			return major, n, indefinite, nil
		}
		if indefinite {
			return 0, 0, false, s.wrong()
		}
	}
}

func (s *cborScanner) null() bool {
	if s.i < len(s.b) && (s.b[s.i] == cborNull || s.b[s.i] == cborUndefined) {
		s.i++
		return true
	}
	return false
}

// broken passes over the end of something indefinite and reports whether it
// was there.
func (s *cborScanner) broken() bool {
	if s.i < len(s.b) && s.b[s.i] == cborBreak {
		s.i++
		return true
	}
	return false
}

// str reads a string of that major type; chunks of an indefinite one are joined.
func (s *cborScanner) str(want byte) ([]byte, error) {
	major, n, indefinite, err := s.head()
	switch {
	case err != nil:
		return nil, err
	case major == cborMap:
		return nil, serialization("Start of structure or map found where not expected.")
	case major == cborArray:
		return nil, serialization("Start of list found where not expected")
	case major != want:
		return nil, s.wrong()
	case !indefinite:
		return s.cut(n)
	}
	joined := []byte{}
	for !s.broken() {
		major, n, indefinite, err := s.head()
		if err != nil || major != want || indefinite {
			return nil, s.wrong()
		}
		part, err := s.cut(n)
		if err != nil {
			return nil, err
		}
		joined = append(joined, part...)
	}
	return joined, nil
}

// cut takes n bytes; the result is not nil.
func (s *cborScanner) cut(n uint64) ([]byte, error) {
	if n > uint64(len(s.b)-s.i) {
		return nil, s.wrong()
	}
	part := s.b[s.i : s.i+int(n) : s.i+int(n)]
	s.i += int(n)
	return part, nil
}

func (s *cborScanner) text() ([]byte, error) {
	if s.null() {
		return nil, nil
	}
	return s.str(cborText)
}

// blob needs no arena: the bytes are in the body as they are.
func (s *cborScanner) blob(*arena) ([]byte, error) {
	if s.null() {
		return nil, nil
	}
	return s.str(cborBytes)
}

func (s *cborScanner) flag() (bool, error) {
	if s.null() {
		return false, nil
	}
	major, n, _, err := s.head()
	if err != nil || major != cborOther || n != 20 && n != 21 {
		return false, s.wrong()
	}
	return n == 21, nil
}

func (s *cborScanner) object(member func(name []byte) error) error {
	return s.each(cborMap, func() error {
		name, err := s.str(cborText)
		if err != nil {
			return err
		}
		return member(name)
	})
}

func (s *cborScanner) list(item func() error) error { return s.each(cborArray, item) }

// each calls item before each item of an array or pair of a map.
func (s *cborScanner) each(want byte, item func() error) error {
	major, n, indefinite, err := s.head()
	if err != nil {
		return err
	}
	if major != want {
		if want == cborArray {
			return serialization("Expected list or null")
		}
		return s.wrong()
	}
	for left := n; indefinite || left > 0; left-- {
		if indefinite && s.broken() {
			return nil
		}
		if err := item(); err != nil { // a length beyond the body ends here
			return err
		}
	}
	return nil
}

func (s *cborScanner) skip() error { return s.pass(0) }

func (s *cborScanner) pass(depth int) error {
	if depth == depthMax {
		return s.wrong()
	}
	start := s.i
	major, _, indefinite, err := s.head()
	if err != nil {
		return err
	}
	switch major {
	case cborBytes, cborText:
		s.i = start
		_, err = s.str(major)
		return err
	case cborArray, cborMap:
		s.i = start
		return s.each(major, func() error {
			if major == cborMap {
				if err := s.pass(depth + 1); err != nil {
					return err
				}
			}
			return s.pass(depth + 1)
		})
	}
	if indefinite { // a break where a value has to be
		return s.wrong()
	}
	return nil // numbers and simple values are all head
}

func (s *cborScanner) end() error {
	if s.i != len(s.b) {
		return s.wrong()
	}
	return nil
}
