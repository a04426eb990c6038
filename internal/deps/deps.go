// Package deps keeps modules in go.mod that parts of the project being written
// at the same time are about to import.
package deps

import (
	_ "github.com/alicebob/miniredis/v2"
	_ "github.com/anishathalye/porcupine"
	_ "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	_ "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	_ "github.com/chromedp/chromedp"
	_ "github.com/fxamacker/cbor/v2"
	_ "github.com/getkin/kin-openapi/openapi3"
	_ "github.com/go-redis/redis/v8"
	_ "github.com/hashicorp/hcl/v2/hclparse"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/valyala/fastjson"
	_ "github.com/vmihailenco/taskq/v3"
	_ "github.com/vmihailenco/taskq/v3/redisq"
	_ "golang.org/x/net/http2"
)
