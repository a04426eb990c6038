package kinesis

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/standpipe/standpipe"
	"go.uber.org/zap"
)

// A Config says how a Server behaves. The zero Config is a server in memory
// whose changes take effect at once.
type Config struct {
	// Dir keeps streams, shards, sequence numbers and records over a restart,
	// in append-only files; "" keeps them in memory. One server at a time: a
	// second one is refused.
	Dir string
	// Region and Account appear in ARNs and messages; us-east-1 and
	// 000000000000 when empty.
	Region, Account string
	// Now is the clock, time.Now when nil. The admin clock offset is added.
	Now func() time.Time
	// CreateDelay is how long a stream is CREATING, UPDATING or DELETING.
	CreateDelay time.Duration
	// Throttle enforces the shard quotas: 1 MiB and 1000 records a second
	// written, 5 calls and 2 MiB a second read.
	Throttle bool
	// ShardLimit is how many open shards there may be, 20,000 when 0.
	ShardLimit int
	// ShardBytes is how many bytes of records a shard keeps, whatever the
	// retention; 0 is no limit. Records are in memory, with Dir too.
	ShardBytes int64
	// SubscriptionLife is how long SubscribeToShard sends; five minutes when 0.
	SubscriptionLife time.Duration
	// Deterministic makes request ids and iterators count instead of being
	// random: with a clock of one's own, two runs answer alike.
	Deterministic bool
	// Keys, unless empty, are the access keys and their secrets whose signatures
	// are accepted. Otherwise nobody looks at signatures.
	Keys map[string]string
	// Logger gets what an operator should know; never a payload. Nil is silent.
	Logger *zap.Logger
}

// A Server is a Kinesis Data Streams endpoint. All its methods are safe for
// concurrent use.
type Server struct {
	cfg    Config
	clock  clock
	faults faults
	log    *zap.Logger
	lock   *os.File // of cfg.Dir; nil in memory

	account account
	hungUp  chan struct{} // closed by HangUp
	hangUp  sync.Once

	generation atomic.Uint64 // iterators of another generation are expired
	nonce      atomic.Uint64
	requests   atomic.Uint64 // counted by a deterministic server
	nextSweep  atomic.Int64  // ms

	mu      sync.RWMutex
	streams map[string]*stream
	closed  bool
}

// sweepEvery bounds how long memory outlives retention on a server that is
// called at all; what clients see is exact.
const sweepEvery = time.Minute

// New opens a server. What Config.Dir holds is there again; a torn tail of the
// last append is cut off. An error is of class fatal: the folder can't be read
// or written, or a newer program wrote it.
func New(cfg Config) (*Server, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Account == "" {
		cfg.Account = "000000000000"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ShardLimit == 0 {
		cfg.ShardLimit = shardLimitDefault
	}
	if cfg.SubscriptionLife == 0 {
		cfg.SubscriptionLife = subscriptionLife
	}
	s := &Server{cfg: cfg, log: cfg.Logger, streams: make(map[string]*stream), hungUp: make(chan struct{})}
	s.clock.source = cfg.Now
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if cfg.Dir == "" {
		return s, nil
	}
	if err := s.load(); err != nil {
		_ = s.Close() // only read handles and append handles without unwritten bytes
		hint := "--data must name a folder this user may write: check it, or start with an empty one"
		if errors.Is(err, errBusy) {
			hint = "one Kinesis server per folder: stop the other one, or give this one a --data of its own"
		}
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "open kinesis data " + cfg.Dir, Err: err, Hint: hint}
	}
	return s, nil
}

// lockName is the file in Config.Dir that keeps a second server out.
const lockName = "lock"

// errBusy is the folder of a server that runs.
var errBusy = errors.New("another process is using it")

var streamFolder = regexp.MustCompile(`^\d+-[a-zA-Z0-9_.-]{1,128}$`)

func (s *Server) load() (err error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	if s.lock, err = lockFolder(s.cfg.Dir); err != nil {
		return err
	}
	folders, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list folder: %w", err)
	}
	for _, f := range folders {
		if !f.IsDir() || !streamFolder.MatchString(f.Name()) {
			continue
		}
		dir := filepath.Join(s.cfg.Dir, f.Name())
		st, torn, err := loadStream(dir, s.cfg.Region, s.cfg.Account, s.cfg.ShardBytes)
		if err != nil {
			return err
		}
		if torn > 0 {
			s.log.Warn("torn append cut off", zap.String("stream", st.name), zap.Int("bytes", torn))
		}
		if st == nil {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove what is left of a deleted stream: %w", err)
			}
			continue
		}
		if old := s.streams[st.name]; old != nil && old.created > st.created {
			st.close(false)
			continue
		}
		s.streams[st.name] = st
	}
	return nil
}

