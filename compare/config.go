package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/standpipe/standpipe/archive"
)

// A Side is one of the two archives.
type Side int8

// The sides. By convention A is the one that is to take over.
const (
	A Side = iota
	B
)

func (s Side) String() string { return "AB"[s : s+1] }

// Other is the opposite side.
func (s Side) Other() Side { return 1 - s }

// Records is what counts as one record.
type Records string

// The units.
const (
	// Auto looks into a few objects of each side and chooses.
	Auto Records = "auto"
	// Lines ends a record at each newline; one carriage return before it and
	// empty lines do not count.
	Lines Records = "lines"
	// JSON also ends a record where a JSON object or array ends, for archives
	// without delimiters: {"a":1}{"a":2} is two records.
	JSON Records = "json"
)

// Config says what to compare and how.
type Config struct {
	Stores [2]archive.Store
	// From and To bound the core window by the times in the names of objects:
	// From <= t < To. Zero is no bound, and without any there is no halo.
	From, To time.Time
	// Halo is how far around the core both sides are read, usually an hour.
	Halo time.Duration
	// Zones are CustomTimeZone of either side, nil is UTC.
	Zones [2]*time.Location
	// Settle is how old the youngest object, or To, has to be at Now for the
	// archives to be taken for complete.
	Settle time.Duration
	Now    time.Time

	Records   Records
	Canonical bool // JSON values are compared, not their spelling
	Sample    uint64
	// Capacity is how many differences the sketch has room for.
	Capacity int
	Workers  int
	// Legal says on which sides more copies than the other has are no fault,
	// because that side delivers at least once.
	Legal [2]bool
	// Shown is how many differences are located and listed; all are counted.
	Shown int

	SpillDir string
	SpillMax int64 // bytes; 0 refuses to spill

	spillAlways bool // for tests

	// Slice says how the objects are cut into slices.
	Slice Cut
	// Plan, if any, is that of a comparison to go on with; nil lists the archives.
	// A run with a Plan fails with ErrResume when they have changed since.
	Plan *Plan
	// Execute runs the slices of a pass; nil runs them here.
	Execute Executor
	// Places are the names of the archives that every machine knows them by;
	// empty is the Location of their stores.
	Places [2]string

	// Truth, if any, is asked which side is right.
	Truth Truth
	// Manifests, if any, is the store with standpipe's manifests of one side:
	// the bucket or folder that holds _standpipe/commits/.
	Manifests archive.Store

	// Progress is told how far the run is, from several goroutines.
	Progress func(Progress)
}

// A Truth is the stream itself, read again.
type Truth interface {
	// Lines visits each line of the stream in the window. The line is valid
	// during the visit only.
	Lines(ctx context.Context, visit func(line []byte)) error
	String() string
}

// Defaults for what is not set.
const (
	DefaultCapacity = 20_000
	DefaultShown    = 1000
	DefaultHalo     = time.Hour
	DefaultSettle   = 30 * time.Minute
)

func (c *Config) validate() error {
	if !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To) {
		return fmt.Errorf("the window ends at %s, not after its beginning at %s", stamp(c.To), stamp(c.From))
	}
	if c.Halo < 0 || c.Settle < 0 {
		return fmt.Errorf("halo %v and settle %v cannot be negative", c.Halo, c.Settle)
	}
	c.Sample = max(c.Sample, 1)
	c.Capacity = max(c.Capacity, 1)
	c.Workers = max(c.Workers, 1)
	for i := range c.Zones {
		if c.Zones[i] == nil {
			c.Zones[i] = time.UTC
		}
	}
	if c.Records == "" {
		c.Records = Auto
	}
	if c.Slice.Every < 0 || c.Slice.Objects < 0 {
		return fmt.Errorf("slices of %v or %d objects", c.Slice.Every, c.Slice.Objects)
	}
	c.Places = c.places()
	return nil
}

// kept is how many findings are held in memory with their places: more than
// are shown, so that the most important ones can be.
func (c *Config) kept() int { return max(c.Shown, DefaultCapacity) }

func (c *Config) places() [2]string {
	places := c.Places
	for i, store := range c.Stores {
		if places[i] == "" && store != nil {
			places[i] = store.Location()
		}
	}
	return places
}

// settings are what two runs must have in common for one to go on with what
// the other did.
type settings struct {
	Places    [2]string
	From, To  string
	Halo      time.Duration
	Zones     [2]string
	Records   Records
	Canonical bool
	Sample    uint64
	Capacity  int
	Slice     Cut
	Reads     bool
}

func (c *Config) settings() settings {
	s := settings{
		Places: c.places(), From: bound(c.From), To: bound(c.To), Halo: c.Halo, Records: c.Records, Canonical: c.Canonical,
		Sample: max(c.Sample, 1), Capacity: max(c.Capacity, 1), Slice: c.Slice, Reads: c.Manifests != nil,
	}
	for i := range c.Zones {
		if s.Zones[i] = "UTC"; c.Zones[i] != nil {
			s.Zones[i] = c.Zones[i].String()
		}
	}
	return s
}

func bound(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

// Fingerprint names the comparison that c describes: the same archives, window,
// unit and slices, whenever and wherever it runs.
func (c *Config) Fingerprint() string {
	b, err := json.Marshal(c.settings())
	if err != nil {
		panic(fmt.Sprintf("encode settings: %v", err)) // plain data only
	}
	h := fnv.New64a()
	h.Write(b)
	return fmt.Sprintf("%016x", h.Sum64())
}

// Phases of a run.
const (
	PhaseList   = "listing"
	PhaseScan   = "reading"
	PhaseSpill  = "counting on disk"
	PhaseLocate = "locating"
	PhaseTruth  = "asking the stream"
)

// Progress is how far a phase is.
type Progress struct {
	Phase   string
	Objects int64 // done
	Bytes   int64 // done, as stored
	Total   int64 // of Bytes; 0 when unknown
	Lines   int64
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
