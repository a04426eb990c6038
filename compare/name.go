package compare

import (
	"strings"
	"time"
)

// nameTime is how Firehose and standpipe write the arrival of the oldest record
// into an object's name: stream-version-yyyy-MM-dd-HH-mm-ss-uuid.
const nameTime = "2006-01-02-15-04-05"

// folderTimes are the forms of a date in the folders of a key, the longest
// first, as Hive tables and Firehose's default prefix have them.
var folderTimes = []string{
	"year=2006/month=01/day=02/hour=15/", "2006/01/02/15/", "2006-01-02-15/", "2006-01-02/15/",
	"year=2006/month=01/day=02/", "2006/01/02/", "2006-01-02/",
}

// keyTime is the time a key stands for: the one in the object's name, else the
// one in its folders. Neither says more than where a record was filed.
func keyTime(key string, zone *time.Location) (time.Time, bool) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	for i := len(name) - len(nameTime); i >= 0; i-- {
		if t, ok := digits(nameTime, name[i:], zone); ok && standsAlone(name, i, i+len(nameTime)) {
			return t, true
		}
	}
	folder := key[:len(key)-len(name)]
	for _, form := range folderTimes {
		for i := len(folder) - len(form); i >= 0; i-- {
			if t, ok := digits(form, folder[i:], zone); ok {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// digits parses the beginning of s, after a look that is cheaper.
func digits(form, s string, zone *time.Location) (time.Time, bool) {
	for i := range len(form) {
		if digit(form[i]) != digit(s[i]) || !digit(form[i]) && form[i] != s[i] {
			return time.Time{}, false
		}
	}
	t, err := time.ParseInLocation(form, s[:len(form)], zone)
	return t, err == nil
}

// standsAlone says that no digit touches s[i:j].
func standsAlone(s string, i, j int) bool {
	return (i == 0 || !digit(s[i-1])) && (j == len(s) || !digit(s[j]))
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
