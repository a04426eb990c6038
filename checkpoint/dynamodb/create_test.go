package dynamodb

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// A fixed capacity throttles a fleet that grows, or is paid for while it sleeps.
func TestATableIsMadeToBePaidByTheRequest(t *testing.T) {
	var made map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		switch _, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); {
		case op == "CreateTable":
			if err := json.Unmarshal(body, &made); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, `{"TableDescription":{"TableStatus":"CREATING"}}`)
		case made == nil:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`)
		default:
			fmt.Fprint(w, `{"Table":{"TableName":"leases","TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}],`+
				`"AttributeDefinitions":[{"AttributeName":"leaseKey","AttributeType":"S"}]}}`)
		}
	}))
	defer server.Close()
	table := NewTable(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	}, "leases")
	defer table.Close()
	if err := table.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if made["BillingMode"] != "PAY_PER_REQUEST" || made["ProvisionedThroughput"] != nil || made["DeletionProtectionEnabled"] != true {
		t.Errorf("made as %v", made)
	}
}
