package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/gateway"
)

type gatewayCheckCommand struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"OpenAPI file with x-amazon-apigateway-integration."`
	Strict bool   `help:"Warnings fail too."`
	JSON   bool   `help:"Write problems and findings as JSON."`
}

func (gatewayCheckCommand) Help() string {
	return `Reads the file as the gateway does and shows every problem at once. Then it tries each template, with
no headers, with hostile ones, with two documents in a body, and names the traps it falls into: what
is lost, what a caller can do, and what to write instead. Nothing is sent anywhere.

Exit codes: 0 valid, 2 not valid, a trap that loses records (error), or, with --strict, any warning.

Examples:

    standpipe gateway check -c deploy/openapi.yaml
    standpipe gateway check -c openapi.yaml --strict --json`
}

func (k *gatewayCheckCommand) Run(_ context.Context, out *console) error {
	api, err := gateway.Load(k.Config)
	problems, invalid := errors.AsType[gateway.Problems](err)
	if err != nil && !invalid {
		return usage(err)
	}
	findings := []gateway.Finding{}
	if api != nil {
		findings = append(findings, api.Check()...)
	}
	if k.JSON {
		err = out.writeJSON(struct {
			Problems config.Problems   `json:"problems"`
			Findings []gateway.Finding `json:"findings"`
		}{notNil(asProblems(problems)), findings})
	} else {
		err = k.show(asProblems(problems), findings, out)
	}
	if err != nil {
		return err
	}
	counts := map[gateway.Severity]int{}
	for _, f := range findings {
		counts[f.Severity]++
	}
	switch {
	case invalid:
		return usagef("%s has %s", k.Config, plural(len(problems), "problem"))
	case counts[gateway.SeverityError] > 0:
		return usagef("%s loses records: %s", k.Config, plural(counts[gateway.SeverityError], "error"))
	case k.Strict && counts[gateway.SeverityWarning] > 0:
		return usagef("%s has %s", k.Config, plural(counts[gateway.SeverityWarning], "warning"))
	}
	return nil
}

func (k *gatewayCheckCommand) show(problems config.Problems, findings []gateway.Finding, out *console) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	if len(problems) > 0 {
		return problems.Render(out.stderr)
	}
	if _, err := fmt.Fprintf(out.stdout, "%s is valid\n", k.Config); err != nil {
		return err
	}
	var shown config.Problems
	for _, f := range findings {
		p := config.Problem(f.Problem)
		p.Path = fmt.Sprintf("%s: %s", f.Severity, f.Trap)
		shown = append(shown, p)
	}
	return shown.Render(out.stderr)
}
