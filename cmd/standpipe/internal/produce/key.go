package produce

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// keyMax is the longest partition key, in Unicode characters (PutRecords API).
const keyMax = 256

// A KeyFunc gives the partition key of a record's data. An error costs that
// record only. Called by one goroutine.
type KeyFunc func(data []byte) (string, error)

// ParseKey reads --key: "random" spreads over all shards, "$.a.b" takes a field
// of each JSON line, everything else is the key of all records. Random keys
// come from rng, so that a seed repeats them.
func ParseKey(s string, rng *rand.Rand) (KeyFunc, error) {
	switch {
	case s == "" || s == "random":
		return func([]byte) (string, error) {
			return fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64()), nil
		}, nil
	case strings.HasPrefix(s, "$"):
		return fieldKey(s)
	case utf8.RuneCountInString(s) > keyMax:
		return nil, fmt.Errorf("--key: %d characters, a partition key has at most %d", utf8.RuneCountInString(s), keyMax)
	}
	return func([]byte) (string, error) { return s, nil }, nil
}

func fieldKey(path string) (KeyFunc, error) {
	names := strings.Split(path, ".")
	for _, n := range names[1:] {
		if n == "" || strings.ContainsAny(n, "[]*'\"") {
			names = nil
			break
		}
	}
	if len(names) < 2 || names[0] != "$" {
		return nil, fmt.Errorf("--key %s: a path is $.name or $.name.name", path)
	}
	return func(data []byte) (string, error) {
		key, err := field(data, names[1:])
		if err != nil {
			return "", fmt.Errorf("key %s: %w", path, err)
		}
		if n := utf8.RuneCountInString(key); n == 0 || n > keyMax {
			return "", fmt.Errorf("key %s: %d characters, a partition key has 1 to %d", path, n, keyMax)
		}
		return key, nil
	}, nil
}

// field is the text of a string, or the number or boolean as it is written.
func field(data []byte, names []string) (string, error) {
	value := json.RawMessage(data)
	for _, n := range names {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(value, &object); err != nil {
			return "", errors.New("the line is not a JSON object that deep")
		}
		var ok bool
		if value, ok = object[n]; !ok {
			return "", fmt.Errorf("no field %q", n)
		}
	}
	switch value[0] {
	case '"':
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	case '{', '[', 'n':
		return "", errors.New("the field is neither text nor a number")
	}
	return string(value), nil
}
