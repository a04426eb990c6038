// Package status shows a running standpipe to people, probes and programs: a
// small HTTP server that can look and can't touch.
//
//	GET /             an index with links
//	GET /livez        200 while the process loop turns, whatever S3 or Kinesis do
//	GET /readyz       200 when the configuration is valid and the store reachable, else 503 with reasons
//	GET /metrics      Prometheus text or OpenMetrics
//	GET /api/status   Report as JSON, schema number SchemaVersion
//	GET /version      Build as JSON
//	GET /debug/pprof/ only when Config.Pprof asks for it
//
// It promises that no request changes anything, that it listens on loopback
// unless an address says otherwise, that /livez never turns red because of
// somebody else (an S3 outage must not become a restart storm), and that a page
// of another site can't read it through a browser: no CORS, and on loopback
// only loopback names are answered.
package status
