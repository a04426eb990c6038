package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/standpipe/standpipe/internal/jobplace"
)

// A checker holds fields against one another, after each was held against its
// own rules.
type checker struct {
	*decoder
	c *Config
}

func (k checker) all(v Validators) {
	k.source()
	k.destination()
	k.prefixes(v)
	k.timeZone(v)
	k.buffering()
	k.processing()
	k.encryption()
	k.compression()
	k.extension()
	k.checkpoint()
	k.statusAddress()
	k.jobs()
	k.endpoints()
}

const (
	pathSource      = "KinesisStreamSourceConfiguration"
	pathDestination = "ExtendedS3DestinationConfiguration"
)

// nearestGiven is path if the file has it, else the nearest section around it
// that the file has; "" is the document.
func (k checker) nearestGiven(path string) string {
	for path != "" && !k.given(path) {
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return path
}

// at is where to point for path.
func (k checker) at(path string) place { return k.places[k.nearestGiven(path)] }

func (k checker) given(path string) bool {
	_, ok := k.places[path]
	return ok
}

// flag notes a problem at path, unless a mistake in that very value is known
// already: one mistake is named once.
func (k checker) flag(path, message, fix string) {
	section := k.nearestGiven(path)
	at := k.places[section]
	known := slices.ContainsFunc(k.problems, func(p Problem) bool { return p.Line == at.line && p.Column == at.column })
	if section == "" || !known {
		k.missing(section, path, message, fix)
	}
}

// caution notes a warning at path.
func (k checker) caution(path, message, fix string) { k.warn(k.at(path), path, message, fix) }

func (k checker) source() {
	if !k.given("DeliveryStreamType") {
		k.flag("DeliveryStreamType", "missing: Firehose's default is DirectPut, which is not supported",
			"write DeliveryStreamType: KinesisStreamAsSource")
	}
	const arn = pathSource + ".KinesisStreamARN"
	switch {
	case !k.given(pathSource):
		k.flag(pathSource, "KinesisSourceStreamConfig is mandatory for KinesisStreamAsSource stream type.",
			"write "+pathSource+": and below it KinesisStreamARN:")
	case !k.given(arn):
		k.flag(arn, "missing: Member must not be null", "write KinesisStreamARN: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME")
	}
}

func (k checker) destination() {
	const bucket, folder = pathDestination + ".BucketARN", "Standpipe.Folder"
	switch {
	case k.given(bucket) && k.given(folder):
		k.flag(folder, "Exactly one destination configuration is supported for a Firehose",
			fmt.Sprintf("remove it, or remove BucketARN in line %d", k.at(bucket).line))
	case k.given(bucket) || k.given(folder):
	case k.given(pathDestination):
		k.flag(bucket, "missing: Member must not be null", "write BucketARN: arn:aws:s3:::BUCKET, or Standpipe.Folder for a local folder")
	default:
		k.flag(pathDestination, "Exactly one destination configuration is supported for a Firehose",
			"write "+pathDestination+": and below it BucketARN:, or Standpipe.Folder for a local folder")
	}
}

// prefixFixes is what to do about the messages that Firehose has for prefixes,
// by a part of each.
var prefixFixes = []struct{ part, fix string }{
	{"ErrorOutputPrefix cannot be null or empty", "write ErrorOutputPrefix: errors/!{firehose:error-output-type}/"},
	{"ErrorOutputPrefix must contain", "add !{firehose:error-output-type}/"},
	{"Prefix must not contain any occurrence", "move it to ErrorOutputPrefix"},
	{"Invalid expression usage", "write expressions as !{timestamp:yyyy/MM/dd} or !{firehose:random-string}"},
	{"is an invalid keyword", "the keywords are timestamp and firehose"},
	{"Invalid conversion character", "use letters of Java's DateTimeFormatter, such as yyyy/MM/dd/HH, and quote text with '"},
	{"Length of evaluated", "shorten it"},
	{"Dynamic Partitioning Namespaces", "dynamic partitioning is not supported yet: use !{timestamp:…}"},
}

// prefixes asks the owner of the prefix grammar.
func (k checker) prefixes(v Validators) {
	if v.Prefix == nil {
		return
	}
	d := k.c.ExtendedS3DestinationConfiguration
	for _, message := range v.Prefix(d.Prefix, d.ErrorOutputPrefix) {
		path := pathDestination + ".Prefix"
		if aboutErrors(message) {
			path = pathDestination + ".ErrorOutputPrefix"
		}
		fix := ""
		for _, f := range prefixFixes {
			if strings.Contains(message, f.part) && !strings.Contains(message, f.fix) {
				fix = f.fix
				break
			}
		}
		at := k.at(path)
		if !k.given(path) && k.given(pathDestination+".Prefix") {
			at = k.at(pathDestination + ".Prefix")
		}
		k.problem(at, path, message, fix)
	}
	k.letters(pathDestination+".Prefix", d.Prefix)
	k.letters(pathDestination+".ErrorOutputPrefix", d.ErrorOutputPrefix)
}

var (
	timestamps = regexp.MustCompile(`!\{timestamp:([^}]*)\}`)
	quotedText = regexp.MustCompile(`'[^']*'`)
	dayOfYear  = regexp.MustCompile(`(^|[^D])D{1,2}([^D]|$)`)
)

// letters warns of those of DateTimeFormatter that are taken for others. They are
// obeyed, as Firehose obeys them, and the folders look right for most of a year.
func (k checker) letters(path, prefix string) {
	pattern := ""
	for _, m := range timestamps.FindAllStringSubmatch(prefix, -1) {
		pattern += quotedText.ReplaceAllString(m[1], "") + " "
	}
	if strings.Contains(pattern, "Y") && !strings.Contains(pattern, "w") {
		k.caution(path, "YYYY is the year of the week: the last days of December can be in the next year's folder", "write yyyy for the year")
	}
	if dayOfYear.MatchString(pattern) {
		k.caution(path, "D is the day of the year, 1 to 366", "write dd for the day of the month, or DDD to mean it")
	}
	if strings.Contains(pattern, "m") && !strings.ContainsAny(pattern, "HhKkA") {
		k.caution(path, "mm is minutes, and no hour is given", "write MM for the month")
	}
}

func aboutErrors(message string) bool {
	return strings.Contains(message, "ErrorOutputPrefix") || strings.Contains(message, "error prefix")
}

// timeZone asks the owner of the list of time zones. An explicit "" is UTC, as
// Firehose's pattern allows it.
func (k checker) timeZone(v Validators) {
	d := &k.c.ExtendedS3DestinationConfiguration
	if d.CustomTimeZone == "" {
		d.CustomTimeZone = "UTC"
	}
	if v.TimeZone == nil {
		return
	}
	if err := v.TimeZone(d.CustomTimeZone); err != nil {
		k.flag(pathDestination+".CustomTimeZone", err.Error(), "write UTC or a name such as Asia/Seoul")
	}
}

func (k checker) buffering() {
	const hints = pathDestination + ".BufferingHints"
	size, interval := k.given(hints+".SizeInMBs"), k.given(hints+".IntervalInSeconds")
	if k.given(hints) && size != interval {
		missing, def := "IntervalInSeconds", 300
		if interval {
			missing, def = "SizeInMBs", 5
		}
		k.problem(k.at(hints), hints, "SizeInMBs and IntervalInSeconds must be given together",
			fmt.Sprintf("add %s: %d", missing, def))
	}
}

func (k checker) processing() {
	const path = pathDestination + ".ProcessingConfiguration"
	p := k.c.ExtendedS3DestinationConfiguration.ProcessingConfiguration
	if !p.Enabled {
		if len(p.Processors) > 0 {
			k.caution(path, "has no effect: Enabled is not true", "")
		}
		return
	}
	if n := len(p.Processors); n < 1 || n > 5 {
		k.flag(path+".Processors", "A maximum of 5 and a minimum of 1 processor needs to be supplied when processing is enabled.",
			"list a processor, or write Enabled: false")
	}
	for i, one := range p.Processors {
		k.processor(fmt.Sprintf("%s.Processors[%d].Type", path, i), one)
	}
}

func (k checker) processor(path string, p Processor) {
	if why, refused := refusedProcessors[p.Type]; refused {
		k.flag(path, why, "remove the processor")
		return
	}
	switch {
	case p.Type != "AppendDelimiterToRecord":
		w := obeyChoice(p.Type, []string{"AppendDelimiterToRecord"}, false)
		k.flag(path, w.message, w.fix)
	case k.c.Standpipe.RecordFormat == RecordRaw:
		k.flag(path, "AppendDelimiterToRecord together with RecordFormat: raw is not supported yet", "write RecordFormat: lines")
	default:
		k.caution(path, "RecordFormat: lines ends every line in exactly one newline; Firehose would add a second one to records that end in a newline", "")
	}
}

func (k checker) encryption() {
	const path = pathDestination + ".EncryptionConfiguration"
	none, kms := k.given(path+".NoEncryptionConfig"), k.given(path+".KMSEncryptionConfig")
	if k.given(path) && none == kms {
		k.flag(path, "Exactly one of NoEncryptionConfig or KMSEncryptionConfig must be specified", "write NoEncryptionConfig: NoEncryption")
	}
}

// gzipLevelMax is compress/flate's best compression.
const gzipLevelMax = 9

func (k checker) compression() {
	const path = "Standpipe.Compression"
	codec, level := k.c.Codec()
	switch {
	case codec == CodecNone && level > 0:
		k.flag(path+".Level", "has no meaning without compression", "remove it, or write Format: GZIP or Format: ZSTD")
	case codec == CodecGZIP && level > gzipLevelMax:
		k.flag(path+".Level", fmt.Sprintf("is %d, must be 0 to %d for GZIP", level, gzipLevelMax), fmt.Sprintf("write 0 to %d", gzipLevelMax))
	}
	if format := pathDestination + ".CompressionFormat"; k.given(format) && k.given(path+".Format") {
		k.caution(path+".Format", fmt.Sprintf("overrides CompressionFormat in line %d", k.at(format).line), "")
	}
}

// extension warns of a name that says another compression than the body has.
func (k checker) extension() {
	ext := k.c.ExtendedS3DestinationConfiguration.FileExtension
	codec, _ := k.c.Codec()
	said := CodecNone
	switch {
	case strings.HasSuffix(ext, ".gz"):
		said = CodecGZIP
	case strings.HasSuffix(ext, ".zst"):
		said = CodecZSTD
	}
	if said != CodecNone && said != codec {
		k.caution(pathDestination+".FileExtension", fmt.Sprintf("the name says %s but objects are %s", said, codec),
			"change the extension or the compression")
	}
}

func (k checker) checkpoint() {
	const path = "Standpipe.Checkpoint"
	c := &k.c.Standpipe.Checkpoint
	if c.Type != CheckpointEmbedded {
		if k.given(path + ".Path") {
			k.flag(path+".Path", "has no meaning with Type: "+string(c.Type), "remove it, or write Type: embedded")
		}
		c.Path = ""
	}
	switch {
	case c.Type == CheckpointDynamoDB && !k.given(path+".Table"):
		k.flag(path+".Table", "missing: Type: dynamodb needs a table", "write Table: NAME, one table for each delivery stream")
	case c.Type != CheckpointDynamoDB && k.given(path+".Table"):
		k.flag(path+".Table", "has no meaning with Type: "+string(c.Type), "remove it, or write Type: dynamodb")
	}
	if c.Type == CheckpointMemory {
		k.caution(path+".Type", fmt.Sprintf("every restart forgets what was delivered and begins at %s again", k.c.Standpipe.StartingPosition),
			"write embedded or dynamodb to keep it")
	}
}

func (k checker) statusAddress() {
	const path = "Standpipe.StatusAddress"
	text := k.c.Standpipe.StatusAddress
	host, port, err := net.SplitHostPort(text)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host == "" {
		fix := "write an address and a port, such as 127.0.0.1:9410"
		if err == nil && portErr == nil {
			fix = "write 127.0.0.1:" + port + ", or 0.0.0.0:" + port + " to let others in"
		}
		k.flag(path, quote(text)+" is not an address to listen on", fix)
		return
	}
	if !loopback(host) {
		k.caution(path, "others can reach the status page and the metrics, there is no authentication", "")
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// jobs wants a folder or a Redis. User names are refused as in endpoints: the
// settings in force are printed, and files get copied.
func (k checker) jobs() {
	const path = "Standpipe.Jobs"
	p, err := jobplace.Parse(k.c.Standpipe.Jobs)
	switch {
	case err != nil:
		k.secret(path, err.Error(), "write a folder, or redis://HOST:6379/0 for several machines")
	case p.Secret:
		k.secret(path, "the address has a user name or a password", "remove it here and give the whole address in the environment: STANDPIPE_JOBS")
	}
}

// secret notes a problem without showing its line, which may hold a password.
func (k checker) secret(path, message, fix string) {
	at := k.at(path)
	if slices.ContainsFunc(k.problems, func(p Problem) bool { return p.Path == path }) {
		return
	}
	k.problems = append(k.problems, Problem{File: k.file, Line: at.line, Column: at.column, Path: path, Message: message, Fix: fix})
}

func (k checker) endpoints() {
	e := k.c.Standpipe.Endpoint
	k.endpoint("Standpipe.Endpoint.Kinesis", e.Kinesis)
	k.endpoint("Standpipe.Endpoint.S3", e.S3)
	k.endpoint("Standpipe.Endpoint.DynamoDB", e.DynamoDB)
	fleet, _ := jobplace.Parse(k.c.Standpipe.Jobs)
	if k.given("Standpipe.Endpoint.DynamoDB") && k.c.Standpipe.Checkpoint.Type != CheckpointDynamoDB && !fleet.Fleet() {
		k.caution("Standpipe.Endpoint.DynamoDB", "has no effect: Checkpoint.Type is not dynamodb", "")
	}
	for _, path := range []string{"Standpipe.Endpoint.S3", "Standpipe.Endpoint.PathStyle"} {
		if k.given(path) && k.given("Standpipe.Folder") {
			k.caution(path, "has no effect: objects go to a folder", "")
		}
	}
}

// endpoint wants a plain base URL. User names are refused: they would end up in
// logs, and neither API reads them.
func (k checker) endpoint(path, text string) {
	if text == "" && !k.given(path) {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		k.flag(path, "is not a URL", "write it with http:// or https://, such as http://127.0.0.1:9000")
	case u.User != nil: // the line may hold a password: it is not shown
		k.secret(path, "the URL has a user name", "remove it: credentials come from the environment or the role")
	case u.RawQuery != "" || u.Fragment != "":
		k.flag(path, "the URL has more than a host and a path", "write "+u.Scheme+"://"+u.Host)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		k.caution(path, "http:// sends records in the clear", "write https:// outside a trusted network")
	}
}
