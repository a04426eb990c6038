package sink

import (
	"strconv"
	"time"
)

// A field is a pattern letter: the unit of time in which its text is constant,
// and its printer for a run of count letters, nil where Java refuses the count.
type field struct {
	unit  unit
	print func(count int) step
}

// fields has each letter Java 17 accepts; which counts it accepts and what it
// prints is pinned by testdata/patterns.golden, written by the real class.
var fields = map[byte]field{
	'G': {unitYear, text(eraNames, func(time.Time) int { return 0 })},
	'u': {unitYear, year(time.Time.Year)},
	'y': {unitYear, year(time.Time.Year)},
	'Y': {unitDay, weekYear},
	'D': {unitDay, number(3, time.Time.YearDay)},
	'M': {unitMonth, numberOrText(monthNames, month)},
	'L': {unitMonth, numberOrText(monthNames, month)},
	'Q': {unitMonth, numberOrText(quarterNames, quarter)},
	'q': {unitMonth, numberOrText(quarterNames, quarter)},
	'd': {unitDay, number(2, time.Time.Day)},
	'g': {unitDay, number(19, julianDay)},
	'w': {unitDay, number(2, func(t time.Time) int { _, w := week(t); return w })},
	'W': {unitDay, number(1, weekOfMonth)},
	'F': {unitDay, number(1, func(t time.Time) int { return (t.Day()-1)%7 + 1 })},
	'E': {unitDay, weekday},
	'e': {unitDay, numberOrText(dayNames, func(t time.Time) int { return int(t.Weekday()) + 1 })},
	'c': {unitDay, standaloneDay},
	'a': {unitHour, amPM},
	'B': {unitMinute, dayPeriod},
	'h': {unitHour, number(2, func(t time.Time) int { return (t.Hour()+11)%12 + 1 })},
	'K': {unitHour, number(2, func(t time.Time) int { return t.Hour() % 12 })},
	'k': {unitHour, number(2, func(t time.Time) int { return (t.Hour()+23)%24 + 1 })},
	'H': {unitHour, number(2, time.Time.Hour)},
	'm': {unitMinute, number(2, time.Time.Minute)},
	's': {unitSecond, number(2, time.Time.Second)},
	'S': {unitSecond, fraction},
	'A': {unitSecond, number(19, func(t time.Time) int { return secondOfDay(t)*1_000 + t.Nanosecond()/1_000_000 })},
	'n': {unitSecond, number(19, time.Time.Nanosecond)},
	'N': {unitSecond, number(19, func(t time.Time) int { return secondOfDay(t)*1_000_000_000 + t.Nanosecond() })},
	'V': {unitYear, zoneID},
	'v': {unitYear, genericZone},
	'z': {unitYear, zoneText(specificName)},
	'O': {unitYear, localizedOffset},
	'X': {unitYear, func(n int) step { return isoOffset(n, "Z") }},
	'x': {unitYear, func(n int) step { return isoOffset(n, "") }},
	'Z': {unitYear, offset},
}

// appendInt prints v with at least width digits.
func appendInt(dst []byte, v, width int) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	digits := 1
	for rest := v / 10; rest > 0; rest /= 10 {
		digits++
	}
	for ; digits < width; digits++ {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(v), 10)
}

// number prints with at least count digits, up to most letters.
func number(most int, of func(time.Time) int) func(int) step {
	return func(count int) step {
		if count > most {
			return nil
		}
		return func(dst []byte, t time.Time) []byte { return appendInt(dst, of(t), count) }
	}
}

// year refuses what Java accepts and then fails to print: 11 to 18 letters.
func year(of func(time.Time) int) func(int) step {
	return func(count int) step {
		switch {
		case count > 10 && count != 19:
			return nil
		case count == 2:
			return func(dst []byte, t time.Time) []byte { return appendInt(dst, of(t)%100, 2) }
		}
		return func(dst []byte, t time.Time) []byte { return appendInt(dst, of(t), count) }
	}
}

// weekYear has the same gap but no upper limit.
func weekYear(count int) step {
	of := func(t time.Time) int { y, _ := week(t); return y }
	if count > 19 {
		return func(dst []byte, t time.Time) []byte { return appendInt(dst, of(t), count) }
	}
	return year(of)(count)
}

