package status

import (
	"time"

	"github.com/standpipe/standpipe"
)

// SchemaVersion is the number of Report's JSON form. It grows when a name is
// removed or changes its meaning, never when one is added: a reader ignores
// names it doesn't know.
const SchemaVersion = 1

// Seconds is a duration in JSON, in seconds with fractions. A pointer to it is
// nil where the value is not known, which is not the same as 0.
type Seconds float64

// SecondsOf converts d for a field that may be unknown.
func SecondsOf(d time.Duration) *Seconds { return new(Seconds(d.Seconds())) }

// Duration converts back; nil is 0.
func (s *Seconds) Duration() time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(float64(*s) * float64(time.Second))
}

// A Report is what one process knows of its delivery stream at one moment. It
// is a value: whoever made it keeps no reference to its slices.
type Report struct {
	// Schema is SchemaVersion; the server sets it.
	Schema int       `json:"schema"`
	Time   time.Time `json:"time"`
	Worker Worker    `json:"worker"`
	Stream Stream    `json:"stream"`
	// FreshnessSeconds is the age of the oldest record read and not yet in a
	// visible object (Firehose: DataFreshness); nil when nothing read waits.
	FreshnessSeconds *Seconds `json:"freshnessSeconds,omitempty"`
	// FreshnessLimitSeconds is the buffering interval that FreshnessSeconds is
	// measured against.
	FreshnessLimitSeconds *Seconds `json:"freshnessLimitSeconds,omitempty"`
	// HeadroomSeconds is retention minus the age of the oldest record not yet
	// committed: at 0 data is lost.
	HeadroomSeconds *Seconds `json:"headroomSeconds,omitempty"`
	// BufferedBytes and BufferLimitBytes are the process's byte budget.
	BufferedBytes    int64  `json:"bufferedBytes"`
	BufferLimitBytes int64  `json:"bufferLimitBytes"`
	Totals           Totals `json:"totals"`
	// Shards, in the order of their ids, holds those of other workers too.
	Shards []Shard `json:"shards"`
	// Fleet are all workers of the delivery stream, this one included, by id.
	Fleet []FleetWorker `json:"fleet"`
	// Unowned is the number of shards that could be delivered and are with
	// nobody; Starved how many of them nobody may take, because the workers'
	// MaxShards add up to too little.
	Unowned int `json:"unowned"`
	Starved int `json:"starved,omitempty"`
	// Gaps are the ranges that could not be read, newest last.
	Gaps []Gap `json:"gaps"`
	// Intents are the flushes prepared and not yet committed.
	Intents []Intent `json:"pendingIntents"`
	// Problems are the last troubles, newest last.
	Problems []Problem `json:"problems"`
}

// A Worker is one process.
type Worker struct {
	ID      string    `json:"id"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// UptimeSeconds is measured on the monotonic clock.
	UptimeSeconds Seconds `json:"uptimeSeconds"`
}

// A FleetWorker is one worker of a fleet, as its row in the store shows it.
type FleetWorker struct {
	ID      string    `json:"id"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Address is of its own status page.
	Address string `json:"address,omitempty"`
	Shards  int    `json:"shards"`
	// Leaving says that it takes nothing more and hands its shards over.
	Leaving bool `json:"leaving,omitempty"`
}

// A Stream is the source and where it goes.
type Stream struct {
	// Delivery is Firehose's DeliveryStreamName.
	Delivery         string  `json:"delivery,omitempty"`
	Name             string  `json:"name"`
	ARN              string  `json:"arn,omitempty"`
	RetentionSeconds Seconds `json:"retentionSeconds,omitempty"`
	// Destination is the sink's location: "s3://bucket/rawdata/".
	Destination string `json:"destination"`
}

// Totals count since the process started. Read records give lines; every line
// is delivered, rejected or still buffered.
type Totals struct {
	RecordsRead      int64 `json:"recordsRead"`
	BytesRead        int64 `json:"bytesRead"`
	LinesDelivered   int64 `json:"linesDelivered"`
	LinesRejected    int64 `json:"linesRejected"`
	ObjectsPublished int64 `json:"objectsPublished"`
	// BytesPublished is the size of those objects, compressed.
	BytesPublished int64 `json:"bytesPublished"`
}

