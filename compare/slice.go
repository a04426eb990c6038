package compare

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare/sketch"
)

// A Pass is what every slice is read for: with a Slice it is all that Run has to
// know beside the archives. It can be stored and run elsewhere.
type Pass struct {
	// Phase is PhaseScan or PhaseLocate.
	Phase string `json:"phase"`
	// Now is that of the Plan.
	Now time.Time `json:"now"`
	// Places are the names of the archives, see Config.Places.
	Places [2]string `json:"places"`
	unit

	// Capacity is that of the sketch. Reads asks for what each object turned out
	// to be. Both are for a scan.
	Capacity int  `json:"capacity,omitempty"`
	Reads    bool `json:"reads,omitempty"`

	// Hashes are those to locate, the low halves of 8 bytes each: what is found
	// says its whole hash. Of the first Detailed of them places and text are wanted.
	Hashes   []byte `json:"hashes,omitempty"`
	Detailed int    `json:"detailed,omitempty"`
}

// An Outcome is how a slice ended: with what Pass.Run returned, or with the
// reason why nobody could run it.
type Outcome struct {
	Result []byte
	Failed string
}

// An Executor has every slice run by Pass.Run, anywhere, in any order, some of
// them perhaps more than once, and hands exactly one outcome of each to take,
// with the slice's index. It calls take from one goroutine, and returns its error.
type Executor func(ctx context.Context, p Pass, slices []Slice, take func(i int, o Outcome) error) error

// resultMax bounds the result of a slice, for whoever has to store it.
const resultMax = 16 << 20

// MaxCapacity is up to which capacity the results of slices have room for a full
// sketch.
const MaxCapacity = 1 << 18

// Run reads the objects of a slice, one after the other, and returns the result
// as JSON. It is a function of the archives alone: what is wrong with an object
// is in the result. An error means that there is none: ctx ended, or the pass
// cannot be run by this program.
func (p Pass) Run(ctx context.Context, stores [2]archive.Store, s Slice, progress func(o Object, lines int64)) ([]byte, error) {
	var (
		begin  func(i int, o Object) func(sketch.Hash, []byte, spot)
		end    func(o Object, r read)
		result func() any
	)
	switch p.Phase {
	case PhaseScan:
		t := newTally(p.Capacity)
		begin, end, result = t.begin, func(o Object, r read) { t.count(o, r, p.Reads) }, t.travel
	case PhaseLocate:
		l := newLocator(p, s.Objects)
		begin, end, result = l.begin, l.end, l.travel
	default:
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: fmt.Sprintf("run a slice of the pass %q", p.Phase), Hint: "the job is of a newer version of standpipe"}
	}
	r := newReader(stores, p.unit)
	defer r.close()
	for i, o := range s.Objects {
		if o.Side != A && o.Side != B || stores[o.Side] == nil {
			return nil, &standpipe.Error{Class: standpipe.Fatal, Op: fmt.Sprintf("read %s of side %d", o.Key, o.Side), Hint: "the job is of another comparison"}
		}
		got, err := r.object(ctx, o, begin(i, o))
		if err != nil {
			return nil, err
		}
		end(o, got)
		progress(o, got.lines)
	}
	return encodeResult(result())
}

func encodeResult(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	if len(b) > resultMax {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: fmt.Sprintf("the result of a slice takes %d MiB, more than %d", len(b)>>20, resultMax>>20),
			Hint: "give a smaller --capacity, --show or --slice; what the sketch cannot hold is counted on disk",
		}
	}
	return b, nil
}

// Troubled says that a result has objects in it that could not be read whole:
// to run the slice again may help.
func Troubled(result []byte) bool {
	var r struct {
		Problems []json.RawMessage `json:"problems"`
	}
	return json.Unmarshal(result, &r) != nil || len(r.Problems) > 0
}

// hashList is the form of Pass.Hashes.
func hashList(hashes []sketch.Hash) []byte {
	b := make([]byte, 0, 8*len(hashes))
	for _, h := range hashes {
		b = binary.LittleEndian.AppendUint64(b, h.Lo)
	}
	return b
}

// inProcess runs the slices here, several at a time.
func (c *Config) inProcess(ctx context.Context, p Pass, slices []Slice, take func(int, Outcome) error) error {
	type ended struct {
		i int
		o Outcome
	}
	g := &gauge{phase: p.Phase, tell: c.Progress}
	for _, s := range slices {
		g.total += s.Bytes()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	results, finished := make(chan ended), make(chan error, 1)
	go func() {
		finished <- parallel(ctx, c.Workers, len(slices), func() (func(context.Context, int) error, func()) {
			return func(ctx context.Context, i int) error {
				result, err := p.Run(ctx, c.Stores, slices[i], func(o Object, lines int64) { g.done(o, read{lines: lines}) })
				if ended := context.Cause(ctx); ended != nil {
					return ended
				}
				e := ended{i, Outcome{Result: result}}
				if err != nil {
					e.o.Failed = err.Error()
				}
				select {
				case results <- e:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}, func() {}
		})
		close(results)
	}()
	var failed error
	for e := range results {
		if failed != nil {
			continue
		}
		if failed = take(e.i, e.o); failed != nil {
			stop(failed)
		}
	}
	err := <-finished
	if failed != nil {
		return failed
	}
	return err
}
