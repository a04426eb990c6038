package harness

import (
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestTheConfigurationIsYAMLAndHoldsEverySetting(t *testing.T) {
	text, err := Settings{
		Name: "real", StreamARN: "arn:aws:kinesis:us-east-1:123456789012:stream/s", Bucket: "b", RecordFormat: "raw", CheckpointPath: "/c", Zstd: true,
	}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if strings.Contains(string(text), "no value") || !strings.Contains(string(text), "Compression: {Format: ZSTD}") {
		t.Fatalf("got\n%s", text)
	}
	if !strings.Contains(string(text), `Prefix: "data/!{timestamp:yyyy}/"`) {
		t.Fatalf("the default prefix was escaped or lost:\n%s", text)
	}
}

func TestNoAWSSettingOfTheCallerReachesTheBinary(t *testing.T) {
	t.Setenv("AWS_PROFILE", "production")
	t.Setenv("AWS_SESSION_TOKEN", "real")
	env := Endpoints{Kinesis: "http://127.0.0.1:1", S3: "http://127.0.0.1:2", Region: Region}.Environment()
	for _, kv := range env {
		if strings.HasPrefix(kv, "AWS_PROFILE") || strings.HasPrefix(kv, "AWS_SESSION_TOKEN") {
			t.Errorf("%s got through", kv)
		}
	}
	if !slices.Contains(env, "AWS_ENDPOINT_URL_S3=http://127.0.0.1:2") {
		t.Errorf("no S3 endpoint in %v", env)
	}
}
