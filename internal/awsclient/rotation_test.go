package awsclient_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe/internal/awsclient"
)

// Kubernetes writes the token of a service account anew all the time. Each time
// credentials have run out it has to be read again, by one long-lived client.
func TestARotatedWebIdentityTokenIsReadAgain(t *testing.T) {
	isolate(t)
	token := filepath.Join(t.TempDir(), "token")
	var mu sync.Mutex
	var signed []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // STS; the key tells which token it was given for
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>KEY-%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, r.FormValue("WebIdentityToken"), time.Now().UTC().Format(time.RFC3339))
			return
		}
		mu.Lock()
		defer mu.Unlock()
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(key, "/")
		signed = append(signed, key)
	}))
	defer srv.Close()
	for name, value := range map[string]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/standpipe", "AWS_ROLE_SESSION_NAME": "standpipe",
		"AWS_ENDPOINT_URL_STS": srv.URL, "AWS_ENDPOINT_URL_S3": srv.URL,
	} {
		t.Setenv(name, value)
	}
	rotate := func(text string) {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rotate("one")
	cfg, err := awsclient.Load(t.Context(), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	client := awsclient.S3(cfg)
	for _, text := range []string{"one", "two", "three"} {
		rotate(text)
		if _, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("lake"), Key: aws.String("k")}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(signed, " "); got != "KEY-one KEY-two KEY-three" {
		t.Errorf("signed with %s", got)
	}
}
