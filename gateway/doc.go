// Package gateway is an HTTP front door to Kinesis that looks like a REST API
// of Amazon API Gateway: the routes come from an OpenAPI file with
// x-amazon-apigateway-integration, and that file deploys to AWS unchanged.
//
// It promises:
//
//   - A 200 means that Kinesis has the record. A refusal of Kinesis is a 4xx or
//     5xx, whatever the file says, unless Failures is AsInTutorial.
//   - An answer is never made up: a request whose fate is unknown (a time-out, a
//     lost connection) is a 504, and its record may or may not be in the stream.
//     Nothing is repeated here; the client decides.
//   - What the file asks for and is not built is a Problem with line and column
//     when the file is read, not a surprise at the first request.
//   - Everything has a limit: body, headers, time, a template's work, the bytes
//     of all requests at once.
//   - Server.Run answers what was accepted before it returns.
//
// A request's way, one state after the other:
//
//	accepted ─► routed ─► read ─► transformed ─► sent ─► answered by Kinesis ─► mapped ─► written
//	    │          │        │          │           │
//	   429        403      413     400, 415,      504   any of them is answered at once,
//	   431                           500                 with API Gateway's body and headers
//
// The package knows Kinesis only as an HTTP service: what a template renders is
// sent as it is, and what the service says about it is passed on.
package gateway
