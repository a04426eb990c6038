package sink

import (
	_ "embed"
	"strings"
	"sync"
	"time"
)

// zoneFile has a line per zone, written by testdata/Goldens.java from Java's
// (Unicode CLDR) English names: id, then standard, daylight and generic name,
// each short and full, separated by tabs.
//
//go:embed zones.tsv
var zoneFile string

var zoneNames = sync.OnceValue(func() map[string][]string {
	m := make(map[string][]string)
	for line := range strings.Lines(zoneFile) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(f) == 7 {
			m[f[0]] = f[1:]
		}
	}
	return m
})

// Columns of zoneNames; the full name is the next column.
const (
	standardName  = 0
	daylightName  = 2
	genericColumn = 4
)

func specificName(t time.Time) int {
	if daylight(t) {
		return daylightName
	}
	return standardName
}

func genericName(time.Time) int { return genericColumn }

// daylight is Java's notion, which never has winter time as the exception:
// where the zone file says so (Europe/Dublin), the larger offset is daylight time.
func daylight(t time.Time) bool {
	_, offset := t.Zone()
	from, to := t.ZoneBounds()
	neighbour := to
	if !from.IsZero() {
		neighbour = from.Add(-time.Second)
	}
	if neighbour.IsZero() || neighbour.IsDST() == t.IsDST() {
		return t.IsDST()
	}
	_, other := neighbour.Zone()
	return offset > other
}

func zoneText(column func(time.Time) int) func(int) step {
	return func(count int) step {
		if count > 4 {
			return nil
		}
		full := count / 4
		return func(dst []byte, t time.Time) []byte {
			id := t.Location().String()
			if n := zoneNames()[id]; n != nil {
				return append(dst, n[column(t)+full]...)
			}
			return append(dst, id...)
		}
	}
}

func zoneID(count int) step {
	if count != 2 {
		return nil
	}
	return func(dst []byte, t time.Time) []byte { return append(dst, t.Location().String()...) }
}

// appendOffset prints ±HH, and minutes and seconds as asked.
func appendOffset(dst []byte, seconds int, colon string, minutes, secs bool) []byte {
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	dst = appendInt(append(dst, sign), seconds/3600, 2)
	if minutes {
		dst = appendInt(append(dst, colon...), seconds/60%60, 2)
	}
	if secs {
		dst = appendInt(append(dst, colon...), seconds%60, 2)
	}
	return dst
}

// isoOffset is X (zero prints as Z) and x: hours with minutes unless they are
// zero, +HHMM, +HH:MM, and the last two with seconds unless they are zero.
func isoOffset(count int, zero string) step {
	if count > 5 {
		return nil
	}
	colon := ""
	if count == 3 || count == 5 {
		colon = ":"
	}
	return func(dst []byte, t time.Time) []byte {
		_, s := t.Zone()
		if s == 0 && zero != "" {
			return append(dst, zero...)
		}
		return appendOffset(dst, s, colon, count > 1 || s/60%60 != 0, count > 3 && s%60 != 0)
	}
}

// offset is Z: +HHMM, GMT+HH:MM, +HH:MM:ss with Z for zero.
func offset(count int) step {
	switch {
	case count <= 3:
		return isoOffset(2, "")
	case count == 4:
		return localizedOffset(4)
	}
	return isoOffset(count, "Z")
}

// localizedOffset is O: GMT, GMT+8, GMT+8:30; in full GMT+08:00.
func localizedOffset(count int) step {
	if count != 1 && count != 4 {
		return nil
	}
	return func(dst []byte, t time.Time) []byte {
		dst = append(dst, "GMT"...)
		_, s := t.Zone()
		if s == 0 {
			return dst
		}
		if count == 4 {
			return appendOffset(dst, s, ":", true, s%60 != 0)
		}
		if s < 0 {
			dst, s = append(dst, '-'), -s
		} else {
			dst = append(dst, '+')
		}
		dst = appendInt(dst, s/3600, 1)
		if s%3600 != 0 {
			dst = appendInt(append(dst, ':'), s/60%60, 2)
		}
		if s%60 != 0 {
			dst = appendInt(append(dst, ':'), s%60, 2)
		}
		return dst
	}
}

func genericZone(count int) step {
	if count != 1 && count != 4 {
		return nil
	}
	return zoneText(genericName)(count)
}