// A ShardState says where in its life a shard is, see package delivery.
type ShardState string

// The states of a shard.
const (
	ShardWaiting    ShardState = "waiting"    // its parents are not finished
	ShardUnowned    ShardState = "unowned"    // nobody holds its lease
	ShardOpening    ShardState = "opening"    // owned, not read yet
	ShardDelivering ShardState = "delivering" // owned and read
	ShardDraining   ShardState = "draining"   // intake stopped, the rest is being delivered
	ShardEnded      ShardState = "ended"      // read and delivered to its end
	ShardFailed     ShardState = "failed"     // stopped by an error, will be tried again
)

// A Shard is one shard as this process sees it. What only its owner can know
// is empty for the shards of other workers.
type Shard struct {
	ID    standpipe.ShardID `json:"id"`
	State ShardState        `json:"state"`
	// Owner is a worker id, empty when nobody holds the lease.
	Owner string `json:"owner,omitempty"`
	// Mine says that the owner is the process that reports.
	Mine bool `json:"mine"`
	// BehindSeconds is Kinesis's MillisBehindLatest at the last page.
	BehindSeconds *Seconds `json:"behindSeconds,omitempty"`
	// UnreadSeconds is for how long the process that reports could not read the
	// shard; nil while pages come. What arrived since is in no other number.
	UnreadSeconds   *Seconds `json:"unreadSeconds,omitempty"`
	BufferedBytes   int64    `json:"bufferedBytes"`
	BufferedRecords int64    `json:"bufferedRecords"`
	// OldestSeconds is the age of the oldest record that waits in the buffer.
	OldestSeconds *Seconds `json:"oldestSeconds,omitempty"`
	// LastObject is the last object published, its time and the reason it was cut.
	LastObject *Object `json:"lastObject,omitempty"`
	// Checkpoint is the last position committed, nil before the first.
	Checkpoint     *standpipe.Position `json:"checkpoint,omitempty"`
	CheckpointTime time.Time           `json:"checkpointTime,omitzero"`
	// Problem is why the state is failed, or the last trouble, or empty.
	Problem string `json:"problem,omitempty"`
}

// An Object is a visible object.
type Object struct {
	Time   time.Time            `json:"time"`
	Key    string               `json:"key"`
	Bytes  int64                `json:"bytes"`
	Lines  int64                `json:"lines"`
	Reason standpipe.SealReason `json:"reason,omitempty"`
}

// A Gap is a range of a shard that was lost before it could be read: trimmed by
// retention, or of a stream that was created anew.
type Gap struct {
	Shard standpipe.ShardID   `json:"shard"`
	After standpipe.Position  `json:"after"`
	Until *standpipe.Position `json:"until,omitempty"`
	Found time.Time           `json:"found"`
	Cause string              `json:"cause"`
}

// An Intent is a flush between PREPARE and COMMIT.
type Intent struct {
	Shard    standpipe.ShardID  `json:"shard"`
	ID       string             `json:"id"`
	Last     standpipe.Position `json:"last"`
	Prepared time.Time          `json:"prepared,omitzero"`
	Objects  int                `json:"objects"`
	Bytes    int64              `json:"bytes"`
}

// A Problem is something that went wrong, whether or not it healed.
type Problem struct {
	Time  time.Time       `json:"time"`
	Class standpipe.Class `json:"class,omitempty"`
	Text  string          `json:"text"`
}

// Normal returns r as it is served: with its schema number, and with empty
// lists as [] rather than null.
func (r Report) Normal() Report {
	r.Schema = SchemaVersion
	if r.Shards == nil {
		r.Shards = []Shard{}
	}
	if r.Fleet == nil {
		r.Fleet = []FleetWorker{}
	}
	if r.Gaps == nil {
		r.Gaps = []Gap{}
	}
	if r.Intents == nil {
		r.Intents = []Intent{}
	}
	if r.Problems == nil {
		r.Problems = []Problem{}
	}
	return r
}