// names are a field's texts: short, full, narrow.
type names [3][]string

var (
	eraNames   = names{{"AD"}, {"Anno Domini"}, {"A"}}
	monthNames = names{
		{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"},
		{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
		{"J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D"},
	}
	quarterNames = names{
		{"Q1", "Q2", "Q3", "Q4"},
		{"1st quarter", "2nd quarter", "3rd quarter", "4th quarter"},
		{"1", "2", "3", "4"},
	}
	dayNames = names{
		{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"},
		{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
		{"S", "M", "T", "W", "T", "F", "S"},
	}
	periodNames = names{
		{"midnight", "at night", "in the morning", "noon", "in the afternoon", "in the evening"},
		{"midnight", "at night", "in the morning", "noon", "in the afternoon", "in the evening"},
		{"mi", "at night", "in the morning", "n", "in the afternoon", "in the evening"},
	}
)

// text prints a name: up to 3 letters short, 4 full, 5 narrow.
func text(ns names, index func(time.Time) int) func(int) step {
	return func(count int) step {
		if count > 5 {
			return nil
		}
		list := ns[max(count, 3)-3]
		return func(dst []byte, t time.Time) []byte { return append(dst, list[index(t)]...) }
	}
}

// numberOrText prints a number, counted from 1, for one or two letters.
func numberOrText(ns names, of func(time.Time) int) func(int) step {
	return func(count int) step {
		if count <= 2 {
			return number(2, of)(count)
		}
		return text(ns, func(t time.Time) int { return of(t) - 1 })(count)
	}
}

func month(t time.Time) int   { return int(t.Month()) }
func quarter(t time.Time) int { return (int(t.Month())-1)/3 + 1 }

func weekday(count int) step {
	return text(dayNames, func(t time.Time) int { return int(t.Weekday()) })(count)
}

func standaloneDay(count int) step {
	if count == 2 {
		return nil
	}
	return numberOrText(dayNames, func(t time.Time) int { return int(t.Weekday()) + 1 })(count)
}

func amPM(count int) step {
	if count != 1 {
		return nil
	}
	return func(dst []byte, t time.Time) []byte {
		if t.Hour() < 12 {
			return append(dst, "AM"...)
		}
		return append(dst, "PM"...)
	}
}

// dayPeriod is CLDR's flexible day period of English.
func dayPeriod(count int) step {
	if count != 1 && count < 4 || count > 5 {
		return nil
	}
	return text(periodNames, func(t time.Time) int {
		switch h, m := t.Hour(), t.Minute(); {
		case h == 0 && m == 0:
			return 0
		case h < 6 || h >= 21:
			return 1
		case h < 12:
			return 2
		case h == 12 && m == 0:
			return 3
		case h < 18:
			return 4
		}
		return 5
	})(count)
}

func fraction(count int) step {
	if count > 9 {
		return nil
	}
	return func(dst []byte, t time.Time) []byte {
		var digits [9]byte
		return append(dst, appendInt(digits[:0], t.Nanosecond(), 9)[:count]...)
	}
}

func secondOfDay(t time.Time) int { return (t.Hour()*60+t.Minute())*60 + t.Second() }

// julianDay is the modified Julian day of the local date.
func julianDay(t time.Time) int {
	y, m, d := t.Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()/86400) + 40587
}

// week is the week-based year and week of the United States: weeks start on
// Sunday and week 1 contains January 1. Hence 2024-12-29 is of the year 2025,
// which surprises those who write YYYY for yyyy, here as in Firehose.
func week(t time.Time) (year, week int) {
	saturday := t.YearDay() + int(time.Saturday-t.Weekday()) // of this week, as a day of this year
	last := time.Date(t.Year(), 12, 31, 0, 0, 0, 0, time.UTC).YearDay()
	if saturday > last {
		return t.Year() + 1, 1
	}
	return t.Year(), (saturday + 6) / 7
}

func weekOfMonth(t time.Time) int {
	saturday := t.Day() + int(time.Saturday-t.Weekday())
	return (saturday + 6) / 7
}
