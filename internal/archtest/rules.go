package archtest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A Rule is one thing the project does not do. Check returns the breaches as
// "file:line: what".
type Rule struct {
	Name  string
	Why   string
	Check func(*Tree) []string
}

// Rules are all rules. A folder of the same name in testdata breaks each.
var Rules = []Rule{
	{
		"root-imports-nothing-of-ours",
		"the root package holds the words everyone speaks; a word that needs a package is no word",
		allow([]string{"."}, nil),
	},
	{
		"root-is-pure",
		"the words of the domain know no AWS, files, network, logs or metrics: whoever imports them gets nothing else",
		forbid([]string{"."}, "github.com/aws/", "os", "net", "go.uber.org/zap", "log", "github.com/prometheus/"),
	},
	{
		"siblings-stay-apart",
		"consumer, checkpoint, batcher, sink, config, status, gateway, directput and jobs import only the root, their own sub-packages and internal packages that import of ours only the root and one another; delivery joins them, so that each can be read, tested and replaced alone",
		siblings("consumer", "checkpoint", "batcher", "sink", "config", "status", "gateway", "directput", "jobs"),
	},
	{
		"consumer-knows-no-s3",
		"reading a shard must not depend on where the lines go",
		forbid([]string{"consumer"}, s3SDK...),
	},
	{
		"gateway-knows-no-s3",
		"the front door ends at the stream: what it acknowledged must not depend on where the lines go",
		forbid([]string{"gateway"}, s3SDK...),
	},
	{
		"templates-reach-nothing",
		"a mapping template is a function of its arguments: no AWS, no network, no files, so that a hostile body can only be rendered",
		forbid([]string{"gateway/vtl", "gateway/jsondoc"}, "github.com/aws/", "net", "os", "go.uber.org/zap", "github.com/prometheus/"),
	},
	{
		"sink-knows-no-kinesis",
		"writing an object must not depend on where the lines come from",
		forbid([]string{"sink"}, kinesisSDK...),
	},
	{
		"checkpoint-knows-neither",
		"a lease is the same whatever is read and written under it",
		forbid([]string{"checkpoint"}, slices.Concat(s3SDK, kinesisSDK)...),
	},
	{
		"batcher-is-pure",
		"batching is a function of its arguments: no AWS, no network, no files, so that a test needs no set-up",
		forbid([]string{"batcher"}, "github.com/aws/", "net", "os", "go.uber.org/zap", "github.com/prometheus/"),
	},
	{
		"manifest-is-pure",
		"a proof is judged by what it says: no I/O, and of ours only the root, so that delivery, verify, replay and compare read it alike",
		func(t *Tree) []string {
			return append(allow([]string{"manifest"}, []string{"."})(t), forbid([]string{"manifest"}, "github.com/aws/", "net", "os", "go.uber.org/zap")(t)...)
		},
	},
	{
		"pure-packages-take-the-time-as-an-argument",
		"the root, batcher, manifest and checkpoint/kcl must give the same answer tomorrow: time.Now, timers and goroutines belong to their callers",
		pure(".", "batcher", "manifest", "checkpoint/kcl"),
	},
	{
		"archive-only-reads",
		"archive reads what anybody wrote: verify, compare and cat stand on it, so it knows none of the packages that write",
		allow([]string{"archive"}, []string{".", "archive", "internal"}),
	},
	{
		"verify-judges-from-archives",
		"a proof that is judged by the code that wrote it proves nothing: verify knows archives and manifests, never delivery or a sink; the stream is asked by a function it is given",
		allow([]string{"verify"}, []string{".", "archive", "verify", "manifest", "internal"}),
	},
	{
		"replay-is-wired-by-others",
		"a slice of a replay is data that any dispatcher may run: no flags, no settings, no clients of its own",
		allow([]string{"replay"}, []string{".", "archive", "checkpoint", "consumer", "delivery", "jobs", "manifest", "replay", "sink", "verify", "internal"}),
	},
	{
		"compare-judges-from-archives",
		"a verdict that shared code with the live shard loop would repeat its mistakes: compare knows archives, manifests and the stream's reader, never delivery",
		allow([]string{"compare"}, []string{".", "archive", "compare", "manifest", "internal"}),
	},
	{
		"redrive-knows-no-delivery",
		"what is sent a second time goes through archives, jobs, sinks and the stream's reader alone; a redrive that leaned on the live shard loop could disturb it",
		allow([]string{"redrive"}, []string{".", "redrive", "archive", "consumer", "jobs", "sink", "internal"}),
	},
	{
		"delivery-is-wired-by-others",
		"delivery is the protocol; flags, YAML, settings and SDK types stay in cmd, or the simulation cannot run it",
		forbid([]string{"delivery"}, Module+"/cmd", Module+"/config", "github.com/goccy/go-yaml", "gopkg.in/yaml", "flag", "github.com/alecthomas/kong", "github.com/aws/"),
	},
	{
		"local-stays-out-of-production",
		"the laptop's servers are no part of an archiver in production: only cmd files with the build tag !nolocal may import local, so that -tags nolocal leaves it out",
		localOnlyBehindTag,
	},
	{
		"end-to-end-tests-judge-from-outside",
		"test/ knows the command line and the wire; with our packages it would repeat our mistakes",
		allow([]string{"test"}, []string{".", "test"}),
	},
	{
		"no-sleep",
		"a sleep is a race with a guess: outside tests use a timer with the context, in tests a named signal or a synctest bubble",
		noSleep,
	},
	{
		"no-global-random",
		"math/rand's top-level functions cannot be seeded: a run could not be repeated. Use rand.New with a source the component owns, or crypto/rand",
		noGlobalRandom,
	},
	{
		"no-print",
		"standard output belongs to cmd: a package returns, logs or writes to the io.Writer it was given",
		noPrint,
	},
	{
		"no-silent-skip",
		"a skip nobody sees is a test nobody has: call need.Absent or need.Program of test/e2e/need, which are loud and fail under CI=true",
		noSilentSkip,
	},
	{
		"nothing-unfinished",
		"unfinished work belongs into an issue, not into a comment that ships",
		grep(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`),
	},
	{
		"no-path-of-a-machine",
		"a path of one person's machine works on no other",
		grep("(?m)(^|[\\s\"'`=(:,])(/ho" + "me/\\w+/|/Use" + "rs/\\w+/|/ro" + "ot/|/wo" + "rk/|[A-Z]:\\\\Use" + "rs\\\\)"),
	},
}

// Breaches returns what the tree does against the rules, each with its reason.
func Breaches(t *Tree, rules []Rule) []string {
	var all []string
	for _, r := range rules {
		found := r.Check(t)
		sort.Strings(found)
		for _, b := range found {
			all = append(all, fmt.Sprintf("%s\n\trule %s: %s", b, r.Name, r.Why))
		}
	}
	return all
}

var (
	s3SDK      = []string{"github.com/aws/aws-sdk-go-v2/service/s3", "github.com/aws/aws-sdk-go-v2/feature/s3"}
	kinesisSDK = []string{"github.com/aws/aws-sdk-go-v2/service/kinesis", "github.com/aws/aws-sdk-go-v2/service/firehose"}
)

// matches says whether an import path is the banned one or below it; a banned
// path that ends in a slash is a prefix.
func matches(importPath, banned string) bool {
	return under(importPath, banned) || strings.HasSuffix(banned, "/") && strings.HasPrefix(importPath, banned)
}
