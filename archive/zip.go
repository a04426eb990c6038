package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// Parts of a zip file (APPNOTE.TXT, 4.3).
const (
	zipLocal      = 0x04034b50
	zipDescriptor = 0x08074b50
	zipCentral    = 0x02014b50
	zipEnd        = 0x06054b50
	zipEnd64      = 0x06064b50
	zipLocator64  = 0x07064b50

	zipFlagEncrypted  = 1 << 0
	zipFlagDescriptor = 1 << 3
	zipStored         = 0
	zipDeflated       = 8
)

// A zipReader reads the entries of a zip file from front to back, as one
// stream: an object need not be kept to reach the directory at its end. The
// directory is still looked for, because a file without one is cut short.
type zipReader struct {
	in    *bufio.Reader
	at    func() int64 // stored bytes used up
	flate io.ReadCloser
	crc   hash.Hash32

	entry   io.Reader // the open entry, nil between two
	head    zipHead
	began   int64 // where the data of the entry began
	plain   int64 // bytes of the entry so far
	entries int
	done    bool
}

type zipHead struct {
	flags, method uint16
	crc           uint32
	packed, plain int64
}

func (z *zipReader) reset(in *bufio.Reader, at func() int64) {
	z.in, z.at, z.entry, z.entries, z.done = in, at, nil, 0, false
	if z.crc == nil {
		z.crc = crc32.NewIEEE()
	}
}

func (z *zipReader) Read(p []byte) (int, error) {
	for !z.done {
		if z.entry == nil {
			if err := z.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := z.entry.Read(p)
		z.crc.Write(p[:n])
		z.plain += int64(n)
		if errors.Is(err, io.EOF) {
			err = z.endEntry()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

func (z *zipReader) Close() error { return nil }

// next opens the next entry or reads the directory.
func (z *zipReader) next() error {
	var sig [4]byte
	if err := z.full(sig[:]); err != nil {
		return err
	}
	switch s := binary.LittleEndian.Uint32(sig[:]); s {
	case zipLocal:
		return z.open()
	case zipCentral, zipEnd, zipEnd64:
		return z.directory(s)
	default:
		return fmt.Errorf("neither an entry nor the directory begins with %#08x", s)
	}
}

func (z *zipReader) open() error {
	var b [26]byte
	if err := z.full(b[:]); err != nil {
		return err
	}
	le := binary.LittleEndian
	z.head = zipHead{
		flags: le.Uint16(b[2:]), method: le.Uint16(b[4:]), crc: le.Uint32(b[10:]),
		packed: int64(le.Uint32(b[14:])), plain: int64(le.Uint32(b[18:])),
	}
	rest := make([]byte, int(le.Uint16(b[22:]))+int(le.Uint16(b[24:])))
	if err := z.full(rest); err != nil {
		return err
	}
	z.head.wide(rest[le.Uint16(b[22:]):])
	z.crc.Reset()
	z.plain, z.began = 0, z.at()
	z.entries++
	switch {
	case z.head.flags&zipFlagEncrypted != 0:
		return errors.New("the entry is encrypted")
	case z.head.method == zipDeflated && z.flate == nil:
		z.flate = flate.NewReader(z.in)
		z.entry = z.flate
	case z.head.method == zipDeflated:
		z.entry = z.flate
		return z.flate.(flate.Resetter).Reset(z.in, nil)
	case z.head.method == zipStored && z.head.flags&zipFlagDescriptor == 0:
		z.entry = io.LimitReader(z.in, z.head.packed)
	default:
		return fmt.Errorf("an entry with method %d and flags %#x cannot be read from front to back", z.head.method, z.head.flags)
	}
	return nil
}

// wide takes the sizes of more than 4 GiB from the extra field (4.5.3).
func (h *zipHead) wide(extra []byte) {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return
		}
		if id == 1 && n >= 16 && h.packed == 0xffffffff && h.plain == 0xffffffff {
			h.plain, h.packed = int64(le.Uint64(extra)), int64(le.Uint64(extra[8:]))
		}
		extra = extra[n:]
	}
}

// endEntry holds what was read against what the entry says of itself.
func (z *zipReader) endEntry() error {
	z.entry = nil
	packed := z.at() - z.began
	if z.head.flags&zipFlagDescriptor != 0 {
		return z.descriptor(packed)
	}
	if z.crc.Sum32() != z.head.crc || z.plain != z.head.plain || packed != z.head.packed {
		return errors.New("checksum or length of the entry is wrong")
	}
	return nil
}

// descriptor reads the record behind an entry. Its signature is optional and
// its lengths have 4 or 8 bytes, which nothing says; the one that agrees with
// what was read is it (4.3.9).
func (z *zipReader) descriptor(packed int64) error {
	le := binary.LittleEndian
	crc := le.AppendUint32(nil, z.crc.Sum32())
	short := le.AppendUint32(le.AppendUint32(bytes.Clone(crc), uint32(packed)), uint32(z.plain))
	wide := le.AppendUint64(le.AppendUint64(bytes.Clone(crc), uint64(packed)), uint64(z.plain))
	sig := le.AppendUint32(nil, zipDescriptor)
	head, err := z.in.Peek(24)
	for _, form := range [][]byte{append(bytes.Clone(sig), wide...), append(bytes.Clone(sig), short...), wide, short} {
		if bytes.HasPrefix(head, form) {
			_, err := z.in.Discard(len(form))
			return err
		}
	}
	if err != nil && len(head) < 16 {
		return io.ErrUnexpectedEOF
	}
	return errors.New("checksum or length of the entry is wrong")
}

// directory reads to the end record, which says how many entries there were.
func (z *zipReader) directory(sig uint32) error {
	for {
		var err error
		switch sig {
		case zipCentral:
			err = z.skip(42, 24, 26, 28)
		case zipEnd64:
			err = z.skip64()
		case zipLocator64:
			err = z.skip(16)
		case zipEnd:
			return z.end()
		default:
			err = fmt.Errorf("no part of the directory begins with %#08x", sig)
		}
		if err != nil {
			return err
		}
		var b [4]byte
		if err := z.full(b[:]); err != nil {
			return err
		}
		sig = binary.LittleEndian.Uint32(b[:])
	}
}

// skip reads over a record of n bytes and the fields whose lengths stand at
// the given offsets.
func (z *zipReader) skip(n int, lengths ...int) error {
	b := make([]byte, n)
	if err := z.full(b); err != nil {
		return err
	}
	more := 0
	for _, at := range lengths {
		more += int(binary.LittleEndian.Uint16(b[at:]))
	}
	_, err := z.in.Discard(more)
	return cut(err)
}

func (z *zipReader) skip64() error {
	var b [8]byte
	if err := z.full(b[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > 1<<20 {
		return fmt.Errorf("an end record of %d bytes", n)
	}
	_, err := z.in.Discard(int(n))
	return cut(err)
}

func (z *zipReader) end() error {
	var b [18]byte
	if err := z.full(b[:]); err != nil {
		return err
	}
	if n := int(binary.LittleEndian.Uint16(b[6:])); n != 0xffff && n != z.entries&0xffff {
		return fmt.Errorf("the directory counts %d entries, %d are there", n, z.entries)
	}
	z.done = true
	_, err := z.in.Discard(int(binary.LittleEndian.Uint16(b[16:]))) // a comment
	return cut(err)
}

func (z *zipReader) full(b []byte) error {
	_, err := io.ReadFull(z.in, b)
	return cut(err)
}

// cut makes the end of the bytes in the middle of something an error.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
