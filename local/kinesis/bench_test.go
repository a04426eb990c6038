package kinesis

import (
	"bytes"
	"fmt"
	"io"
	"net"
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

func serve(b *testing.B, s *Server, c codec, op, body string) {
	r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", c.contentType())
	r.Header.Set("X-Amz-Target", target+op)
	w := &discard{header: http.Header{}}
	s.ServeHTTP(w, r)
	if w.status != http.StatusOK {
		b.Fatalf("%s: status %d", op, w.status)
	}
}

func putBody(records, size int) string { return putBodyIn(jsonCodec{}, records, size) }

func putBodyIn(c codec, records, size int) string {
	in := struct {
		StreamName string
		Records    []any
	}{StreamName: "s"}
	for i := range records {
		in.Records = append(in.Records, struct {
			Data         []byte
			PartitionKey string
		}{[]byte(strings.Repeat("x", size)), fmt.Sprint("key-", i)})
	}
	return string(c.append(nil, in))
}

var codecs = map[string]codec{"json": jsonCodec{}, "cbor": cborCodec{}}

func BenchmarkPutRecords500x1KB(b *testing.B) {
	for _, mode := range []string{"memory", "files"} {
		for name, c := range codecs {
			b.Run(mode+"/"+name, func(b *testing.B) {
				dir := ""
				if mode == "files" {
					dir = b.TempDir()
				}
				s := benchServer(b, dir)
				defer s.Close()
				body := putBodyIn(c, 500, 1000)
				b.SetBytes(500 * 1000)
				n := 0
				for b.Loop() {
					serve(b, s, c, "PutRecords", body)
					if n++; n%1000 == 0 { // 500 MB: keep the machine's memory
						sh := s.streams["s"].shards[0]
						sh.log.trim(sh.log.tip())
					}
				}
			})
		}
	}
}

func BenchmarkGetRecords(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		for name, c := range codecs {
			b.Run(fmt.Sprint(size, "B/", name), func(b *testing.B) {
				s := benchServer(b, "")
				defer s.Close()
				total := 10_000_000 / size
				for n := 0; n < total; n += min(total, 100) {
					serve(b, s, jsonCodec{}, "PutRecords", putBody(min(total, 100), size))
				}
				st := s.streams["s"]
				it := s.iterator(st, st.shards[0], 0, s.clock.now())
				page := min(total, getRecordsMax)
				body := string(c.append(nil, struct{ ShardIterator string }{it}))
				b.SetBytes(int64(page * size))
				for b.Loop() {
					serve(b, s, c, "GetRecords", body)
				}
			})
		}
	}
}

// BenchmarkLoopback is the server behind its own listener, HTTP and sockets and
// all, with one client that does as little as it can. Both are in this process:
// run it with -cpu 2 and read B/s as the rate with about one core of server.
func BenchmarkLoopback(b *testing.B) {
	for name, c := range codecs {
		s := benchServer(b, "")
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		srv, done := s.HTTPServer(), make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		transport := &http.Transport{MaxIdleConnsPerHost: 4}
		call := func(op string, body []byte) {
			r, err := http.NewRequest(http.MethodPost, "http://"+l.Addr().String(), bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Content-Type", c.contentType())
			r.Header.Set("X-Amz-Target", target+op)
			res, err := transport.RoundTrip(r)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				b.Fatalf("%s: %s, %v", op, res.Status, err)
			}
			res.Body.Close()
		}
		b.Run("in/"+name, func(b *testing.B) {
			body, n := []byte(putBodyIn(c, 500, 1000)), 0
			b.SetBytes(500 * 1000)
			for b.Loop() {
				call("PutRecords", body)
				if n++; n%1000 == 0 {
					sh := s.streams["s"].shards[0]
					sh.log.trim(sh.log.tip())
				}
			}
		})
		sh := s.streams["s"].shards[0]
		sh.log.trim(sh.log.tip())
		for range 20 {
			call("PutRecords", []byte(putBodyIn(c, 500, 1000)))
		}
		body := c.append(nil, struct{ ShardIterator string }{s.iterator(s.streams["s"], sh, 0, s.clock.now())})
		b.Run("out/"+name, func(b *testing.B) {
			b.SetBytes(10_000 * 1000)
			for b.Loop() {
				call("GetRecords", body)
			}
		})
		transport.CloseIdleConnections()
		_ = srv.Close()
		<-done
		_ = s.Close()
	}
}
