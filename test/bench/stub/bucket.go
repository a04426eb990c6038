package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A bucket counts what becomes visible. Data is dropped unless keep is set;
// what lies under "_standpipe/" is small and kept.
type bucket struct {
	mu      sync.Mutex
	keep    bool
	uploads map[string]*upload
	done    map[string]bool        // completed uploads: S3 remembers them too
	meta    map[string]http.Header // of visible objects
	small   map[string][]byte
	kept    map[string][]byte
	Bucket
}

// Bucket is the part of /progress about what was written.
type Bucket struct {
	Objects, Bytes int64 // visible, of data
	Requests       int64
	Repeated       int64 // publications of what was published before
	Manifests      int64
	Committed      int64 // lines that manifests say are in their objects
	Lines          int64 // lines found in objects, with keep
	Broken         []string

	begun int64 // uploads, for their ids
}

type upload struct {
	key   string
	meta  http.Header
	size  map[int]int64
	parts map[int][]byte // with keep
}

func (b *bucket) init(keep bool) {
	b.keep, b.uploads, b.done, b.meta = keep, map[string]*upload{}, map[string]bool{}, map[string]http.Header{}
	b.small, b.kept = map[string][]byte{}, map[string][]byte{}
}

// metadata is the part of a request's header that an object is given.
func metadata(h http.Header) http.Header {
	meta := http.Header{}
	for name, values := range h {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			meta[name] = values
		}
	}
	return meta
}

func (b *bucket) report() Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.Bucket
	for key, body := range b.kept {
		n, err := lines(body)
		if err != nil {
			out.Broken = append(out.Broken, key+": "+err.Error())
		}
		out.Lines += n
	}
	return out
}

