package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe/gateway"
	"github.com/standpipe/standpipe/local/kinesis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stream = "class-stream"

// A rig is a gateway before our Kinesis server, each over HTTP.
type rig struct {
	t        testing.TB
	url      string // of the stage
	admin    string
	client   *awskinesis.Client
	http     *http.Client
	registry *prometheus.Registry
}

// tutorial is the API that deploys to AWS.
func tutorial(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "deploy", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parse(t testing.TB, document string) *gateway.API {
	t.Helper()
	api, err := gateway.Parse("openapi.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// start serves a document; change may be nil.
func start(t testing.TB, document string, change func(*gateway.Config)) *rig {
	t.Helper()
	server, err := kinesis.New(kinesis.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnsureStream(stream, 3); err != nil {
		t.Fatal(err)
	}
	api, admin := httptest.NewServer(server), httptest.NewServer(server.Admin())
	transport := &http.Transport{}
	r := &rig{t: t, admin: admin.URL, registry: prometheus.NewRegistry(), http: &http.Client{Transport: &http.Transport{}}}
	r.client = awskinesis.New(awskinesis.Options{
		Region: "us-east-1", BaseEndpoint: &api.URL, Retryer: aws.NopRetryer{}, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
	cfg := gateway.Config{API: parse(t, document), Backend: gateway.NewKinesis(r.client), Stage: "PROD", Registerer: r.registry}
	if change != nil {
		change(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(g)
	r.url = front.URL + "/PROD"
	t.Cleanup(func() {
		r.http.CloseIdleConnections()
		front.Close()
		g.Close()
		transport.CloseIdleConnections()
		api.Close()
		admin.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// An answer is what a client of the gateway sees.
type answer struct {
	status int
	header http.Header
	body   string
}

func (r *rig) do(method, path, body string, headers ...string) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

func (r *rig) post(body string, headers ...string) answer {
	r.t.Helper()
	return r.do(http.MethodPost, "/v1", body, headers...)
}

// order sends an order to the Kinesis server.
func (r *rig) order(path, body string) {
	r.t.Helper()
	res, err := http.Post(r.admin+path, "application/json", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %s: %s", path, body, b)
	}
	http.DefaultClient.CloseIdleConnections()
}

// records are all of the stream, shard by shard in order.
func (r *rig) records() (all []types.Record) {
	r.t.Helper()
	ctx := context.Background()
	shards, err := r.client.ListShards(ctx, &awskinesis.ListShardsInput{StreamName: aws.String(stream)})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range shards.Shards {
		it, err := r.client.GetShardIterator(ctx, &awskinesis.GetShardIteratorInput{
			StreamName: aws.String(stream), ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			r.t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			page, err := r.client.GetRecords(ctx, &awskinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				r.t.Fatal(err)
			}
			all = append(all, page.Records...)
			if next = page.NextShardIterator; len(page.Records) == 0 {
				break
			}
		}
	}
	return all
}

// metric is the value of a counter or gauge, or the count of a histogram.
func (r *rig) metric(name, label string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label != "" && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() != label) {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return 0
}

func field(t testing.TB, body, name string) string {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(body)))
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	s, _ := m[name].(string)
	return s
}
