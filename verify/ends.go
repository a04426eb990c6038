package verify

import (
	"fmt"

	"github.com/standpipe/standpipe"
)

// An End is how far a checkpoint says that a chain goes. A chain whose last
// manifests were removed together with their objects is whole by itself; only
// who counted the commits knows better.
type End struct {
	// Folder is the chain's, see manifest.Origin.
	Folder string
	Shard  standpipe.ShardID
	// Number is that of the last manifest, 0 before the first.
	Number int64
	// Last is the checkpoint.
	Last standpipe.Position
}

// cut holds the chains against the checkpoints. A manifest is written before
// its checkpoint, so a live writer's chain may go further, never less far.
func (v *verifier) cut(ends []End) {
	chains := map[string]*chain{}
	for _, c := range v.chains {
		chains[c.folder] = c
	}
	for _, e := range ends {
		if e.Number == 0 {
			continue
		}
		v.count(func(c *Counts) { c.Ends++ })
		c := chains[e.Folder]
		if c == nil {
			c = &chain{folder: e.Folder}
		}
		f := Finding{Kind: Gap, Shard: e.Shard, Manifest: c.last, Last: &e.Last}
		if c.done.Sequence != "" {
			f.After = &c.done
		}
		switch {
		case c.number < e.Number:
			f.Detail = fmt.Sprintf("the chain %s ends with manifest %d, the checkpoint was moved by number %d", e.Folder, c.number, e.Number)
		case c.before != nil && c.done.Compare(e.Last) < 0:
			f.Detail = fmt.Sprintf("manifest %d, the last, ends at %s, the checkpoint is at %s", c.number, c.done, e.Last)
		default:
			continue
		}
		v.found(f)
	}
}
