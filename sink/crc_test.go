package sink

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

func TestCombinedChecksumsAreThoseOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.Byte()).Draw(t, "a")
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "b")
		got := combineCRC32(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), int64(len(b)))
		if want := crc32.ChecksumIEEE(append(a, b...)); got != want {
			t.Fatalf("%08x, want %08x", got, want)
		}
	})
	zeros := make([]byte, 5<<20+1)
	a, b := crc32.ChecksumIEEE([]byte("x")), crc32.ChecksumIEEE(zeros)
	if got, want := combineCRC32(a, b, int64(len(zeros))), crc32.Update(a, crc32.IEEETable, zeros); got != want {
		t.Fatalf("long: %08x, want %08x", got, want)
	}
}

func TestAnUploadsChecksumIsThatOfItsObject(t *testing.T) {
	whole := []byte("three parts, one of them empty")
	var u Upload
	for _, p := range [][]byte{whole[:7], nil, whole[7:]} {
		u.Parts = append(u.Parts, Part{Size: int64(len(p)), CRC32: crc32.ChecksumIEEE(p)})
	}
	if got, want := u.CRC32(), crc32.ChecksumIEEE(whole); got != want {
		t.Fatalf("%08x, want %08x", got, want)
	}
}
