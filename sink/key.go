package sink

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // CustomTimeZone works in an image without zone files

	"github.com/standpipe/standpipe"
)

// DefaultDatePattern is what Firehose appends to a prefix without a timestamp
// expression, with no slash in between.
const DefaultDatePattern = "yyyy/MM/dd/HH/"

// KeyConfig has the settings that name objects, in Firehose's words
// (ExtendedS3DestinationConfiguration).
type KeyConfig struct {
	// Prefix and ErrorPrefix (ErrorOutputPrefix) are at most 1,024 characters
	// with expressions; empty behaves as not given.
	Prefix, ErrorPrefix string
	// StreamName is the delivery stream's name, the first part of each object's name.
	StreamName string
	// Version counts the configuration's changes, from 1.
	Version int
	// TimeZone is CustomTimeZone; empty is UTC.
	TimeZone string
	// FileExtension replaces the codec's extension; empty keeps it.
	FileExtension string
	Codec         Codec
	// DynamicPartitioning allows partitionKeyFromQuery and
	// partitionKeyFromLambda in Prefix, and demands one.
	DynamicPartitioning bool
}

// A Keyer names objects. It is immutable and safe for concurrent use, and a
// function of its arguments: no clock, no chance.
//
// Which records share an object is asked with Span and Route: while the arrival
// time of a shard's next record lies in the span of the last one, its Route is
// the same and nothing has to be formatted.
type Keyer struct {
	data, failed template
	zone         *time.Location
	name         string // "<stream>-<version>-"
	extension    string
}

// A KeyError is one setting that Firehose would refuse, in its own words.
type KeyError struct {
	// Field is Firehose's name of the setting.
	Field   string
	Message string
}

func (e *KeyError) Error() string { return e.Message }

var (
	streamName    = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)
	fileExtension = regexp.MustCompile(`^\.[0-9a-z!\-_.*'()]{1,127}$`)
)

// NewKeyer compiles the configuration. The error joins a *KeyError per problem,
// all of them at once, and is of class Fatal.
func NewKeyer(c KeyConfig) (*Keyer, error) {
	var problems []error
	refuse := func(field, format string, args ...any) {
		problems = append(problems, &KeyError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	zone, err := loadZone(c.TimeZone)
	if err != nil {
		refuse("CustomTimeZone", "%v", err)
		zone = time.UTC
	}
	k := &Keyer{zone: zone, name: c.StreamName + "-" + strconv.Itoa(c.Version) + "-", extension: c.Codec.Extension()}
	if !streamName.MatchString(c.StreamName) {
		refuse("DeliveryStreamName", "delivery stream name %q is not 1 to 64 of the characters a-z, A-Z, 0-9, _, . and -", c.StreamName)
	}
	if c.Version < 1 {
		refuse("VersionId", "version %d is less than 1", c.Version)
	}
	if c.FileExtension != "" {
		k.extension = c.FileExtension
		if !fileExtension.MatchString(c.FileExtension) {
			refuse("FileExtension", `file extension %q does not match ^$|\.[0-9a-z!\-_.*'()]+ with at most 128 characters`, c.FileExtension)
		}
	}
	var found []error
	k.data, k.failed, found = parsePrefixes(c, zone)
	if problems = append(problems, found...); len(problems) > 0 {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "read the prefixes of " + c.StreamName, Err: errors.Join(problems...)}
	}
	return k, nil
}

// Span is the half-open interval of time around arrival in which Route is
// constant, as far as the pattern's finest letter and the zone's changes of
// offset tell: at most a year, at least a second. It costs microseconds; call
// it when an arrival leaves the last span, not per record.
func (k *Keyer) Span(arrival time.Time) (start, end time.Time) {
	return span(arrival.In(k.zone), k.data.unit)
}

// Route names the group a record belongs to: the evaluated prefix, with random
// strings left as expressions because they are drawn per object.
func (k *Keyer) Route(arrival time.Time) string {
	return string(k.data.append(nil, inputs{time: k.instant(arrival)}))
}

// Key is the full name of an object whose oldest record arrived at oldest.
// Every timestamp in it is that instant, as is Firehose's; random strings are
// derived from the uuid, which must be new for each object.
func (k *Keyer) Key(oldest time.Time, uuid string) string {
	t := k.instant(oldest)
	dst := k.data.append(nil, inputs{time: t, uuid: uuid})
	return string(append(k.suffix(dst, t, uuid), k.extension...))
}

// ErrorSpan is Span for error output.
func (k *Keyer) ErrorSpan(arrival time.Time) (start, end time.Time) {
	return span(arrival.In(k.zone), k.failed.unit)
}

// ErrorRoute is Route for error output of a kind: Firehose's
// error-output-type, such as "processing-failed".
func (k *Keyer) ErrorRoute(kind string, arrival time.Time) string {
	return string(k.failed.append(nil, inputs{time: k.instant(arrival), kind: kind}))
}

// ErrorKey is Key for error output. Such objects have no extension.
func (k *Keyer) ErrorKey(kind string, oldest time.Time, uuid string) string {
	t := k.instant(oldest)
	return string(k.suffix(k.failed.append(nil, inputs{time: t, uuid: uuid, kind: kind}), t, uuid))
}

// PartitionKeys lists the keys that Prefix takes from each record, each once;
// none without dynamic partitioning.
func (k *Keyer) PartitionKeys() []PartitionKey {
	var keys []PartitionKey
	seen := make(map[PartitionKey]bool)
	for _, p := range k.data.pieces {
		if key := p.key; key.Name != "" && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// Bind returns a Keyer whose partition keys have the given values. The error
// names a key without a value.
func (k *Keyer) Bind(values map[PartitionKey]string) (*Keyer, error) {
	bound := *k
	bound.data.pieces = make([]piece, len(k.data.pieces))
	for i, p := range k.data.pieces {
		if p.key.Name != "" {
			v, ok := values[p.key]
			if !ok || v == "" {
				return nil, fmt.Errorf("partition key %s has no value", p.key.Name)
			}
			p = piece{literal: v}
		}
		bound.data.pieces[i] = p
	}
	return &bound, nil
}

// instant has the precision of Firehose: seconds, whatever the pattern asks for.
func (k *Keyer) instant(t time.Time) time.Time { return t.In(k.zone).Truncate(time.Second) }

func (k *Keyer) suffix(dst []byte, t time.Time, uuid string) []byte {
	dst = append(dst, k.name...)
	dst = t.AppendFormat(dst, "2006-01-02-15-04-05-")
	return append(dst, uuid...)
}

// randomLength is Firehose's; its published samples are hexadecimal.
const randomLength = 11

// randomString is the n-th random string of the object with this uuid.
func randomString(uuid string, n int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", uuid, n))
	return hex.EncodeToString(h[:])[:randomLength]
}

// zoneAreas are the first parts of the names Firehose accepts besides UTC. Its
// own list is older than some names (it refuses Asia/Kolkata and Europe/Kyiv
// and takes Asia/Calcutta and Europe/Kiev); both forms are taken here.
var zoneAreas = []string{"Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/"}

//lint:ignore ST1005 Firehose's words
var errZone = errors.New("Provided custom time zone is not supported. Custom time zones are limited to UTC and non-3-letter IANA time zones.")

func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	for _, area := range zoneAreas {
		if strings.HasPrefix(name, area) && len(name) <= 50 {
			if l, err := time.LoadLocation(name); err == nil {
				return l, nil
			}
		}
	}
	return nil, errZone
}
