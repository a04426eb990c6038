package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/standpipe/standpipe"
)

// An Audit holds an archive against a ledger, line by line: none missing, none
// twice, none altered, each shard's in the order of its sequence numbers, every
// chain of manifests unbroken. It follows the chains while they grow, reads
// every object once and keeps one bit a line, so memory does not follow the
// size of the archive. Not safe for concurrent use.
type Audit struct {
	Archive *Archive
	Ledger  *Ledger

	chains  map[string]*chain
	objects map[string]string // of audited objects, the ETag when they were read
	seen    []bitset          // by key
	lines   int64             // seen at least once
	scratch []byte
	faults  []string
	broken  int // faults found, those not kept too
}

// A chain is how far a shard's manifests were followed.
type chain struct {
	folder string // of the manifests
	number int64
	last   standpipe.Position
	newest time.Time // arrival of the newest record delivered
	at     cursor
}

// A cursor is the place in a shard's order behind the last line.
type cursor struct {
	sequence  sequence
	key       int
	next, end uint32 // lines of the last record that have to follow at once
}

// faultsKept bounds what a report shows: one bug breaks thousands of lines.
const faultsKept = 20

// NewAudit begins with nothing seen.
func NewAudit(archive *Archive, ledger *Ledger) *Audit {
	return &Audit{
		Archive: archive, Ledger: ledger,
		chains: map[string]*chain{}, objects: map[string]string{}, seen: make([]bitset, len(ledger.accounts)),
	}
}

// Lines counts the lines seen so far, each once.
func (a *Audit) Lines() int64 { return a.lines }

// Objects counts the objects seen so far.
func (a *Audit) Objects() int { return len(a.objects) }

// Shards lists the shards with a manifest.
func (a *Audit) Shards() []string { return slices.Sorted(maps.Keys(a.chains)) }

// Ended says whether a shard's chain reached the shard's end.
func (a *Audit) Ended(shard string) bool {
	c, there := a.chains[shard]
	return there && c.last.AtEnd()
}

// Arrived is the arrival of the newest record delivered of a shard; zero while
// there is none.
func (a *Audit) Arrived(shard string) time.Time {
	if c, there := a.chains[shard]; there {
		return c.newest
	}
	return time.Time{}
}

// Report lists what is wrong so far, or nothing.
func (a *Audit) Report() string {
	if a.broken == 0 {
		return ""
	}
	return fmt.Sprintf("%d faults, the first of them:\n  %s", a.broken, strings.Join(a.faults, "\n  "))
}

