package harness

import "slices"

// Pack makes records of lines the way producers do: some with a newline at
// the end, some without, some with \r\n, some two lines in one record. The
// multiset of lines is unchanged.
func Pack(lines [][]byte) [][]byte {
	var records [][]byte
	for i := 0; i < len(lines); i++ {
		switch i % 5 {
		case 0:
			records = append(records, lines[i])
		case 1:
			records = append(records, slices.Concat(lines[i], []byte("\r\n")))
		case 2:
			if i+1 < len(lines) {
				records = append(records, slices.Concat(lines[i], []byte("\n"), lines[i+1], []byte("\n")))
				i++
				continue
			}
			fallthrough
		default:
			records = append(records, slices.Concat(lines[i], []byte("\n")))
		}
	}
	return records
}
