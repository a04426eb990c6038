package sink

import "hash/crc32"

// A gf2 is a 32x32 matrix over GF(2): row i is the image of bit i.
type gf2 [32]uint32

func (m *gf2) times(v uint32) uint32 {
	var sum uint32
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *gf2) square() gf2 {
	var sq gf2
	for i := range sq {
		sq[i] = m.times(m[i])
	}
	return sq
}

// zeros[k] is the matrix that moves a CRC-32 over 2^k zero bytes.
var zeros = func() (z [63]gf2) {
	var bit gf2 // moves a CRC over one zero bit
	bit[0] = crc32.IEEE
	for i := 1; i < 32; i++ {
		bit[i] = 1 << (i - 1)
	}
	two := bit.square()
	four := two.square()
	z[0] = four.square()
	for k := 1; k < len(z); k++ {
		z[k] = z[k-1].square()
	}
	return z
}()

// combineCRC32 returns the IEEE CRC-32 of A followed by B from that of A, that
// of B and B's length in bytes, in O(log length). Appending n zero bits is a
// linear map of the register, hence the matrices.
func combineCRC32(a, b uint32, lengthB int64) uint32 {
	for k := 0; lengthB > 0; k, lengthB = k+1, lengthB>>1 {
		if lengthB&1 != 0 {
			a = zeros[k].times(a)
		}
	}
	return a ^ b
}
