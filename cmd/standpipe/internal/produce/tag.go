package produce

import (
	"bytes"
	"errors"
	"strconv"
)

// A Tag marks each record so that an audit can tell which ones arrived: two
// fields at the end of the JSON object, "_run" and "_n". Used by one goroutine.
type Tag struct {
	Run string
	n   int64
}

// add returns line with the tag. The text of the line is kept as it is: it is
// not decoded and written anew.
func (t *Tag) add(line []byte) ([]byte, error) {
	body := bytes.TrimSpace(line)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return nil, errors.New("--tag needs JSON objects")
	}
	body = bytes.TrimRight(body[:len(body)-1], " \t\r\n")
	t.n++
	b := make([]byte, 0, len(body)+len(t.Run)+32)
	b = append(b, body...)
	if len(body) > 1 {
		b = append(b, ',')
	}
	b = append(b, `"_run":`...)
	b = append(b, jsonString(t.Run)...)
	b = append(b, `,"_n":`...)
	b = strconv.AppendInt(b, t.n, 10)
	return append(b, '}'), nil
}
