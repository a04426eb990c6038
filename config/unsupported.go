package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// indexes are the [0] of list entries, which tables by path leave out.
var indexes = regexp.MustCompile(`\[\d+\]`)

// A refusal is what is said to a Firehose feature that is not built.
type refusal struct {
	message, fix string
	// unlessOff accepts the section when it says Enabled: false.
	unlessOff bool
}

const s3Only = "standpipe writes to S3 and to folders, this destination is not supported"

// refusedKeys are the Firehose fields that would change what is delivered, by path.
var refusedKeys = map[string]refusal{
	"DirectPutSourceConfiguration": {
		message: "direct put is not supported: there is no stream to read",
		fix:     "write KinesisStreamSourceConfiguration",
	},
	"MSKSourceConfiguration": {message: "Kafka as source is not supported", fix: "write KinesisStreamSourceConfiguration"},
	"DatabaseSourceConfiguration": {
		message: "a database as source is not supported",
		fix:     "write KinesisStreamSourceConfiguration",
	},
	"DeliveryStreamEncryptionConfigurationInput": {
		message: "Server side encryption from firehose is only allowed for direct put delivery streams and database as a source delivery streams",
		fix:     "remove it and encrypt the Kinesis stream itself",
	},
	"S3DestinationConfiguration": {
		message: "the basic form of the destination is not supported",
		fix:     "rename it to ExtendedS3DestinationConfiguration",
	},
	"AmazonOpenSearchServerlessDestinationConfiguration": {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"AmazonopensearchserviceDestinationConfiguration":    {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"ElasticsearchDestinationConfiguration":              {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"HttpEndpointDestinationConfiguration":               {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"IcebergDestinationConfiguration":                    {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"RedshiftDestinationConfiguration":                   {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"SnowflakeDestinationConfiguration":                  {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"SplunkDestinationConfiguration":                     {message: s3Only, fix: "write ExtendedS3DestinationConfiguration"},
	"ExtendedS3DestinationConfiguration.DataFormatConversionConfiguration": {
		message: "record format conversion (Parquet, ORC) is not supported yet",
		fix:     "remove it, or write Enabled: false below it, and convert after delivery", unlessOff: true,
	},
	"ExtendedS3DestinationConfiguration.DynamicPartitioningConfiguration": {
		message: "dynamic partitioning is not supported yet",
		fix:     "remove it, or write Enabled: false below it, and use !{timestamp:…} in Prefix", unlessOff: true,
	},
	"ExtendedS3DestinationConfiguration.EncryptionConfiguration.KMSEncryptionConfig": {
		message: "a key per delivery stream is not supported yet",
		fix:     "write NoEncryptionConfig: NoEncryption and set the key as the bucket's default encryption",
	},
}

// unusedKeys are the Firehose fields that change nothing that is delivered, by path.
var unusedKeys = map[string]string{
	"Tags": "tags belong to an AWS resource and have no effect here",
	"KinesisStreamSourceConfiguration.RoleARN":                    "not assumed: standpipe uses its own credentials, such as the ECS task role",
	"ExtendedS3DestinationConfiguration.RoleARN":                  "not assumed: standpipe uses its own credentials, such as the ECS task role",
	"ExtendedS3DestinationConfiguration.CloudWatchLoggingOptions": "standpipe logs to standard error; the platform forwards it",
	"ExtendedS3DestinationConfiguration.S3BackupConfiguration":    "has no effect while S3BackupMode is Disabled",
}

// refusedValues are values that Firehose knows and standpipe does not, by path.
var refusedValues = map[string]map[string]refusal{
	"DeliveryStreamType": {
		"DirectPut":        {message: "DirectPut is not supported: there is no stream to read", fix: "write KinesisStreamAsSource"},
		"MSKAsSource":      {message: "MSKAsSource is not supported", fix: "write KinesisStreamAsSource"},
		"DatabaseAsSource": {message: "DatabaseAsSource is not supported", fix: "write KinesisStreamAsSource"},
	},
	"ExtendedS3DestinationConfiguration.CompressionFormat": {
		"ZIP":           {message: "ZIP is not supported yet", fix: "write GZIP or UNCOMPRESSED"},
		"Snappy":        {message: "Snappy is not supported yet", fix: "write GZIP, or UNCOMPRESSED with Standpipe.Compression.Format: ZSTD"},
		"HADOOP_SNAPPY": {message: "HADOOP_SNAPPY is not supported yet", fix: "write GZIP, or UNCOMPRESSED with Standpipe.Compression.Format: ZSTD"},
	},
	"ExtendedS3DestinationConfiguration.S3BackupMode": {
		"Enabled": {message: "source record backup is not supported yet", fix: "write Disabled; with RecordFormat: raw the objects are the source records"},
	},
}

// refusedProcessors are looked at only when processing is enabled.
var refusedProcessors = map[string]string{
	"Lambda":                  "Lambda transformation is not supported yet",
	"MetadataExtraction":      "metadata extraction needs dynamic partitioning, which is not supported yet",
	"RecordDeAggregation":     "class com.amazonaws.services.firehose.internal.model.RecordDeAggregationProcessor can only be present when Dynamic Partitioning is enabled.",
	"Decompression":           "decompression of CloudWatch Logs is not supported yet",
	"CloudWatchLogProcessing": "message extraction from CloudWatch Logs is not supported yet",
}

// stranger judges a key that is no field of the section t: refused, without
// effect, or unknown.
func (d *decoder) stranger(n ast.Node, t reflect.Type, path, name string, at place) {
	full := join(path, name)
	table := indexes.ReplaceAllString(full, "")
	if why, ok := unusedKeys[table]; ok {
		d.places[full] = at
		d.warn(at, full, why, "")
		return
	}
	if r, ok := refusedKeys[table]; ok {
		d.places[full] = at
		if !r.unlessOff || !switchedOff(n) {
			d.problem(at, full, r.message, r.fix)
		}
		return
	}
	d.problem(at, full, "unknown key "+quote(name), unknownFix(t, path, name))
}

// switchedOff reports a mapping that says Enabled: false.
func switchedOff(n ast.Node) bool {
	m, ok := asMapping(n)
	if !ok {
		return false
	}
	return slices.ContainsFunc(m.Values, func(e *ast.MappingValueNode) bool {
		b, ok := e.Value.(*ast.BoolNode)
		return ok && !b.Value && keyName(e.Key) == "Enabled"
	})
}

// unknownFix says which key was meant: a neighbour with a similar name, the same
// name in another section, or one of the section's own.
func unknownFix(t reflect.Type, path, name string) string {
	var here []string
	for _, f := range fieldsOf(t) {
		here = append(here, f.Name)
	}
	if near, ok := nearest(name, append(slices.Clone(here), tableKeys(path)...)); ok {
		return "did you mean " + near + "?"
	}
	if section, ok := sectionOf(name); ok {
		return fmt.Sprintf("it belongs to %s", section)
	}
	return "remove it; the keys here are " + strings.Join(here, ", ")
}

// tableKeys are the keys of a section that are known but have no field.
func tableKeys(path string) []string {
	var keys []string
	add := func(full string) {
		section, name := "", full
		if i := strings.LastIndexByte(full, '.'); i >= 0 {
			section, name = full[:i], full[i+1:]
		}
		if section == indexes.ReplaceAllString(path, "") {
			keys = append(keys, name)
		}
	}
	for full := range refusedKeys {
		add(full)
	}
	for full := range unusedKeys {
		add(full)
	}
	slices.Sort(keys)
	return keys
}

// sectionOf finds the first section that has a field of this name.
func sectionOf(name string) (string, bool) {
	for _, s := range sections() {
		if _, ok := fieldOf(s.kind, name); ok {
			if s.path == "" {
				return "the top level", true
			}
			return s.path, true
		}
	}
	return "", false
}

// A section is a struct of the configuration and where it stands.
type section struct {
	path string
	kind reflect.Type
}

// sections lists every mapping of the document, parents first.
func sections() []section {
	var all []section
	var visit func(string, reflect.Type)
	visit = func(path string, t reflect.Type) {
		all = append(all, section{path, t})
		for _, f := range fieldsOf(t) {
			switch {
			case f.Type == reflect.TypeFor[Start]():
			case f.Type.Kind() == reflect.Struct:
				visit(join(path, f.Name), f.Type)
			case f.Type.Kind() == reflect.Slice:
				visit(join(path, f.Name)+"[]", f.Type.Elem())
			}
		}
	}
	visit("", reflect.TypeFor[Config]())
	return all
}