// lines decompresses an object and counts its newlines.
func lines(object []byte) (n int64, err error) {
	var r io.Reader = bytes.NewReader(object)
	switch {
	case bytes.HasPrefix(object, []byte{0x1f, 0x8b}):
		r, err = gzip.NewReader(r)
	case bytes.HasPrefix(object, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for {
		k, err := r.Read(buf)
		n += int64(bytes.Count(buf[:k], []byte{'\n'}))
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// s3 is path style: /bucket/key.
func (s *stub) s3(w http.ResponseWriter, req *http.Request) {
	r := s.current()
	if r == nil {
		http.Error(w, "no run", http.StatusConflict)
		return
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	r.bucket.serve(w, req, key)
}

func (b *bucket) serve(w http.ResponseWriter, req *http.Request, key string) {
	b.mu.Lock()
	b.Requests++
	b.mu.Unlock()
	q := req.URL.Query()
	switch {
	case req.Method == http.MethodPost && q.Has("uploads"):
		b.mu.Lock()
		b.begun++
		id := fmt.Sprintf("upload-%d", b.begun)
		b.uploads[id] = &upload{key: key, meta: metadata(req.Header), size: map[int]int64{}, parts: map[int][]byte{}}
		b.mu.Unlock()
		writeXML(w, struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			Key      string
			UploadID string `xml:"UploadId"`
		}{Key: key, UploadID: id})
	case req.Method == http.MethodPut:
		b.put(w, req, key, q.Get("uploadId"), q.Get("partNumber"))
	case req.Method == http.MethodPost:
		// As S3 does: an answer before the whole request breaks the connection.
		if _, err := io.Copy(io.Discard, io.LimitReader(req.Body, 8<<20)); err != nil {
			return
		}
		b.complete(w, key, q.Get("uploadId"))
	case req.Method == http.MethodDelete:
		b.mu.Lock()
		delete(b.uploads, q.Get("uploadId"))
		b.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		b.mu.Lock()
		body, ok := b.small[key]
		meta := b.meta[key]
		b.mu.Unlock()
		maps.Copy(w.Header(), meta)
		if !ok && meta == nil {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		_, _ = w.Write(body)
	}
}

func (b *bucket) put(w http.ResponseWriter, req *http.Request, key, id, part string) {
	var body bytes.Buffer
	small := strings.HasPrefix(key, "_standpipe/")
	var into io.Writer = io.Discard
	if b.keep || small {
		into = &body
	}
	n, sum, err := receive(into, req)
	if err != nil {
		b.mu.Lock()
		b.Broken = append(b.Broken, key+": "+err.Error())
		b.mu.Unlock()
		refuse(w, http.StatusBadRequest, "BadDigest")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch u := b.uploads[id]; {
	case id != "" && u == nil:
		refuse(w, http.StatusNotFound, "NoSuchUpload")
		return
	case id != "":
		number, _ := strconv.Atoi(part)
		u.size[number] = n
		u.parts[number] = body.Bytes()
	case small:
		b.small[key] = body.Bytes()
		b.manifest(key, body.Bytes())
	default:
		b.visible(key, n, body.Bytes(), metadata(req.Header))
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%08x"`, sum))
	w.Header().Set("x-amz-checksum-crc32", encodeCRC32(sum))
}

func (b *bucket) visible(key string, n int64, body []byte, meta http.Header) {
	b.meta[key] = meta
	b.Objects++
	b.Bytes += n
	if b.keep {
		b.kept[key] = body
	}
}

func (b *bucket) manifest(key string, body []byte) {
	if !strings.HasPrefix(key, "_standpipe/commits/") {
		return
	}
	var m struct{ Counts struct{ Lines int64 } }
	if err := json.Unmarshal(body, &m); err != nil {
		b.Broken = append(b.Broken, key+": "+err.Error())
	}
	b.Manifests++
	b.Committed += m.Counts.Lines
}

func (b *bucket) complete(w http.ResponseWriter, key, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[id]
	if b.done[id] {
		b.Repeated++
		writeCompleted(w, key)
		return
	}
	if u == nil || u.key != key {
		refuse(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	delete(b.uploads, id)
	b.done[id] = true
	var n int64
	var body []byte
	numbers := make([]int, 0, len(u.size))
	for number, size := range u.size {
		numbers = append(numbers, number)
		n += size
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		body = append(body, u.parts[number]...)
	}
	b.visible(key, n, body, u.meta)
	writeCompleted(w, key)
}

func writeCompleted(w http.ResponseWriter, key string) {
	writeXML(w, struct {
		XMLName   xml.Name `xml:"CompleteMultipartUploadResult"`
		Key, ETag string
	}{Key: key, ETag: `"whole"`})
}

// receive reads a body, aws-chunked or not, and verifies the CRC-32 that came
// with it.
func receive(into io.Writer, req *http.Request) (n int64, sum uint32, err error) {
	h := crc32.NewIEEE()
	into = io.MultiWriter(into, h)
	want := req.Header.Get("x-amz-checksum-crc32")
	if strings.HasPrefix(req.Header.Get("x-amz-content-sha256"), "STREAMING-") {
		n, want, err = chunks(into, bufio.NewReaderSize(req.Body, 64<<10), want)
	} else {
		n, err = io.Copy(into, req.Body)
	}
	if err != nil {
		return n, 0, err
	}
	sum = h.Sum32()
	if want != "" && want != encodeCRC32(sum) {
		return n, sum, fmt.Errorf("checksum %s, body has %s", want, encodeCRC32(sum))
	}
	return n, sum, nil
}

// chunks reads an aws-chunked body: "<hex>[;…]\r\n<data>\r\n" and trailers.
func chunks(into io.Writer, r *bufio.Reader, want string) (n int64, checksum string, err error) {
	for {
		head, err := r.ReadString('\n')
		if err != nil {
			return n, want, err
		}
		digits, _, _ := strings.Cut(strings.TrimSpace(head), ";")
		size, err := strconv.ParseInt(digits, 16, 64)
		if err != nil {
			return n, want, err
		}
		if size == 0 {
			break
		}
		if _, err := io.CopyN(into, r, size); err != nil {
			return n, want, err
		}
		n += size
		if _, err := r.Discard(2); err != nil {
			return n, want, err
		}
	}
	for {
		line, err := r.ReadString('\n')
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && strings.EqualFold(name, "x-amz-checksum-crc32") {
			want = strings.TrimSpace(value)
		}
		if err == io.EOF {
			return n, want, nil
		}
		if err != nil {
			return n, want, err
		}
	}
}

func encodeCRC32(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}

func writeXML(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/xml")
	if err := xml.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