// HangUp ends every subscription, also those to come: an http.Server that shuts
// down would wait for them.
func (s *Server) HangUp() { s.hangUp.Do(func() { close(s.hungUp) }) }

// Close gives up the files. Calls after it answer InternalFailure. The caller
// stops its http.Server first: a put under way may still fail.
func (s *Server) Close() error {
	s.HangUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, st := range s.streams {
		st.close(false)
	}
	s.unlock()
	return nil
}

// unlock lets the next server have the folder.
func (s *Server) unlock() {
	if s.lock != nil {
		_ = s.lock.Close() // a second time when a test did; nothing was written to it
	}
}

// EnsureStream creates a provisioned stream unless one of that name is there,
// whatever its shards.
func (s *Server) EnsureStream(name string, shards int) error {
	if !streamName.MatchString(name) || shards < 1 || shards > ShardsMax {
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "create stream " + name,
			Hint: fmt.Sprintf("a name has 1 to 128 of a-z A-Z 0-9 _ . - and a stream 1 to %d shards", ShardsMax),
		}
	}
	err := s.create(name, shards, settings{Retention: retentionMin, RecordKiB: recordKiB})
	if e, ok := err.(*apiError); ok && e.code == "ResourceInUseException" {
		return nil
	}
	return err
}

// create makes a stream that is CREATING for the configured delay.
func (s *Server) create(name string, shards int, set settings) error {
	now := s.clock.now()
	err := s.room(shards, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return internalFailure()
	}
	if old := s.streams[name]; old != nil {
		if old.statusNow(now.UnixMilli()) != "" {
			return inUse("Stream %s under account %s already exists.", name, s.cfg.Account)
		}
		delete(s.streams, name)
		old.close(true)
	}
	if err != nil {
		return err
	}
	dir := ""
	if s.cfg.Dir != "" {
		dir = streamDir(s.cfg.Dir, name, now.UnixMilli())
	}
	st := newStream(name, streamARN(s.cfg.Region, s.cfg.Account, name), dir, shards, set, s.cfg.ShardBytes, now)
	st.changing, st.ready = creating, now.Add(s.cfg.CreateDelay).UnixMilli()
	if err := st.save(); err != nil {
		s.log.Error("stream not created", zap.String("stream", name), zap.Error(err))
		return internalFailure()
	}
	s.streams[name] = st
	return nil
}

// stream finds a stream by name. One whose deletion is complete is dropped here.
func (s *Server) stream(name string, now time.Time) (*stream, error) {
	s.mu.RLock()
	st, closed := s.streams[name], s.closed
	s.mu.RUnlock()
	if closed {
		return nil, internalFailure()
	}
	if st == nil {
		return nil, streamNotFound(name, s.cfg.Account)
	}
	if st.statusNow(now.UnixMilli()) == "" {
		s.drop(st)
		return nil, streamNotFound(name, s.cfg.Account)
	}
	return st, nil
}

func (s *Server) drop(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.name] == st {
		delete(s.streams, st.name)
		st.close(true)
	}
}

// all returns every stream there is, by name.
func (s *Server) all(now time.Time) []*stream {
	s.mu.RLock()
	list := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		list = append(list, st)
	}
	s.mu.RUnlock()
	list = slices.DeleteFunc(list, func(st *stream) bool { return st.statusNow(now.UnixMilli()) == "" })
	slices.SortFunc(list, func(a, b *stream) int { return strings.Compare(a.name, b.name) })
	return list
}

// sweepIfDue frees what left retention, at most once a minute.
func (s *Server) sweepIfDue(now time.Time) {
	due := s.nextSweep.Load()
	if now.UnixMilli() >= due && s.nextSweep.CompareAndSwap(due, now.Add(sweepEvery).UnixMilli()) {
		s.sweep(now)
	}
}

func (s *Server) sweep(now time.Time) {
	for _, st := range s.all(now) {
		if !st.sweep(now.UnixMilli()) {
			continue
		}
		st.mu.Lock() // one at a time writes the file
		err := st.save()
		st.mu.Unlock()
		if err != nil { // trimmed records may be back after a restart, and are trimmed again
			s.log.Warn("trimming not saved", zap.String("stream", st.name), zap.Error(err))
		}
	}
}

// statusNow is status for a caller that does not hold mu.
func (st *stream) statusNow(now int64) string {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.status(now)
}
