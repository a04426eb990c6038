package config

import (
	"strings"
	"time"
)

// A Config holds the settings of one delivery stream: everything above
// Standpipe can be pasted into Firehose's CreateDeliveryStream, and back. A
// Config that Load or Parse returned is complete (defaults filled in) and valid.
// It is plain data: share it freely as long as nobody writes to it.
//
// The comments of the fields are the reference page, reference.md.
type Config struct {
	// Name of the delivery stream. It begins the name of every object and is part
	// of the checkpoint's identity: a new name starts anew.
	DeliveryStreamName string `required:"" length:"1..64" match:"[a-zA-Z0-9_.-]+"`
	// Where the records come from. Firehose's default is DirectPut, which has no
	// stream to read, so this has to be written.
	DeliveryStreamType StreamType `rule:"KinesisStreamAsSource"`
	// The stream that is read.
	KinesisStreamSourceConfiguration KinesisSource
	// The bucket that is written. May be absent when Standpipe.Folder is given.
	ExtendedS3DestinationConfiguration S3Destination
	// What Firehose lacks. The section may be absent: every field has a default.
	Standpipe Standpipe

	// Warnings are what an operator should know about a valid file: fields that
	// have no effect here, and choices with a price.
	Warnings Problems `setting:"-"`

	places places
}

// StreamType is Firehose's DeliveryStreamType.
type StreamType string

// KinesisStreamAsSource is the only type that is supported.
const KinesisStreamAsSource StreamType = "KinesisStreamAsSource"

// KinesisSource names the stream to read.
type KinesisSource struct {
	// ARN of the Kinesis data stream. Its region is the region of the Kinesis client.
	KinesisStreamARN string `length:"1..512" match:"arn:[^:]*:kinesis:[a-zA-Z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]+"`
}

// StreamName is the last part of the stream's ARN.
func (s KinesisSource) StreamName() string {
	_, name, _ := strings.Cut(s.KinesisStreamARN, ":stream/")
	return name
}

// Region is the region in the stream's ARN.
func (s KinesisSource) Region() string {
	if parts := strings.Split(s.KinesisStreamARN, ":"); len(parts) > 3 {
		return parts[3]
	}
	return ""
}

// S3Destination is Firehose's ExtendedS3DestinationConfiguration.
type S3Destination struct {
	// ARN of the bucket.
	BucketARN string `length:"1..2048" match:"arn:[^:]*:s3:::[a-zA-Z0-9_.-]{1,255}"`
	// What object keys begin with: text and !{timestamp:…}, !{firehose:random-string}
	// expressions. Without a timestamp expression yyyy/MM/dd/HH/ is appended, without
	// a slash before it, as Firehose does.
	Prefix string `length:"0..1024"`
	// The same for records that cannot be delivered. Required when Prefix has an
	// expression; must then contain !{firehose:error-output-type}.
	ErrorOutputPrefix string `length:"0..1024"`
	// Time zone of the prefix and of the object's name, from Firehose's list of
	// older IANA names (Asia/Calcutta, not Asia/Kolkata).
	CustomTimeZone string `length:"0..50" match:"[a-zA-Z/_-]*"`
	// When an open object is closed. Both hints or neither.
	BufferingHints BufferingHints
	// How objects are compressed. Case matters. Standpipe.Compression overrides it.
	CompressionFormat CompressionFormat `rule:"UNCOMPRESSED|GZIP"`
	// Ending of object names, replacing the one that compression brings; error
	// output has none.
	FileExtension string `length:"0..128" match:"(\\.[0-9a-z!_.*'()-]+)?"`
	// Processors. Only AppendDelimiterToRecord is accepted: with RecordFormat lines
	// every line ends in a newline anyway.
	ProcessingConfiguration ProcessingConfiguration
	// Encryption of the objects. NoEncryption leaves it to the bucket's default.
	EncryptionConfiguration EncryptionConfiguration
	// Copy of the untransformed records. Nothing is transformed, so there is
	// nothing to back up.
	S3BackupMode BackupMode `rule:"Disabled"`
}

