package deflate

import "math/bits"

// RFC 1951, section 3.2.5: literals and lengths share an alphabet, distances
// have their own.
const (
	endOfBlock  = 256
	firstLength = 257
	litSymbols  = 286
	distSymbols = 30

	minMatch = 3
	maxMatch = 258
)

// A length is kept less minMatch, so that it fits in a byte. lengthSymbol is
// the symbol of each, less firstLength; lengthBase and lengthExtra are a
// symbol's least length and the bits that follow it.
var lengthSymbol, lengthBase, lengthExtra = func() (symbol, base, extra [256]uint8) {
	length := 0
	for s := range 28 {
		base[s] = uint8(length)
		if s >= 8 {
			extra[s] = uint8(s/4 - 1)
		}
		for range 1 << extra[s] {
			symbol[length&255] = uint8(s)
			length++
		}
	}
	// The greatest length has a symbol of its own, although the last but one
	// could say it.
	symbol[255], base[28], extra[28] = 28, 255, 0
	return symbol, base, extra
}()

// distExtra is how many bits follow a symbol; 32 entries, so that five bits
// are an index in bounds.
var distExtra = [32]uint8{
	0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
	7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
}

// distSymbol is the symbol of a distance less 1, which its low bits follow.
func distSymbol(d uint) uint {
	if d < 2 {
		return d
	}
	n := uint(bits.Len(d)) - 1
	return 2*n + d>>(n-1)&1
}
