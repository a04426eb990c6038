package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
)

type wire func(*http.Request) (*http.Response, error)

func (w wire) Do(req *http.Request) (*http.Response, error) { return w(req) }

// A reader believes at the third time only that a shard has left the stream. Until
// then nobody knows what waits in it, and an alarm would ring.
func TestStatusAsksMoreThanOnceWhatWaitsInAShard(t *testing.T) {
	for code, want := range map[string]bool{"ResourceNotFoundException": true, "AccessDeniedException": false} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			client := consumer.NewClient(aws.Config{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, HTTPClient: wire(func(req *http.Request) (*http.Response, error) {
				status, body := http.StatusOK, `{"Shards":[{"ShardId":"shardId-000000000009","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}`
				if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "GetShardIterator") {
					asked++
					status, body = http.StatusBadRequest, `{"__type":"`+code+`"}`
				}
				return &http.Response{
					StatusCode: status, Request: req, ContentLength: int64(len(body)),
					Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body)),
				}, nil
			})}, "orders")
			defer client.Close()
			var st delivery.ShardStatus
			ctx, cancel := context.WithTimeout(t.Context(), statusTimeout)
			defer cancel()
			err := first(ctx, client, checkpoint.Lease{Shard: "shardId-000000000000", Checkpoint: standpipe.Position{Sequence: "5"}}, &st)
			if got := err == nil && !st.ReadAt.IsZero(); got != want || !want && asked != 1 {
				t.Errorf("%s: known %v after %d calls, %v", code, got, asked, err)
			}
		})
	}
}