func (a *Audit) fault(format string, args ...any) {
	if a.broken++; len(a.faults) < faultsKept {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

// Sweep follows the chains as far as they reach now. Its error is of the
// servers; what is wrong with the archive is in Report.
func (a *Audit) Sweep(ctx context.Context) error {
	listed, err := a.Archive.list(ctx, bookkeeping+"commits/")
	if err != nil {
		return err
	}
	longest := map[string]int64{}
	for key := range listed {
		number, err := strconv.ParseInt(strings.TrimSuffix(path.Base(key), ".json"), 10, 64)
		if err != nil || !isManifest(key) {
			a.fault("%s is not named as a manifest", key)
			continue
		}
		folder := path.Dir(key)
		longest[folder] = max(longest[folder], number)
	}
	for _, folder := range slices.Sorted(maps.Keys(longest)) {
		if err := a.follow(ctx, folder, longest[folder]); err != nil {
			return err
		}
	}
	return nil
}

// follow reads the manifests of one shard up to that number. Number n was
// written before n+1 was, so one that is not there is a hole.
func (a *Audit) follow(ctx context.Context, folder string, number int64) error {
	shard := path.Base(folder)
	c, there := a.chains[shard]
	if !there {
		c = &chain{folder: folder}
		a.chains[shard] = c
	}
	if c.folder != folder {
		a.fault("%s has a second chain of manifests: %s and %s", shard, c.folder, folder)
		return nil
	}
	for c.number < number {
		m, err := a.Archive.manifest(ctx, fmt.Sprintf("%s/%012d.json", folder, c.number+1))
		if err != nil {
			return err
		}
		a.link(c, m)
		for _, o := range m.Objects {
			if err := a.object(ctx, shard, c, m, o); err != nil {
				return err
			}
		}
		c.number, c.last = m.Number, m.Last
	}
	return nil
}

// link checks a manifest against the one before it.
func (a *Audit) link(c *chain, m Manifest) {
	switch {
	case c.number == 0 && m.PrevLast.Sequence != standpipe.TrimHorizon:
		a.fault("%s: the first manifest begins after %v, want %s", m.Shard, m.PrevLast, standpipe.TrimHorizon)
	case c.number > 0 && m.PrevLast != c.last:
		a.fault("%s: manifest %d begins after %v, the one before ended at %v", m.Shard, m.Number, m.PrevLast, c.last)
	}
	if m.First != "" && (standpipe.Position{Sequence: m.First}).Compare(m.PrevLast) <= 0 {
		a.fault("%s: manifest %d has %s as its first record, which is not after %v", m.Shard, m.Number, m.First, m.PrevLast)
	}
	if m.Last.Compare(m.PrevLast) <= 0 {
		a.fault("%s: manifest %d ends at %v, which is not after %v", m.Shard, m.Number, m.Last, m.PrevLast)
	}
	if len(m.Gaps) > 0 {
		a.fault("%s: manifest %d has a gap, though nothing was trimmed that was not delivered: %s", m.Shard, m.Number, m.Gaps[0])
	}
}

// object reads one object that a manifest names.
func (a *Audit) object(ctx context.Context, shard string, c *chain, m Manifest, o ManifestObject) error {
	if _, named := a.objects[o.Key]; named {
		a.fault("%s: manifest %d names %s, which was named before", shard, m.Number, o.Key)
		return nil
	}
	body, etag, err := a.Archive.Tagged(ctx, o.Key)
	if err != nil {
		return err
	}
	a.objects[o.Key] = etag
	if int64(len(body)) != o.Size {
		a.fault("%s: %s has %d bytes, manifest %d says %d", shard, o.Key, len(body), m.Number, o.Size)
	}
	text, err := Decode(body)
	if err != nil {
		a.fault("%s: %s: %v", shard, o.Key, err)
		return nil
	}
	var digest standpipe.Digest
	for line := range SplitLines(text) {
		digest.Add(line)
		if err := a.line(ctx, shard, c, o.Key, line); err != nil {
			return err
		}
	}
	if digest.Lines != o.Lines || digest.Sum() != o.Hash {
		a.fault("%s: %s has %d lines with hash %s, manifest %d says %d and %s", shard, o.Key, digest.Lines, digest.Sum(), m.Number, o.Lines, o.Hash)
	}
	if o.ArrivalMax.After(c.newest) {
		c.newest = o.ArrivalMax
	}
	return nil
}

// line counts one line and checks that it follows the one before.
func (a *Audit) line(ctx context.Context, shard string, c *chain, key string, line []byte) error {
	k, n, ok := a.Ledger.parseLine(line)
	a.scratch = a.scratch[:0]
	if ok {
		a.scratch = a.Ledger.AppendLine(a.scratch, k, n)
	}
	if !bytes.Equal(a.scratch, line) {
		a.fault("%s: %s has a line that nobody wrote: %q", shard, key, clip(line))
		return nil
	}
	if a.seen[k].set(n) {
		a.fault("%s: %s has line %d of key %d, which was there before", shard, key, n, k)
	} else {
		a.lines++
	}
	p, err := a.place(ctx, k, n, shard)
	if err != nil {
		return err
	}
	at := &c.at
	switch {
	case p.shard != shard:
		a.fault("%s: %s has line %d of key %d, which is in %s", shard, key, n, k, p.shard)
	case at.next < at.end && (k != at.key || n != at.next):
		a.fault("%s: %s has line %d of key %d, want line %d of key %d, of the same record", shard, key, n, k, at.next, at.key)
	case at.next == at.end && n != p.first:
		a.fault("%s: %s has line %d of key %d, whose record begins with line %d", shard, key, n, k, p.first)
	case at.next == at.end && !p.sequence.after(at.sequence):
		a.fault("%s: %s has line %d of key %d after a line of a later record", shard, key, n, k)
	}
	*at = cursor{sequence: p.sequence, key: k, next: n + 1, end: p.first + p.lines}
	return nil
}

// place waits for the ledger: a record can be delivered before its producer
// has read the answer.
func (a *Audit) place(ctx context.Context, key int, n uint32, shard string) (place, error) {
	if p, ok := a.Ledger.find(key, n, shard); ok {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var p place
	err := Poll(ctx, fmt.Sprintf("the stream's answer for line %d of key %d, which is delivered", n, key), func() error {
		found, ok := a.Ledger.find(key, n, shard)
		if p = found; !ok {
			return errors.New("not acknowledged")
		}
		return nil
	})
	return p, err
}

// Close sweeps until nothing is new and then looks at what no chain tells of:
// lines that are missing, objects that no manifest names, changed or went, and
// shards that were closed and not read to their end. Nothing may write to the
// stream or to the archive any more. shards are all the stream has.
func (a *Audit) Close(ctx context.Context, shards []types.Shard) error {
	if err := a.Sweep(ctx); err != nil {
		return err
	}
	a.complete()
	listed, err := a.Archive.list(ctx, "")
	if err != nil {
		return err
	}
	for key, etag := range a.objects {
		if now, there := listed[key]; !there {
			a.fault("%s was visible and is gone", key)
		} else if now != etag {
			a.fault("%s had ETag %s and now has %s: it was written twice", key, etag, now)
		}
	}
	for key := range listed {
		if _, named := a.objects[key]; !named && !strings.HasPrefix(key, bookkeeping) {
			a.fault("%s is visible and no manifest names it", key)
		}
	}
	for _, s := range shards {
		closed := s.SequenceNumberRange.EndingSequenceNumber != nil
		if closed != a.Ended(*s.ShardId) {
			a.fault("%s: closed %v, delivered to its end %v", *s.ShardId, closed, a.Ended(*s.ShardId))
		}
	}
	return nil
}

// complete looks for lines that were handed out and never seen.
func (a *Audit) complete() {
	a.Ledger.mu.Lock()
	defer a.Ledger.mu.Unlock()
	for key, account := range a.Ledger.accounts {
		for _, hole := range a.seen[key].holes(account.lines) {
			a.fault("lines %d to %d of key %d are missing", hole[0], hole[1]-1, key)
		}
	}
}

// A bitset is a set of counters.
type bitset []uint64

// set adds n and says whether it was there.
func (b *bitset) set(n uint32) bool {
	for int(n/64) >= len(*b) {
		*b = append(*b, 0)
	}
	word, bit := &(*b)[n/64], uint64(1)<<(n%64)
	there := *word&bit != 0
	*word |= bit
	return there
}

func (b bitset) has(n uint32) bool {
	return int(n/64) < len(b) && b[n/64]&(1<<(n%64)) != 0
}

// holes are the runs below end that are not in the set, as [first, end).
func (b bitset) holes(end uint32) (all [][2]uint32) {
	for n := uint32(0); n < end; n++ {
		if b.has(n) {
			continue
		}
		from := n
		for n < end && !b.has(n) {
			n++
		}
		all = append(all, [2]uint32{from, n})
	}
	return all
}
