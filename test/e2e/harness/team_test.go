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

func TestBlowsFallBetweenTwoCallsAndAreRepeatable(t *testing.T) {
	for seed := range uint64(200) {
		blows := Blows(rand.New(rand.NewPCG(seed, 0)), 13, 10, 110)
		before := 10
		for _, b := range blows {
			if b.At < before || b.At >= 110 {
				t.Errorf("seed %d: %v", seed, blows)
			}
			before = b.At
		}
		if !slices.Equal(blows, Blows(rand.New(rand.NewPCG(seed, 0)), 13, 10, 110)) {
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

// soon is a moment a few calls ahead.
func soon(team *Team) int {
	team.mu.Lock()
	defer team.mu.Unlock()
	return team.calls + 5
}

func TestAMemberIsKilledBeforeOrAfterItsCallIsDone(t *testing.T) {
	for _, answered := range []bool{false, true} {
		var done store
		server := httptest.NewServer(&done)
		defer server.Close()
		team := NewTeam(t, 2, server.URL, Call.Creates, func(_ int, s3 string) *Process {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "HARNESS_CHILD=writer", "HARNESS_S3="+s3)
			return Start(t, "writer", cmd)
		})
		for i := range 3 {
			at := soon(team)
			member, midst, err := team.Strike(Blow{At: at, Answered: answered}, time.Minute)
			if err != nil || !midst {
				t.Fatalf("kill %d: midst %v, %v", i+1, midst, err)
			}
			if left := team.Left(); len(left) != 1 || left[0] == member {
				t.Errorf("member %d was killed, left are %v", member, left)
			}
			// The other member's call may be under way still.
			err = Poll(within(t), fmt.Sprintf("%d objects, since call %d was done", at, at), func() error {
				if n := done.puts(); answered && n < at {
					return fmt.Errorf("%d were put", n)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			team.Start(member)
			team.Resume()
		}
		if _, midst, err := team.Strike(Blow{At: 1 << 40}, time.Millisecond); err != nil || midst {
			t.Errorf("members that do not get there in time: midst %v, %v", midst, err)
		}
		team.Resume()
		last := team.Left()[0]
		if member, _, err := team.Strike(Blow{At: soon(team), Answered: answered}, time.Minute); err != nil || member != last {
			t.Errorf("the last member is %d, killed was %d, %v", last, member, err)
		}
		if err := team.Wait(time.Minute, 0); err != nil || len(team.Left()) != 0 {
			t.Errorf("nobody is left: %v, %v", team.Left(), err)
		}
		err := Poll(within(t), "the tally of what was put", func() error { // it hears of a call after it is done
			if n := team.Tally.Written(); n != done.puts() {
				return fmt.Errorf("%d objects were put, it has %d", done.puts(), n)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAMemberThatEndsByItselfIsNoted(t *testing.T) {
	for want, code := range map[string]int{"exit code 7, want 0": 0, "": 7} {
		team := NewTeam(t, 1, "http://127.0.0.1:1", Call.Creates, func(int, string) *Process { return startChild(t, "dying") })
		if _, _, err := team.Strike(Blow{At: 1}, time.Minute); err == nil || !strings.Contains(err.Error(), "ended by itself with exit code 7") {
			t.Errorf("got %v", err)
		}
		if err := team.Wait(time.Minute, code); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want exit code %d: %v", code, err)
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
