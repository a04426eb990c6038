package harness

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestTheTripwireHoldsTheNthWriteBeforeOrAfterItIsDone(t *testing.T) {
	direct := newArchive(t)
	wire := NewTripwire(t, aws.ToString(direct.Client.Options().BaseEndpoint))
	wired := &Archive{Client: S3Client(wire.Endpoint), Bucket: direct.Bucket}
	for _, answered := range []bool{false, true} {
		key := map[bool]string{false: "refused", true: "done"}[answered]
		tripped := wire.Arm(2, answered)
		put(t, wired, key+"/1", []byte("a"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := wired.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &wired.Bucket, Key: aws.String(key + "/2"), Body: strings.NewReader("b")})
			done <- err
		}()
		<-tripped
		cancel()
		if err := <-done; err == nil {
			t.Errorf("%s: the held request was answered", key)
		}
		found, err := direct.list(within(t), key+"/")
		if err != nil {
			t.Fatal(err)
		}
		if _, there := found[key+"/2"]; there != answered {
			t.Errorf("%s: object there %v, want %v", key, there, answered)
		}
	}
}

func TestACaughtRequestReachesTheServerWhenItIsReleasedAndNotBefore(t *testing.T) {
	direct := newArchive(t)
	wire := NewTripwire(t, aws.ToString(direct.Client.Options().BaseEndpoint))
	wired := &Archive{Client: S3Client(wire.Endpoint), Bucket: direct.Bucket}
	caught := wire.Catch(func(c Call) bool { return c.Method == http.MethodPut && strings.HasSuffix(c.Path, "/late") }, false)
	put(t, wired, "other", []byte("a"))
	done := make(chan error, 1)
	go func() {
		_, err := wired.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &wired.Bucket, Key: aws.String("late"), Body: strings.NewReader("b")})
		done <- err
	}()
	<-caught.Held
	there := func() bool {
		found, err := direct.list(within(t), "late")
		if err != nil {
			t.Fatal(err)
		}
		return len(found) == 1
	}
	if there() {
		t.Fatal("the server saw the request while it was held")
	}
	caught.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	status, _, err := caught.Answer(within(t))
	if err != nil || status != http.StatusOK || !there() {
		t.Fatalf("status %d, %v, there %v", status, err, there())
	}
	put(t, wired, "late", []byte("a second time nothing is held"))
}
