package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/standpipe/standpipe/test/e2e/node"
)

// A DynamoDB is a running DynamoDB-compatible server.
type DynamoDB struct {
	Endpoint string
	Process  *Process
}

// StartDynalite starts dynalite 4.0.0, in memory. Known holes: a refusal by a
// condition does not show the item, there are no on-demand limits, tags and
// deletion protection are taken and forgotten. A table is CREATING that long.
func StartDynalite(t testing.TB, creating time.Duration) *DynamoDB {
	t.Helper()
	cmd := exec.Command("node", filepath.Join(node.Install(t), "dynalite.cjs"))
	cmd.Env = append(os.Environ(), fmt.Sprintf("DYNALITE_CREATE_MS=%d", creating.Milliseconds()))
	p := Start(t, "dynalite", cmd)
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	line, err := p.WaitLine(ctx, "listening on ")
	if err != nil {
		t.Fatal(err)
	}
	_, endpoint, _ := strings.Cut(line, "listening on ")
	return &DynamoDB{Endpoint: endpoint, Process: p}
}

// Settings are for a client that talks to this server.
func (d *DynamoDB) Settings() aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: &d.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	}
}

// Client talks to the server.
func (d *DynamoDB) Client() *dynamodb.Client {
	return dynamodb.NewFromConfig(d.Settings(), func(o *dynamodb.Options) { o.HTTPClient = newMemoryBody() })
}
