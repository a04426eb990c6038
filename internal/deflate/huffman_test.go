package deflate

import (
	"testing"

	"pgregory.net/rapid"
)

// complete fails unless the lengths make a complete code of at most limit bits
// for the symbols that occur, with no rarer symbol shorter than another.
func complete(t *rapid.T, freq []uint32, lengths []uint8, limit int) {
	occur, space := 0, 0
	for s, f := range freq {
		l := int(lengths[s])
		if (f > 0) != (l > 0) || l > limit {
			t.Fatalf("symbol %d occurs %d times, its code has %d bits", s, f, l)
		}
		if f == 0 {
			continue
		}
		occur++
		space += 1 << (limit - l)
		for o, g := range freq {
			if g > f && lengths[o] > lengths[s] {
				t.Fatalf("symbol %d occurs %d times with %d bits, symbol %d %d times with %d", s, f, l, o, g, lengths[o])
			}
		}
	}
	if occur > 1 && space != 1<<limit {
		t.Fatalf("the codes take %d of %d", space, 1<<limit)
	}
}

func TestCodesAreCompleteWithinTheirLimit(t *testing.T) {
	frequency := rapid.OneOf(rapid.Just[uint32](0), rapid.Uint32Range(1, 3), rapid.Uint32Range(1, 64<<10))
	var tr tree
	rapid.Check(t, func(t *rapid.T) {
		limit, most := codeLimit, litSymbols
		if rapid.Bool().Draw(t, "small") {
			limit, most = lengthsLimit, lengthsSymbols
		}
		freq := rapid.SliceOfN(frequency, 1, most).Draw(t, "freq")
		lengths := make([]uint8, len(freq))
		tr.lengths(freq, limit, lengths)
		complete(t, freq, lengths, limit)
	})
}

// Frequencies that grow like Fibonacci's numbers make the deepest tree there is.
func TestADeepTreeIsCutToTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		freq := []uint32{1, 1}
		for len(freq) < rapid.IntRange(2, 40).Draw(t, "symbols") {
			freq = append(freq, freq[len(freq)-1]+freq[len(freq)-2])
		}
		lengths := make([]uint8, len(freq))
		new(tree).lengths(freq, codeLimit, lengths)
		complete(t, freq, lengths, codeLimit)
	})
}

func TestNoCodeBeginsAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		freq := rapid.SliceOfN(rapid.Uint32Range(0, 1000), 2, litSymbols).Draw(t, "freq")
		lengths, codes := make([]uint8, len(freq)), make([]code, len(freq))
		new(tree).lengths(freq, codeLimit, lengths)
		assign(lengths, codes)
		for i, a := range codes {
			for j, b := range codes {
				if i != j && a.len() > 0 && b.len() >= a.len() && b.bits()&(1<<a.len()-1) == a.bits() {
					t.Fatalf("code %d begins code %d: %b, %b", i, j, a.bits(), b.bits())
				}
			}
		}
	})
}

func TestSymbolsAreThoseOfTheRFC(t *testing.T) {
	for _, c := range []struct{ length, symbol, extra int }{
		{3, 257, 0}, {10, 264, 0}, {11, 265, 1}, {12, 265, 1}, {13, 266, 1}, {114, 279, 4}, {115, 280, 4}, {130, 280, 4}, {131, 281, 5}, {227, 284, 5}, {257, 284, 5}, {258, 285, 0},
	} {
		s := lengthSymbol[c.length-minMatch]
		if firstLength+int(s) != c.symbol || int(lengthExtra[s]) != c.extra {
			t.Errorf("length %d has symbol %d and %d extra bits, not %d and %d", c.length, firstLength+int(s), lengthExtra[s], c.symbol, c.extra)
		}
	}
	for _, c := range []struct{ distance, symbol, extra int }{
		{1, 0, 0}, {2, 1, 0}, {4, 3, 0}, {5, 4, 1}, {6, 4, 1}, {7, 5, 1}, {24576, 28, 13}, {24577, 29, 13}, {32768, 29, 13},
	} {
		s := distSymbol(uint(c.distance - 1))
		if int(s) != c.symbol || int(distExtra[s]) != c.extra {
			t.Errorf("distance %d has symbol %d and %d extra bits, not %d and %d", c.distance, s, distExtra[s], c.symbol, c.extra)
		}
	}
}
