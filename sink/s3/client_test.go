package s3_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/s3"
)

// early answers before it has looked at the body, as a server on loopback may
// seem to do.
type early struct{ body io.Reader }

func (e *early) Do(req *http.Request) (*http.Response, error) {
	e.body = req.Body
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: req,
		Body: io.NopCloser(strings.NewReader("<CompleteMultipartUploadResult/>")),
	}, nil
}

// net/http copies what is left of a body into nothing to see that it has
// ended, and takes an error for a broken request.
func TestABodyTheSDKHasClosedIsAtItsEndAndNotBroken(t *testing.T) {
	var client early
	cfg := config("https://s3.invalid")
	cfg.HTTPClient = &client
	store := s3.New(s3.NewClient(cfg), "bucket", s3.Options{})
	err := store.Publish(t.Context(), sink.Upload{Object: sink.Object{Key: "k"}, ID: "u", Parts: []sink.Part{{ETag: `"e"`, Size: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, client.body); err != nil {
		t.Errorf("publish: the rest of the body: %v", err)
	}
	if err := store.WriteOnce(t.Context(), "k", []byte("body")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, client.body); err != nil {
		t.Errorf("write once: the rest of the body: %v", err)
	}
}
