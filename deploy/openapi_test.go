package deploy

import (
	"context"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// openAPI reads a document as the OpenAPI specification demands it; what AWS
// adds in x- fields is package gateway's to judge.
func openAPI(t *testing.T, text string) error {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		return err
	}
	return doc.Validate(context.Background())
}

func TestTheAPIIsValidOpenAPI(t *testing.T) {
	text := readText(t, "openapi.yaml")
	if err := openAPI(t, text); err != nil {
		t.Error(err)
	}
	for wrong, right := range map[string]string{
		"openapi: \"3.0.1\"": "opnapi: \"3.0.1\"", // no version
		"\n    post:":        "\n    psot:",       // no method of HTTP
		"responses:":         "answers:",          // an operation without answers
	} {
		if !strings.Contains(text, wrong) {
			t.Fatalf("%q is not in the file, and so its test says nothing", wrong)
		}
		if openAPI(t, strings.ReplaceAll(text, wrong, right)) == nil {
			t.Errorf("with %q for %q it is still valid", right, wrong)
		}
	}
}
