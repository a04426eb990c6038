package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The rules of a field are its struct tags:
//
//	rule:"1..128"     least and most, of a number, a Size or a Duration
//	rule:"a|b"        the values that are allowed, case included
//	length:"1..64"    least and most characters
//	match:"[a-z]+"    a regular expression for the whole text
//	required:""       the field has no default
//	setting:"-"       not a field of the file
//
// Firehose's are those of its API model, firehose/2015-08-04.

// fieldsOf lists the fields of a section in their order.
func fieldsOf(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for f := range t.Fields() {
		if f.IsExported() && f.Tag.Get("setting") != "-" {
			fields = append(fields, f)
		}
	}
	return fields
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range fieldsOf(t) {
		if f.Name == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// obey holds a value against its field's rules. Above Standpipe the messages are
// those of the AWS API, which an operator can search for.
func obey(v reflect.Value, tag reflect.StructTag, ours bool) *wrong {
	if rule := tag.Get("rule"); strings.Contains(rule, "..") {
		if w := obeyRange(v, rule, ours); w != nil {
			return w
		}
	} else if rule != "" {
		if w := obeyChoice(v.String(), strings.Split(rule, "|"), ours); w != nil {
			return w
		}
	}
	if v.Kind() != reflect.String {
		return nil
	}
	return obeyText(v.String(), tag.Get("length"), tag.Get("match"))
}

func obeyRange(v reflect.Value, rule string, ours bool) *wrong {
	least, most, _ := strings.Cut(rule, "..")
	n, lo, hi := v.Int(), boundOf(v, least), boundOf(v, most)
	fix := "write " + least + " to " + most
	switch {
	case n >= lo && n <= hi:
		return nil
	case ours:
		return &wrong{fmt.Sprintf("is %v, must be %s to %s", v.Interface(), least, most), fix}
	case n < lo:
		return &wrong{fmt.Sprintf("%v: Member must have value greater than or equal to %s", v.Interface(), least), fix}
	default:
		return &wrong{fmt.Sprintf("%v: Member must have value less than or equal to %s", v.Interface(), most), fix}
	}
}

// boundOf reads one end of a range in the unit of v. Tags are ours: a bad one is
// found by the test that walks all of them.
func boundOf(v reflect.Value, text string) int64 {
	switch v.Interface().(type) {
	case Size:
		var s Size
		_ = s.UnmarshalText([]byte(text))
		return int64(s)
	case Duration:
		d, _ := time.ParseDuration(text)
		return int64(d)
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

func obeyChoice(text string, choices []string, ours bool) *wrong {
	fix := "write " + orList(choices)
	for _, c := range choices {
		if text == c {
			return nil
		}
		if strings.EqualFold(text, c) {
			fix = "write " + c + ", case matters"
		}
	}
	if near, ok := nearest(text, choices); ok && len(choices) > 1 && !strings.Contains(fix, "case") {
		fix = "did you mean " + near + "? " + fix
	}
	if ours {
		return &wrong{quote(text) + " is not one of " + strings.Join(choices, ", "), fix}
	}
	return &wrong{quote(text) + ": Member must satisfy enum value set: [" + strings.Join(choices, ", ") + "]", fix}
}

func obeyText(text, length, match string) *wrong {
	if least, most, ok := strings.Cut(length, ".."); ok {
		n := utf8.RuneCountInString(text)
		if lo, _ := strconv.Atoi(least); n < lo {
			return &wrong{fmt.Sprintf("%d characters: Member must have length greater than or equal to %s", n, least), "write it, or remove the key"}
		}
		if hi, _ := strconv.Atoi(most); n > hi {
			return &wrong{fmt.Sprintf("%d characters: Member must have length less than or equal to %s", n, most), "write at most " + most + " characters"}
		}
	}
	if match != "" && !regexp.MustCompile("^(?:"+match+")$").MatchString(text) {
		return &wrong{quote(text) + ": Member must satisfy regular expression pattern: " + match, meant(text, match)}
	}
	return nil
}

// meant turns what people write into what the pattern wants.
func meant(text, match string) string {
	switch {
	case strings.Contains(match, ":s3:::"):
		name, _, _ := strings.Cut(strings.TrimPrefix(text, "s3://"), "/")
		if regexp.MustCompile(`^[a-z0-9.-]{3,63}$`).MatchString(name) {
			return "write arn:aws:s3:::" + name
		}
		return "write arn:aws:s3:::BUCKET, without a path"
	case strings.Contains(match, ":kinesis:"):
		if regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`).MatchString(text) {
			return "write arn:aws:kinesis:REGION:ACCOUNT:stream/" + text
		}
		return "write arn:aws:kinesis:REGION:ACCOUNT:stream/NAME, with 12 digits for the account"
	case strings.HasPrefix(match, `(\.`):
		return "begin with a dot and use lower-case letters, digits and ! - _ . * ' ( ), such as .ndjson.gz"
	case strings.Contains(match, "/"):
		return "write a time zone such as Asia/Seoul"
	}
	return "use letters, digits, _ . and -"
}

// nearest finds the name that text most likely was meant to be: equal but for
// case, or at most a third of its letters away.
func nearest(text string, names []string) (string, bool) {
	best, least := "", len(text)/3+1
	for _, name := range names {
		if strings.EqualFold(text, name) {
			return name, true
		}
		if n := distance(strings.ToLower(text), strings.ToLower(name)); n < least || n == least && n == 1 && best == "" {
			best, least = name, n
		}
	}
	return best, best != ""
}

// distance is the number of letters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
