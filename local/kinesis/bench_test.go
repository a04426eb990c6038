package kinesis

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// benchServer is a server with one shard. The benchmarks call its ServeHTTP
// without a network, so that they measure the server alone.
func benchServer(b *testing.B, dir string) *Server {
	s, err := New(Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.EnsureStream("s", 1); err != nil {
		b.Fatal(err)
	}
	return s
}

// A discard is a ResponseWriter that keeps only the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

func serve(b *testing.B, s *Server, op, body string) {
	r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", contentJSON)
	r.Header.Set("X-Amz-Target", target+op)
	w := &discard{header: http.Header{}}
	s.ServeHTTP(w, r)
	if w.status != http.StatusOK {
		b.Fatalf("%s: status %d", op, w.status)
	}
}

func putBody(records, size int) string {
	data := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", size)))
	var s strings.Builder
	s.WriteString(`{"StreamName":"s","Records":[`)
	for i := range records {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `{"Data":"%s","PartitionKey":"key-%d"}`, data, i)
	}
	s.WriteString("]}")
	return s.String()
}

func BenchmarkPutRecords500x1KB(b *testing.B) {
	for _, mode := range []string{"memory", "files"} {
		b.Run(mode, func(b *testing.B) {
			dir := ""
			if mode == "files" {
				dir = b.TempDir()
			}
			s := benchServer(b, dir)
			defer s.Close()
			body := putBody(500, 1000)
			b.SetBytes(500 * 1000)
			n := 0
			for b.Loop() {
				serve(b, s, "PutRecords", body)
				if n++; n%1000 == 0 { // 500 MB: keep the machine's memory
					sh := s.streams["s"].shards[0]
					sh.log.trim(sh.log.tip())
				}
			}
		})
	}
}

func BenchmarkGetRecords(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			s := benchServer(b, "")
			defer s.Close()
			total := 10_000_000 / size
			for n := 0; n < total; n += min(total, 100) {
				serve(b, s, "PutRecords", putBody(min(total, 100), size))
			}
			st := s.streams["s"]
			it := s.iterator(st, st.shards[0], 0, s.clock.now())
			page := min(total, getRecordsMax)
			b.SetBytes(int64(page * size))
			for b.Loop() {
				serve(b, s, "GetRecords", `{"ShardIterator":"`+it+`"}`)
			}
		})
	}
}
