package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"github.com/standpipe/standpipe/cmd/standpipe/internal/kinesistest"
)

const firehoseSettings = `DeliveryStreamName: clicks
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration: {KinesisStreamARN: "arn:aws:kinesis:ap-northeast-2:000000000000:stream/class-stream"}
ExtendedS3DestinationConfiguration: {BucketARN: "arn:aws:s3:::lake", Prefix: rawdata/, CustomTimeZone: Asia/Seoul}
`

// opened starts `standpipe firehose` on free ports. It returns both addresses
// and, when it ended, its exit code and the rest of its log.
func opened(t *testing.T, ctx context.Context, files ...string) (api, page string, ended func() (int, string)) {
	t.Helper()
	out, in := io.Pipe()
	code := make(chan int, 1)
	args := []string{"firehose", "--addr", "127.0.0.1:0", "--status-addr", "127.0.0.1:0"}
	for _, f := range files {
		args = append(args, "-c", f)
	}
	go func() {
		code <- run(ctx, args, strings.NewReader(""), io.Discard, in)
		_ = in.Close()
	}()
	log := bufio.NewReader(out)
	first, _ := log.ReadBytes('\n')
	rest := make(chan string, 1)
	go func() { // the log is a pipe: unread, it would hold up every answer
		b, _ := io.ReadAll(log)
		rest <- string(b)
	}()
	var line struct{ Msg, Address, Status string }
	if err := json.Unmarshal(first, &line); err != nil || line.Msg != "firehose is ready" {
		t.Fatalf("it did not begin: %s%s", first, <-rest)
	}
	return line.Address, line.Status, func() (int, string) { return <-code, <-rest }
}

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "standpipe.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The stop is asked for while a request is on its way into the stream: it is
// answered, the log has its line, the exit code is 0.
func TestFirehoseAnswersWhatItTookBeforeItStops(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	stub := kinesistest.New(t, "class-stream", 0, func(call int, _ []kinesistest.Record) (string, map[int]string) {
		if call == 2 {
			interrupt()
		}
		return "", map[int]string{0: "ProvisionedThroughputExceededException"}
	})
	stub.DenyDescribe("AccessDeniedException") // the door never asks for more than PutRecords
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stub.URL)
	api, _, ended := opened(t, ctx, settingsFile(t, firehoseSettings))
	client := firehoseClient(t, api)
	out, err := client.PutRecordBatch(t.Context(), &firehose.PutRecordBatchInput{
		DeliveryStreamName: aws.String("clicks"), Records: []types.Record{{Data: []byte("a")}, {Data: []byte("b\n")}},
	})
	if err != nil || *out.FailedPutCount != 1 || out.RequestResponses[1].RecordId == nil || *out.RequestResponses[0].ErrorMessage != "Slow down." {
		t.Errorf("%+v, %v", out, err)
	}
	code, log := ended()
	if code != exitOK || !strings.Contains(log, `"operation":"PutRecordBatch"`) || !strings.Contains(log, `"failed":1`) {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
	if stub.Lines() != "b\n" {
		t.Errorf("stored %q", stub.Lines())
	}
}

func firehoseClient(t *testing.T, endpoint string) *firehose.Client {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("ap-northeast-2"))
	if err != nil {
		t.Fatal(err)
	}
	return firehose.NewFromConfig(cfg, func(o *firehose.Options) {
		o.BaseEndpoint, o.Retryer = &endpoint, aws.NopRetryer{}
		o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	})
}

func TestFirehoseServesSeveralDeliveryStreamsAndItsMetrics(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	stub := kinesistest.New(t, "class-stream", 0, nil)
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stub.URL)
	api, page, ended := opened(t, ctx, settingsFile(t, firehoseSettings), settingsFile(t, strings.Replace(firehoseSettings, "clicks", "logs", 1)+"Standpipe: {Compression: {Format: GZIP}}\n"))
	client := firehoseClient(t, api)
	list, err := client.ListDeliveryStreams(t.Context(), &firehose.ListDeliveryStreamsInput{})
	if err != nil || strings.Join(list.DeliveryStreamNames, " ") != "clicks logs" {
		t.Errorf("%+v, %v", list, err)
	}
	described, err := client.DescribeDeliveryStream(t.Context(), &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String("logs")})
	if err != nil {
		t.Fatal(err)
	}
	if d := described.DeliveryStreamDescription; *d.DeliveryStreamARN != "arn:aws:firehose:ap-northeast-2:000000000000:deliverystream/logs" ||
		*d.Destinations[0].ExtendedS3DestinationDescription.CustomTimeZone != "Asia/Seoul" ||
		d.Destinations[0].ExtendedS3DestinationDescription.CompressionFormat != types.CompressionFormatGzip {
		t.Errorf("%+v", d)
	}
	if _, err := client.PutRecord(t.Context(), &firehose.PutRecordInput{DeliveryStreamName: aws.String("logs"), Record: &types.Record{Data: []byte("x")}}); err != nil {
		t.Error(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(page + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(body), `standpipe_directput_records_total{result="stored"} 1`) {
		t.Errorf("%s", body)
	}
	if r := call("healthcheck", "--url", page+"/livez"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	interrupt()
	if code, log := ended(); code != exitOK {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}

func TestFirehoseRefusesWhatItCannotServe(t *testing.T) {
	aim(t, "AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:1")
	file := settingsFile(t, firehoseSettings)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-c", file, "-c", file}, "standpipe: two delivery streams are named clicks\n"},
		{[]string{"-c", "/nowhere"}, "standpipe: read configuration /nowhere: open /nowhere: no such file or directory"},
	} {
		r := call(append([]string{"firehose"}, c.args...)...)
		if r.code != exitUsage || !strings.HasPrefix(r.errors, c.want) {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
}
