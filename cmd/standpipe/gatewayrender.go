package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/standpipe/standpipe/gateway"
)

type gatewayRenderCommand struct {
	Config   string            `short:"c" required:"" placeholder:"FILE" help:"OpenAPI file with x-amazon-apigateway-integration."`
	Data     string            `short:"d" placeholder:"BODY" help:"Body of the request; standard input by default."`
	Header   []string          `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Header of the request."`
	Method   string            `short:"X" default:"POST" help:"Method."`
	Path     string            `default:"/v1" help:"Path without the stage, with its query."`
	Stage    string            `default:"PROD" placeholder:"NAME" help:"Stage, for $$context.stage."`
	Variable map[string]string `placeholder:"NAME=VALUE" help:"Stage variables."`
	JSON     bool              `help:"Write what Kinesis would be sent as one JSON document."`
}

func (gatewayRenderCommand) Help() string {
	return `Shows what the method's template makes of a request, and the records that are in it, decoded. Sends
nothing and needs no stream.

Examples:

    standpipe gateway render -c deploy/openapi.yaml -d '{"value":"30","type":"Tip 3"}'
    standpipe gateway render -c openapi.yaml -d '{}' -H 'X-Amzn-Trace-Id: x","ExplicitHashKey":"0'
    standpipe gateway render -c openapi.yaml --path '/v1?X-Amzn-Trace-Id=k' < body.json`
}

func (k *gatewayRenderCommand) Run(ctx context.Context, out *console) error {
	api, err := loadAPI(k.Config, out)
	if err != nil {
		return err
	}
	if err := api.Require(k.Variable); err != nil {
		return usagef("%w: give --variable NAME=VALUE", err)
	}
	body := k.Data
	if body == "" {
		b, err := io.ReadAll(io.LimitReader(out.stdin, gateway.BodyMax+1))
		if err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
		body = string(b)
	}
	t := gateway.Trial{Method: k.Method, Stage: k.Stage, Target: k.Path, Header: map[string]string{}, Body: body, Variables: k.Variable}
	for _, h := range k.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return usagef("-H %s: write it as 'Name: value'", h)
		}
		t.Header[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	result, err := api.Try(ctx, t)
	if err != nil {
		return err
	}
	if k.JSON {
		return out.writeJSON(result)
	}
	fmt.Fprintf(out.stdout, "Kinesis.%s\n\n%s\n", result.Action, strings.TrimRight(result.Body, "\n"))
	for i, r := range result.Records {
		fmt.Fprintf(out.stdout, "\nrecord %d: key %q", i+1, r.PartitionKey)
		if r.ExplicitHashKey != "" {
			fmt.Fprintf(out.stdout, ", explicit hash key %q", r.ExplicitHashKey)
		}
		fmt.Fprintf(out.stdout, ", data %q\n", r.Data)
	}
	if result.Problem != "" {
		out.note("standpipe gateway render: Kinesis would refuse this: %s", result.Problem)
	}
	return nil
}
