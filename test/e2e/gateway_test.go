package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// The tutorial's line as its author typed it; only the address is ours.
const curlLine = `curl -sS -d "{\"value\":\"30\",\"type\":\"Tip 3\"}" -H "Content-Type: application/json" -X POST `

// Two posts of the tutorial are two lines in the folder of the hour.
func TestTheTutorialsCurlLineReachesS3(t *testing.T) {
	p, e := harness.StartLocal(t, program, t.TempDir(), "--interval", "1", "--compression", "NONE")
	for range 2 {
		var answer struct {
			SequenceNumber string
			ShardID        string `json:"ShardId"`
		}
		body := tutorialPost(t, e.Gateway+"/PROD/v1")
		if err := json.Unmarshal(body, &answer); err != nil || answer.SequenceNumber == "" || !strings.HasPrefix(answer.ShardID, "shardId-") {
			t.Fatalf("the answer is %s: %v", body, err)
		}
	}
	a := &harness.Archive{Client: e.S3Client(), Bucket: e.Bucket, Prefix: "rawdata/"}
	if err := a.Await(limited(t, deliverLimit), p, 2); err != nil {
		t.Fatal(err)
	}
	folder := regexp.MustCompile(`^rawdata/\d{4}/\d{2}/\d{2}/\d{2}/`)
	text := ""
	for _, key := range a.Keys() {
		if !folder.MatchString(key) {
			t.Errorf("the object %s is in no hour's folder", key)
		}
		b, _ := a.Text(key)
		text += string(b)
	}
	if want := strings.Repeat(`{"value":"30","type":"Tip 3"}`+"\n", 2); text != want {
		t.Errorf("in S3 is %q, want %q", text, want)
	}
	stop(t, p)
}

