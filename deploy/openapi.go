package deploy

import _ "embed"

// OpenAPI is the sample API of the front door: what `standpipe local` serves and
// what API Gateway imports.
//
//go:embed openapi.yaml
var OpenAPI []byte
