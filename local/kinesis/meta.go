package kinesis

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// streamFile describes a stream in its folder; the records lie beside it.
const streamFile = "stream.json"

// metaVersion is refused when it is greater than ours: an older program must
// not write into a newer one's folder.
const metaVersion = 2

// A streamMeta is stream.json. Hash keys are decimal, times Unix milliseconds
// unless they say seconds.
type streamMeta struct {
	Version  int    `json:"version"`
	Name     string `json:"name"`
	Created  int64  `json:"created"`
	Changing string `json:"changing,omitempty"`
	Ready    int64  `json:"ready,omitempty"`
	settings
	Next      uint32         `json:"next_shard"`
	Shards    []shardMeta    `json:"shards"`
	Consumers []consumerMeta `json:"consumers,omitempty"`
	Resized   []int64        `json:"resized,omitempty"`
}

type consumerMeta struct {
	Name     string            `json:"name"`
	Created  int64             `json:"created"`
	Changing string            `json:"changing,omitempty"`
	Ready    int64             `json:"ready,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	Policy   string            `json:"policy,omitempty"`
}

type shardMeta struct {
	Index          uint32    `json:"index"`
	Parents        []uint32  `json:"parents,omitempty"`
	Hash           hashRange `json:"hash"`
	CreatedSeconds int64     `json:"created_seconds"`
	Opened         int64     `json:"opened"`
	Closed         int64     `json:"closed,omitempty"`
	Trimmed        uint64    `json:"trimmed,omitempty"`
}

// save writes stream.json in one step, so that a crash leaves the old or the
// new one. The caller holds mu.
func (st *stream) save() error {
	if st.dir == "" {
		return nil
	}
	m := streamMeta{
		Version: metaVersion, Name: st.name, Created: st.created, Changing: st.changing, Ready: st.ready,
		settings: st.set, Next: st.next, Resized: st.resized,
	}
	for _, c := range st.consumers {
		m.Consumers = append(m.Consumers, consumerMeta{c.name, c.created, c.changing, c.ready, c.tags, c.policy})
	}
	for _, sh := range st.shards {
		sh.log.mu.RLock()
		trimmed := sh.log.trimmed
		sh.log.mu.RUnlock()
		m.Shards = append(m.Shards, shardMeta{sh.index, sh.parents, sh.hash, sh.created, sh.opened, sh.closed, trimmed})
	}
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("encode stream %s: %w", st.name, err)
	}
	if err := os.MkdirAll(st.dir, 0o700); err != nil {
		return fmt.Errorf("create folder of stream %s: %w", st.name, err)
	}
	path := filepath.Join(st.dir, streamFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("write stream %s: %w", st.name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write stream %s: %w", st.name, err)
	}
	return nil
}

// loadStream reopens the stream of a folder and returns how many bytes of torn
// appends were cut off. A folder without stream.json is a stream whose creation
// or deletion was interrupted: it is nil.
func loadStream(dir, region, account string, limit int64) (*stream, int, error) {
	b, err := os.ReadFile(filepath.Join(dir, streamFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read stream: %w", err)
	}
	var m streamMeta
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, 0, fmt.Errorf("read stream %s: %w", dir, err)
	}
	if m.Version > metaVersion {
		return nil, 0, fmt.Errorf("stream folder %s has format %d, this program knows %d", dir, m.Version, metaVersion)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("list stream: %w", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	st := &stream{
		name: m.Name, arn: streamARN(region, account, m.Name), created: m.Created, dir: dir,
		changing: m.Changing, ready: m.Ready, set: m.settings, resized: m.Resized, limit: limit,
	}
	for _, c := range m.Consumers {
		st.consumers = append(st.consumers, &consumer{name: c.Name, created: c.Created, changing: c.Changing, ready: c.Ready, tags: c.Tags, policy: c.Policy})
	}
	cut := 0
	for _, s := range m.Shards {
		st.next = s.Index
		sh := st.addShard(s.Hash, s.Parents, s.CreatedSeconds, s.Opened)
		sh.closed, sh.log.trimmed = s.Closed, s.Trimmed
		n, err := sh.log.load(names)
		cut += n
		if err != nil {
			return nil, cut, fmt.Errorf("load %s of stream %s: %w", sh.name(), st.name, err)
		}
		// Indexes below what was trimmed were given out even if no file says so.
		sh.log.last = max(sh.log.last, sh.log.trimmed-min(sh.log.trimmed, 1))
		if sh.log.counter.Load() < sh.log.last {
			sh.log.counter.Store(sh.log.last)
		}
	}
	st.next = m.Next
	st.route()
	return st, cut, nil
}

// streamDir names the folder of an incarnation: creation time and name, so that
// neither "." nor a file system that ignores case can mix two streams up.
func streamDir(root, name string, created int64) string {
	return filepath.Join(root, strconv.FormatInt(created, 10)+"-"+name)
}
