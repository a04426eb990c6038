package kinesis

import (
	"encoding/binary"
	"hash/crc32"
)

// contentEvents is the media type of a subscription's answer.
const contentEvents = "application/vnd.amazon.eventstream"

// The headers of a message that this service uses (Smithy, "Amazon event stream").
const (
	messageType   = ":message-type"
	eventType     = ":event-type"
	exceptionType = ":exception-type"
	payloadType   = ":content-type"
)

// stringHeader is the type of a header whose value is text.
const stringHeader = 7

type header struct{ name, value string }

// appendMessage appends one message of application/vnd.amazon.eventstream:
//
//	u32 length of all | u32 length of the headers | u32 CRC-32 of these eight bytes
//	headers: u8 length, name, u8 type, u16 length, value
//	payload
//	u32 CRC-32 of all before it
//
// payload appends its bytes and nothing else.
func appendMessage(b []byte, headers []header, payload func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, 12)...)
	for _, h := range headers {
		b = append(append(b, byte(len(h.name))), h.name...)
		b = binary.BigEndian.AppendUint16(append(b, stringHeader), uint16(len(h.value)))
		b = append(b, h.value...)
	}
	headed := len(b) - start - 12
	b = payload(b)
	message := b[start:]
	binary.BigEndian.PutUint32(message, uint32(len(message)+4))
	binary.BigEndian.PutUint32(message[4:], uint32(headed))
	binary.BigEndian.PutUint32(message[8:], crc32.ChecksumIEEE(message[:8]))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(message))
}