// Bucket is the bucket's name, empty when there is none.
func (d S3Destination) Bucket() string {
	_, name, _ := strings.Cut(d.BucketARN, ":s3:::")
	return name
}

// BufferingHints bound an open object, per shard and prefix. The one that is
// reached first closes it; a record is never split.
type BufferingHints struct {
	// Size of an object in MiB, counted before compression. It does not cost that
	// much memory: parts leave for S3 while the object is open.
	SizeInMBs int `rule:"1..128"`
	// Age of an object in seconds, counted from its first record. 0 delivers within
	// a few seconds and makes many small objects.
	IntervalInSeconds int `rule:"0..900"`
}

// Size is SizeInMBs in bytes.
func (h BufferingHints) Size() int64 { return int64(h.SizeInMBs) << 20 }

// Interval is IntervalInSeconds as a duration.
func (h BufferingHints) Interval() time.Duration {
	return time.Duration(h.IntervalInSeconds) * time.Second
}

// CompressionFormat is Firehose's, irregular case included.
type CompressionFormat string

// The formats that are supported.
const (
	CompressionNone CompressionFormat = "UNCOMPRESSED"
	CompressionGZIP CompressionFormat = "GZIP"
)

// ProcessingConfiguration lists Firehose's processors.
type ProcessingConfiguration struct {
	// Whether the processors run.
	Enabled bool
	// The processors, 1 to 5 when enabled.
	Processors []Processor
}

// A Processor is one step of Firehose's fixed pipeline.
type Processor struct {
	// AppendDelimiterToRecord.
	Type string `required:""`
	// Firehose discards the parameters of AppendDelimiterToRecord, and so does standpipe.
	Parameters []ProcessorParameter
}

// A ProcessorParameter is a name and a value.
type ProcessorParameter struct {
	// Name of the parameter.
	ParameterName string `required:""`
	// Its value.
	ParameterValue string `required:"" length:"1..5120"`
}

// EncryptionConfiguration is Firehose's union; only its first arm is supported.
type EncryptionConfiguration struct {
	// NoEncryption: no encryption header is sent, so the bucket's default applies.
	NoEncryptionConfig string `rule:"NoEncryption"`
}

// BackupMode is Firehose's S3BackupMode.
type BackupMode string

// BackupDisabled is the only mode that is supported.
const BackupDisabled BackupMode = "Disabled"

// Default is a Config with every default and none of what has no default: the
// name, the type, the stream and the bucket. It is not valid as it is.
func Default() *Config {
	return &Config{
		ExtendedS3DestinationConfiguration: S3Destination{
			// Firehose API model, BufferingHints: 5 MiB and 300 s.
			BufferingHints:          BufferingHints{SizeInMBs: 5, IntervalInSeconds: 300},
			CustomTimeZone:          "UTC",
			CompressionFormat:       CompressionNone,
			EncryptionConfiguration: EncryptionConfiguration{NoEncryptionConfig: "NoEncryption"},
			S3BackupMode:            BackupDisabled,
		},
		Standpipe: defaultStandpipe(),
	}
}

// Codec is the compression in force: Standpipe.Compression where it speaks,
// else CompressionFormat. Level 0 is the codec's default.
func (c *Config) Codec() (format Codec, level int) {
	if format = c.Standpipe.Compression.Format; format == "" {
		format = CodecNone
		if c.ExtendedS3DestinationConfiguration.CompressionFormat == CompressionGZIP {
			format = CodecGZIP
		}
	}
	return format, c.Standpipe.Compression.Level
}

// Given reports whether the file set the field at path, written as in
// "Standpipe.Checkpoint.Path"; everything else is a default.
func (c *Config) Given(path string) bool {
	_, ok := c.places[path]
	return ok
}