// tutorialPost runs curl, or does what it does where there is none.
func tutorialPost(t *testing.T, url string) []byte {
	t.Helper()
	if _, err := exec.LookPath("curl"); err == nil {
		out, err := exec.CommandContext(limited(t, time.Minute), "sh", "-c", curlLine+url).CombinedOutput()
		if err != nil {
			t.Fatalf("%s%s: %v: %s", curlLine, url, err, out)
		}
		return out
	}
	res, err := http.Post(url, "application/json", strings.NewReader(`{"value":"30","type":"Tip 3"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s: %v", res.StatusCode, b, err)
	}
	return b
}

const (
	restartPosts   = 100_000
	restartClients = 64
	restarts       = 2
)

// 64 clients post while the process is stopped with SIGTERM and started again,
// twice. Every acknowledged post is in S3, and none twice but where its client
// had to send it again without knowing what became of it.
func TestPostsAreInS3OnceOverGracefulRestarts(t *testing.T) {
	dir := t.TempDir()
	flags := []string{
		"--interval", "1", "--gateway-addr", fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)),
	}
	p, e := harness.StartLocal(t, program, dir, flags...)
	clients := newPosters(e.Gateway + "/PROD/v1")
	wait := clients.run(limited(t, testLimit), restartClients)
	for n := range restarts {
		clients.awaitAcknowledged(t, int64(restartPosts*(n+1)/(restarts+1)))
		stop(t, p)
		p, e = harness.StartLocal(t, program, dir, flags...)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	archive := &harness.Archive{Client: e.S3Client(), Bucket: e.Bucket, Prefix: "rawdata/"}
	if err := archive.Await(limited(t, deliverLimit), p, restartPosts); err != nil {
		t.Error(err)
	}
	stop(t, p)
	// Delivery goes on in the next start if a copy was still in the stream.
	p, e = harness.StartLocal(t, program, dir, flags...)
	archive.Client = e.S3Client()
	if err := harness.Poll(limited(t, deliverLimit), "each post in S3", func() error {
		if err := archive.Refresh(t.Context()); err != nil {
			return err
		}
		return clients.missing(archive)
	}); err != nil {
		t.Error(err)
	}
	clients.judge(t, archive)
	stop(t, p)
}

// posters share the numbers to post.
type posters struct {
	url    string
	client *http.Client
	next   atomic.Int64
	acks   atomic.Int64
	// unknown counts by number the attempts whose fate the client cannot know.
	unknown [restartPosts]atomic.Int32
	refused atomic.Int64 // connections that nobody took: nothing was sent
}

func newPosters(url string) *posters {
	return &posters{url: url, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: restartClients}}}
}

func (c *posters) run(ctx context.Context, clients int) (wait func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for n := c.next.Add(1) - 1; n < restartPosts; n = c.next.Add(1) - 1 {
				if err := c.post(ctx, int(n)); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	return func() error {
		group.Wait()
		defer cancel(nil)
		c.client.CloseIdleConnections()
		if n := c.acks.Load(); n != restartPosts {
			return fmt.Errorf("%d of %d posts were acknowledged: %w", n, restartPosts, context.Cause(ctx))
		}
		return nil
	}
}

// post repeats one number until it is acknowledged.
func (c *posters) post(ctx context.Context, n int) error {
	return harness.Poll(ctx, fmt.Sprintf("an answer to post %d", n), func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(fmt.Sprintf(`{"post":%d}`, n)))
		if err != nil {
			return err
		}
		// As it is: net/http would send it again by itself on a connection that was
		// closed, and nobody could count that.
		req.GetBody = nil
		req.Header.Set("Content-Type", "application/json")
		res, err := c.client.Do(req)
		if errors.Is(err, syscall.ECONNREFUSED) {
			c.refused.Add(1)
			return err
		}
		if err != nil {
			c.unknown[n].Add(1)
			return err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			c.unknown[n].Add(1)
			return fmt.Errorf("status %d: %s: %w", res.StatusCode, body, err)
		}
		if !bytes.Contains(body, []byte("SequenceNumber")) {
			return fmt.Errorf("a 200 without a sequence number: %s", body)
		}
		c.acks.Add(1)
		return nil
	})
}

func (c *posters) awaitAcknowledged(t *testing.T, n int64) {
	t.Helper()
	if err := harness.Poll(limited(t, testLimit), fmt.Sprintf("%d acknowledged posts", n), func() error {
		if got := c.acks.Load(); got < n {
			return fmt.Errorf("%d so far", got)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// copies counts each number in the archive.
func (c *posters) copies(a *harness.Archive) (copies [restartPosts]int32, err error) {
	for _, key := range a.Keys() {
		text, _ := a.Text(key)
		for line := range harness.SplitLines(text) {
			var n int
			if _, err := fmt.Sscanf(string(line), `{"post":%d}`, &n); err != nil || n < 0 || n >= restartPosts {
				return copies, fmt.Errorf("the line %q was never posted", line)
			}
			copies[n]++
		}
	}
	return copies, nil
}

func (c *posters) missing(a *harness.Archive) error {
	copies, err := c.copies(a)
	if err != nil {
		return err
	}
	missing := 0
	for _, n := range copies {
		if n == 0 {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d acknowledged posts are not in S3", missing)
	}
	return nil
}

func (c *posters) judge(t *testing.T, a *harness.Archive) {
	t.Helper()
	copies, err := c.copies(a)
	if err != nil {
		t.Fatal(err)
	}
	unknown, twice, unexplained := int32(0), 0, 0
	for n, count := range copies {
		u := c.unknown[n].Load()
		unknown += u
		if count > 1 {
			twice++
		}
		if count > 1+u {
			unexplained++
		}
	}
	t.Logf("%d posts; %d attempts refused while nobody listened, %d of unknown fate, %d posts there more than once", restartPosts, c.refused.Load(), unknown, twice)
	if unexplained > 0 {
		t.Errorf("%d posts are in S3 more often than their clients sent them", unexplained)
	}
	if c.refused.Load()+int64(unknown) == 0 {
		t.Error("no client noticed the restarts: they prove nothing")
	}
}
