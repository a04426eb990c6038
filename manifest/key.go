package manifest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/standpipe/standpipe"
)

// StatePrefix is where everything that is not data lies in the bucket. Query
// engines of the Hive family skip names that begin with an underscore.
const StatePrefix = "_standpipe/"

// CommitsPrefix is above all chains. Under it lie manifests and nothing else.
const CommitsPrefix = StatePrefix + "commits/"

// MetaIntent is the metadata key under which an object names its intent, the
// one in Manifest.Intent.
const MetaIntent = "standpipe-intent"

// Limit bounds a manifest in bytes: 500 objects with their ordinals take about 1 MB.
const Limit = 64 << 20

// Folder is where a chain's manifests lie.
func (o Origin) Folder() string {
	return fmt.Sprintf("%s%s-%s/%s/", CommitsPrefix, o.Stream, o.Incarnation, o.Shard)
}

// Key is where manifest number n of a chain lies. Numbers are padded, so a
// listing is in order.
func Key(o Origin, n int64) string { return KeyIn(o.Folder(), n) }

// KeyIn is Key in a chain's folder.
func KeyIn(folder string, n int64) string { return fmt.Sprintf("%s%012d.json", folder, n) }

// PlanKey is where the plan of a flush lies that is too large for its intent.
func PlanKey(o Origin, intent string, rev int, random string) string {
	return fmt.Sprintf("%spending/%s-%s/%s/%s-r%d-%s.json", StatePrefix, o.Stream, o.Incarnation, o.Shard, intent, rev, random)
}

// ParseKey is the inverse of Key, as far as a key tells: the chain's folder,
// its shard and the number.
func ParseKey(key string) (folder string, shard standpipe.ShardID, n int64, ok bool) {
	rest, ok := strings.CutPrefix(key, CommitsPrefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return "", "", 0, false
	}
	digits, ok := strings.CutSuffix(parts[2], ".json")
	if !ok || len(digits) < 12 {
		return "", "", 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || fmt.Sprintf("%012d", n) != digits {
		return "", "", 0, false
	}
	return strings.TrimSuffix(key, parts[2]), standpipe.ShardID(parts[1]), n, true
}
