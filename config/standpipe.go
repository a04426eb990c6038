package config

import (
	"time"

	"github.com/standpipe/standpipe/internal/jobplace"
)

// Standpipe is the section for what Firehose lacks.
type Standpipe struct {
	// lines splits records on newlines, strips one carriage return, drops empty
	// lines and ends every line in exactly one newline. raw joins records byte for
	// byte, as Firehose does.
	RecordFormat RecordFormat `rule:"lines|raw"`
	// What is taken out of a KPL aggregate: keep-all keeps every user record,
	// in-range those whose hash key belongs to the shard, kcl does what KCL does,
	// off delivers the aggregate as it is.
	Deaggregation Deaggregation `rule:"keep-all|in-range|kcl|off"`
	// Which arrival time picks the folder: that of each record, so that objects are
	// cut exactly at the hour, or that of the oldest record in the object, which is
	// Firehose's rule.
	PartitionTime PartitionTime `rule:"arrival-per-record|oldest-in-object"`
	// Where a shard without a checkpoint begins: TRIM_HORIZON (the oldest record that
	// is retained), LATEST, or a time such as 2026-11-20T00:00:00+09:00. Firehose
	// begins at LATEST and can do nothing else. Children of a reshard always begin at
	// their first record.
	StartingPosition Start
	// Where positions and intents are kept.
	Checkpoint Checkpoint
	// How workers that share a checkpoint store divide the shards. A store of one
	// worker has nothing to divide.
	Lease Lease
	// Budget in bytes for everything that is in hand, all shards together. Near it
	// the oldest batch is closed and reading pauses; nothing is dropped. Leave the
	// process about as much again: with 256MiB give the container 512 MiB.
	MemoryLimit Size `rule:"64MiB..1TiB"`
	// exactly-once delivers by multipart uploads and an intent; at-least-once by one
	// plain upload, cheaper, with duplicates after a crash.
	Delivery Delivery `rule:"exactly-once|at-least-once"`
	// Compression that Firehose does not have.
	Compression Compression
	// A local folder to write to instead of a bucket, relative to the working
	// directory. BucketARN must then be absent.
	Folder string `length:"1..4096"`
	// Address of the health check, the metrics and the status page. There is no
	// authentication: open it to others only inside a trusted network.
	StatusAddress string
	// How long a stop may take to deliver what is in hand. Keep it 10 s below the
	// platform's own limit: 120 s on ECS (stopTimeout) and in the systemd unit.
	DrainTimeout Duration `rule:"1s..1h"`
	// Addresses other than AWS's own.
	Endpoint Endpoint
	// Number of stream records that closes an object; 0 is no limit.
	BatchRecords int `rule:"0..100000000"`
	// Where the record of long work is kept (replay and its like): a folder of this
	// machine, or redis://HOST:6379/0 for several, with a DynamoDB table as the record:
	// CHECKPOINT-TABLE-jobs or standpipe-jobs, unless ?table=NAME says otherwise. A
	// password is given in the environment: STANDPIPE_JOBS. --jobs wins over both.
	Jobs string `length:"1..4096"`
	// What to do about a prepared object that is neither staged nor visible although
	// the bucket's lifecycle rule cannot have aborted it yet. halt stops the shard and
	// asks; assume-published goes on (it was published and then removed); republish
	// delivers its records again (its upload was aborted by hand).
	OnAbsent Absent `rule:"halt|assume-published|republish"`
	// Age at which the bucket's lifecycle rule aborts incomplete uploads
	// (AbortIncompleteMultipartUpload). A prepared object that is gone and older than
	// this was aborted, so its records are delivered again.
	AbortIncompleteAfter Duration `rule:"24h..8760h"`
	// GetRecords calls per second and shard. Kinesis allows 5 for all readers of a
	// shard together; Firehose takes 1, or 2 with backup.
	MaxReadsPerSecond int `rule:"1..5"`
}

// RecordFormat says what a record becomes.
type RecordFormat string

// The record formats.
const (
	RecordLines RecordFormat = "lines"
	RecordRaw   RecordFormat = "raw"
)

// Deaggregation says what becomes of KPL aggregates.
type Deaggregation string

// The ways to de-aggregate.
const (
	DeaggregateAll     Deaggregation = "keep-all"
	DeaggregateInRange Deaggregation = "in-range"
	DeaggregateKCL     Deaggregation = "kcl"
	DeaggregateOff     Deaggregation = "off"
)

