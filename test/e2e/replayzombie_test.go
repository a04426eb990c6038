package e2e

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A machine stands still in the middle of a replay into a prefix, its next
// request on the way; another, given the same command, takes its slice over and
// ends the job. Then the request arrives and the first one wakes, knowing
// nothing: it is fenced, and prints the same result.
func TestAZombieOfAReplayIntoAPrefixIsHarmless(t *testing.T) {
	for name, held := range map[string]func(harness.Call) bool{
		"publish": harness.Call.Publishes,
		"commit": func(c harness.Call) bool {
			return c.Method == http.MethodPut && strings.Contains(c.Path, "/_standpipe/commits/")
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, e := harness.StartLocal(t, program, t.TempDir())
			s := newStack(t, e)
			d, input := chopped(t, s, "zombie")
			store := fleetStore(t)
			wire := harness.NewTripwire(t, s.endpoints.S3)
			d.Env = append(slices.Clone(d.Env), store.env...)
			slow := *d
			slow.Env = append(slices.Clone(d.Env), "AWS_ENDPOINT_URL_S3="+wire.Endpoint)
			args := []string{"replay", "-c", d.Config, "--from", "TRIM_HORIZON", "--to-prefix", "again/", "--rate", "5", "--json", "-q", "--jobs", store.place}
			n := 0
			caught := wire.Catch(func(c harness.Call) bool {
				if held(c) {
					n++
				}
				return n == 3
			}, false)
			zombie := harness.Start(t, "standpipe replay, which will stand still", s.begin(limited(t, testLimit), t, &slow, args...))
			select {
			case <-caught.Held:
			case <-zombie.Done():
				t.Fatalf("it ended before: %s", zombie.Output())
			}
			zombie.Pause()
			other := s.command(t, d, args...).want(t, 0)
			after := s.listing(t, "zombie")
			caught.Release()
			zombie.Resume()
			if code, err := zombie.Wait(testLimit); err != nil || code != 0 {
				t.Fatalf("the zombie ended with %d, %v: %s", code, err, zombie.Output())
			}
			t.Logf("the zombie says %s", zombie.Output())
			if !maps.Equal(after, s.listing(t, "zombie")) {
				t.Error("the zombie changed the bucket")
			}
			if r := other.result(t); r.Shards != 2 || len(r.Failed) > 0 {
				t.Errorf("%+v", r)
			}
			a := &harness.Archive{Client: s.s3, Bucket: "zombie", Prefix: "again/data/"}
			if err := a.Refresh(limited(t, deliverLimit)); err != nil {
				t.Fatal(err)
			}
			if diff := harness.Diff(harness.Multiset(input), a.Lines()); diff != "" {
				t.Error(diff)
			}
			s.command(t, d, "verify", "s3://zombie/again/", "--deep", "-q").want(t, 0)
		})
	}
}
