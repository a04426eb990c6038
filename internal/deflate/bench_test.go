//go:build unix

package deflate

import (
	"io"
	"syscall"
	"testing"
	"time"

	klauspost "github.com/klauspost/compress/flate"

	"github.com/standpipe/standpipe/test/bench/canned"
)

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Chunks of 512 KiB that do not depend on one another, 32 MiB of distinct ones,
// by this package and by klauspost/compress at level 1.
func BenchmarkChunks(b *testing.B) {
	const chunk, all = 8 * BlockSize, 32 << 20
	for _, kind := range canned.Kinds {
		text := lines(kind, all)
		each := func(encode func(chunk []byte)) func(*testing.B) {
			return func(b *testing.B) {
				begun := cpuTime()
				for i := 0; b.Loop(); i++ {
					at := i * chunk % all
					encode(text[at : at+chunk])
				}
				b.ReportMetric(chunk*float64(b.N)/1e6/(cpuTime()-begun).Seconds(), "MB/cpu-s")
			}
		}
		e := new(Encoder)
		var out []byte
		b.Run(string(kind)+"/own", each(func(chunk []byte) {
			e.Reset()
			for ; len(chunk) > 0; chunk = chunk[BlockSize:] {
				out = e.Append(out[:0], chunk[:BlockSize])
			}
		}))
		w, err := klauspost.NewWriter(nil, 1)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(kind)+"/klauspost", each(func(chunk []byte) {
			w.Reset(io.Discard)
			if _, err := w.Write(chunk); err != nil {
				b.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		}))
	}
}
