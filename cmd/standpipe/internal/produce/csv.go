package produce

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const byteOrderMark = "\ufeff"

// readCSV gives each row after the header as a JSON object whose names are the
// header's, in its order, and whose values are strings: CSV has no numbers, and
// guessing them loses leading zeros. A row that can't be read costs only itself.
func readCSV(r io.Reader, label, encoding string, yield func(Record, error) bool) (bool, error) {
	guard := &rowGuard{r: r}
	in := bufio.NewReader(guard)
	// Excel begins UTF-8 files with a byte order mark. Before a quote it would be
	// a field's beginning, and the quote an error. What Peek lacks, Read tells.
	if mark, _ := in.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = in.Discard(len(byteOrderMark)) // it was just seen
	}
	c := csv.NewReader(in)
	c.ReuseRecord = true
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("csv header: %w", err)
	}
	if reason := badText(header, encoding); reason != "" {
		return false, fmt.Errorf("csv header: %s", reason)
	}
	names, err := objectNames(header)
	if err != nil {
		return false, fmt.Errorf("csv header: %w", err)
	}
	for {
		guard.row()
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		record := Record{Source: label}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			record.Line = int64(parse.StartLine)
			err = record.reject("csv: %v", parse.Err)
			if errors.Is(parse.Err, csv.ErrFieldCount) {
				err = record.reject("csv: %d fields, the header has %d", len(row), len(names))
			}
		} else if err != nil {
			return false, err
		} else {
			line, _ := c.FieldPos(0)
			record.Line = int64(line)
			if reason := badText(row, encoding); reason != "" {
				err = record.reject("%s", reason)
			} else {
				record.Data = appendObject(nil, names, row)
			}
		}
		if !yield(record, err) {
			return false, nil
		}
	}
}

// badText says why fields can't become JSON text, or nothing. A decoder writes
// U+FFFD for bytes it doesn't know, and CP949 has no such character of its own.
func badText(fields []string, encoding string) string {
	for _, f := range fields {
		if encoding != EncodingUTF8 && encoding != "" {
			if strings.ContainsRune(f, utf8.RuneError) {
				return "holds bytes that are not " + encoding
			}
		} else if !utf8.ValidString(f) {
			return "holds bytes that are not UTF-8; Korean files often need --encoding cp949"
		}
	}
	return ""
}

// objectNames renders the header once: `"name":`, escaped.
func objectNames(header []string) ([][]byte, error) {
	names, columns := make([][]byte, len(header)), make(map[string]int, len(header))
	for i, h := range header {
		h = strings.TrimSpace(h)
		if first, twice := columns[h]; twice {
			return nil, fmt.Errorf("%q names columns %d and %d; give each a name of its own", h, first+1, i+1)
		}
		columns[h] = i
		names[i] = append(jsonString(h), ':')
	}
	return names, nil
}

func appendObject(b []byte, names [][]byte, row []string) []byte {
	b = append(b, '{')
	for i, v := range row {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, names[i]...)
		b = append(b, jsonString(v)...)
	}
	return append(b, '}')
}

// jsonString is s as JSON, without the HTML escapes of json.Marshal.
func jsonString(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// A rowGuard stops a quote left open from reading a whole file into memory:
// encoding/csv has no limit of its own.
type rowGuard struct {
	r io.Reader
	n int
}

// row begins a new row. What encoding/csv read ahead for the last one, at most
// 4 KiB, is forgiven.
func (g *rowGuard) row() { g.n = 0 }

func (g *rowGuard) Read(p []byte) (int, error) {
	if g.n > LineMax {
		return 0, fmt.Errorf("csv row longer than %d bytes: is a quote left open?", LineMax)
	}
	n, err := g.r.Read(p)
	g.n += n
	return n, err
}
