package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestBlowsLeaveWorkForAfterwards(t *testing.T) {
	for seed := range uint64(200) {
		blows := Blows(rand.New(rand.NewPCG(seed, 0)), 13, 3, 10, 110)
		sum := 0
		for _, b := range blows {
			if b.Member < 0 || b.Member > 2 || b.After < 1 {
				t.Fatalf("seed %d: %+v", seed, b)
			}
			sum += b.After
		}
		if blows[0].After < 10 || sum > 110+13 {
			t.Errorf("seed %d: the first blow falls after %d calls, the last after %d", seed, blows[0].After, sum)
		}
		if !slices.Equal(blows, Blows(rand.New(rand.NewPCG(seed, 0)), 13, 3, 10, 110)) {
			t.Errorf("seed %d gives other blows the second time", seed)
		}
	}
}

// store is a server that remembers what was put.
type store struct {
	mu  sync.Mutex
	all []string
}

func (s *store) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r.URL.Path)
}

func (s *store) puts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func TestAMemberIsKilledBeforeOrAfterItsCallIsDone(t *testing.T) {
	for _, answered := range []bool{false, true} {
		var done store
		server := httptest.NewServer(&done)
		defer server.Close()
		team := NewTeam(t, 1, server.URL, func(_ int, s3 string) *Process {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "HARNESS_CHILD=writer", "HARNESS_S3="+s3)
			return Start(t, "writer", cmd)
		})
		before := 0
		for i := range 3 {
			// The members' first calls may come before the trap is set.
			midst, err := team.Strike(Blow{After: 5, Answered: answered}, Call.Creates, time.Minute)
			if err != nil || !midst {
				t.Fatalf("kill %d: midst %v, %v", i+1, midst, err)
			}
			want := 4
			if answered {
				want = 5
			}
			if n := done.puts() - before; n < want {
				t.Errorf("%d objects were put until kill %d, want at least %d", n, i+1, want)
			}
			if n := team.Tally.Written(); n != done.puts() {
				t.Errorf("%d objects were put, the tally has %d", done.puts(), n)
			}
			before = done.puts()
			team.Start(0)
		}
		if answered {
			continue
		}
		if _, err := team.Strike(Blow{After: 1 << 20}, Call.Creates, time.Millisecond); err != nil {
			t.Errorf("a member that does not get there in time: %v", err)
		}
		if err := team.Wait(time.Minute, 0); err == nil || !strings.Contains(err.Error(), "exit code -1, want 0") {
			t.Errorf("a member that was killed counts as ended: %v", err)
		}
	}
}

func TestTheTallyNamesWhatWasWrittenTwice(t *testing.T) {
	direct := newArchive(t)
	wire := NewTripwire(t, aws.ToString(direct.Client.Options().BaseEndpoint))
	wired := &Archive{Client: S3Client(wire.Endpoint), Bucket: direct.Bucket}
	var tally Tally
	tally.Watch(wire)
	put(t, wired, "once", []byte("a"))
	put(t, wired, "twice", []byte("a"))
	_, err := wired.Client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &wired.Bucket, Key: aws.String("once"), Body: strings.NewReader("b"), IfNoneMatch: aws.String("*"),
	})
	if err == nil {
		t.Fatal("the server wrote over an object that was there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	caught := wire.Nth(1, Call.Creates, true)
	gone := make(chan error, 1)
	go func() {
		_, err := wired.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &wired.Bucket, Key: aws.String("twice"), Body: strings.NewReader("a")})
		gone <- err
	}()
	<-caught.Held
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("the held request was answered")
	}
	if _, _, err := caught.Answer(within(t)); err != nil {
		t.Fatal(err)
	}
	err = Poll(within(t), "the tally to see it", func() error {
		if got := fmt.Sprint(tally.Written(), tally.Twice()); got != "2 [/archive/twice]" {
			return fmt.Errorf("it has %s", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRedisForgetsEverythingWhenItIsEmptiedOrRestarted(t *testing.T) {
	r := StartRedis(t)
	for _, empty := range []func(){
		func() {
			if n, err := r.Flush(within(t)); err != nil || n != 1 {
				t.Errorf("emptied of %d keys, %v, want 1", n, err)
			}
		},
		func() { r.Restart(t) },
	} {
		if err := r.client.Set(within(t), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		empty()
		if n, err := r.client.DBSize(within(t)).Result(); err != nil || n != 0 {
			t.Errorf("%d keys are left, %v", n, err)
		}
	}
}