// PartitionTime says whose arrival time picks the folder.
type PartitionTime string

// The partition times.
const (
	PartitionPerRecord PartitionTime = "arrival-per-record"
	PartitionOldest    PartitionTime = "oldest-in-object"
)

// Delivery is the guarantee.
type Delivery string

// The guarantees.
const (
	ExactlyOnce Delivery = "exactly-once"
	AtLeastOnce Delivery = "at-least-once"
)

// Absent says what to do about a prepared object that is gone.
type Absent string

// The choices.
const (
	AbsentHalt      Absent = "halt"
	AbsentPublished Absent = "assume-published"
	AbsentRepublish Absent = "republish"
)

// Checkpoint says where positions and intents are kept.
type Checkpoint struct {
	// embedded is a database file for one worker; dynamodb is a table that any
	// number of workers share; memory forgets at every restart.
	Type CheckpointType `rule:"embedded|dynamodb|memory"`
	// Folder of the embedded database, relative to the working directory. It has to
	// outlive the process: without it every record is delivered again.
	Path string `length:"1..4096"`
	// DynamoDB table of Type dynamodb, in the stream's region. One table for each
	// delivery stream; it has the schema of a KCL lease table. It is never made
	// unasked: see standpipe run --create-table.
	Table string `length:"3..255" match:"[a-zA-Z0-9_.-]+"`
}

// CheckpointType names a checkpoint store.
type CheckpointType string

// The checkpoint stores.
const (
	CheckpointEmbedded CheckpointType = "embedded"
	CheckpointDynamoDB CheckpointType = "dynamodb"
	CheckpointMemory   CheckpointType = "memory"
)

// Lease says how workers share the shards of a stream.
type Lease struct {
	// For how long a worker may show no sign of life before the others take its
	// shards. It shows one five times in this time, and every two seconds at least. All
	// workers should have the same.
	Duration Duration `rule:"5s..10m"`
	// Most shards this worker delivers at once; 0 is no limit. When the limits of all
	// workers add up to less than the number of shards, some are read by nobody: the
	// metric standpipe_leases_starved counts them.
	MaxShards int `rule:"0..100000"`
}

// Compression overrides CompressionFormat.
type Compression struct {
	// Format of the objects; absent means that CompressionFormat decides.
	Format Codec `rule:"GZIP|ZSTD|NONE"`
	// 1 (fast) to 9 for GZIP, to 22 for ZSTD; 0 is the codec's default.
	Level int `rule:"0..22"`
}

// A Codec compresses objects.
type Codec string

// The codecs.
const (
	CodecGZIP Codec = "GZIP"
	CodecZSTD Codec = "ZSTD"
	CodecNone Codec = "NONE"
)

// Endpoint replaces AWS's addresses, for S3-compatible stores and for tests.
type Endpoint struct {
	// URL of the Kinesis API.
	Kinesis string
	// URL of the S3 API.
	S3 string
	// URL of the DynamoDB API.
	DynamoDB string
	// Put the bucket's name in the path instead of the host name, as most
	// S3-compatible stores need it.
	PathStyle bool
}

// defaultStatePath is relative: the deployment decides where state lives by
// choosing the working directory.
const defaultStatePath = "./state"

func defaultStandpipe() Standpipe {
	return Standpipe{
		RecordFormat:     RecordLines,
		Deaggregation:    DeaggregateAll,
		PartitionTime:    PartitionPerRecord,
		StartingPosition: Start{At: TrimHorizon},
		Checkpoint:       Checkpoint{Type: CheckpointEmbedded, Path: defaultStatePath},
		Lease:            Lease{Duration: Duration(10 * time.Second)},
		MemoryLimit:      256 * MiB,
		Delivery:         ExactlyOnce,
		StatusAddress:    "127.0.0.1:9410",
		// ECS kills a Fargate task 120 s after SIGTERM at the latest; 10 s are for
		// what comes after the last object.
		DrainTimeout:      Duration(110 * time.Second),
		MaxReadsPerSecond: 1,
		Jobs:              jobplace.Default,
		OnAbsent:          AbsentHalt,
		// The rule of deploy/s3-lifecycle.json.
		AbortIncompleteAfter: Duration(7 * 24 * time.Hour),
	}
}
