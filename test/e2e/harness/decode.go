package harness

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Decode returns the bytes an object stands for, by its first bytes. Strict
// where readers in the wild are weak: a gzip object must be exactly one
// member, because some readers stop after the first, and nothing may follow.
func Decode(object []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(object, []byte{0x1f, 0x8b}):
		return gunzip(object)
	case bytes.HasPrefix(object, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return unzstd(object)
	}
	return object, nil
}

// gunzip uses the standard library, not the encoder's: another
// implementation's opinion is worth more.
func gunzip(object []byte) ([]byte, error) {
	// A bufio.Reader keeps gzip from reading ahead of the member's end.
	rest := bufio.NewReader(bytes.NewReader(object))
	z, err := gzip.NewReader(rest)
	if err != nil {
		return nil, fmt.Errorf("read the gzip header: %w", err)
	}
	z.Multistream(false)
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("read the gzip member: %w", err)
	}
	if _, err := rest.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the first gzip member: readers that stop there lose it")
	}
	return text, nil
}

func unzstd(object []byte) ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read the zstd header: %w", err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("read the zstd frames: %w", err)
	}
	return text, nil
}
