package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a request failed before Kinesis answered it. The words are those of the
// metric and of the log.
const (
	failedRoute     = "no_route"
	failedHeaders   = "headers_too_large"
	failedBody      = "body_too_large"
	failedBusy      = "busy"
	failedMediaType = "media_type"
	failedJSON      = "body_not_json"
	failedTemplate  = "template"
	failedTimeout   = "timeout"
	failedNetwork   = "network"
	failedMapping   = "no_response_mapping"
	failedClient    = "client_gone"
)

var failures = []string{
	failedRoute, failedHeaders, failedBody, failedBusy, failedMediaType, failedJSON, failedTemplate, failedTimeout, failedNetwork, failedMapping, failedClient,
}

// metrics are those of one gateway. Names and units: docs/operations.md; the
// API Gateway metric each replaces stands in the help text.
type metrics struct {
	requests    *prometheus.CounterVec
	failed      *prometheus.CounterVec
	latency     prometheus.Histogram
	integration prometheus.Histogram
	inFlight    prometheus.Gauge
	extra       prometheus.Counter
	corrected   prometheus.Counter
	batches     prometheus.Histogram
}

// newMetrics registers with reg; a nil reg leaves the metrics unregistered.
func newMetrics(reg prometheus.Registerer) *metrics {
	seconds := prometheus.ExponentialBuckets(0.001, 2, 15)
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "standpipe_gateway_requests_total",
			Help: "Requests answered, by status (API Gateway: Count, 4XXError, 5XXError).",
		}, []string{"status"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "standpipe_gateway_failures_total",
			Help: "Requests that got no answer of Kinesis, by reason.",
		}, []string{"reason"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "standpipe_gateway_duration_seconds",
			Help: "From a request's headers to the end of its answer (API Gateway: Latency).", Buckets: seconds,
		}),
		integration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "standpipe_gateway_integration_duration_seconds",
			Help: "Calls to Kinesis (API Gateway: IntegrationLatency).", Buckets: seconds,
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "standpipe_gateway_in_flight_bytes",
			Help: "Bytes reserved for the bodies of requests under way.",
		}),
		extra: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "standpipe_gateway_dropped_documents_total",
			Help: "Bodies with more after the first JSON document, which the template dropped. A rise means lost lines.",
		}),
		corrected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "standpipe_gateway_corrected_total",
			Help: "Refusals of Kinesis that the API file would have answered with a 2xx.",
		}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "standpipe_gateway_batch_records",
			Help: "Records per call to Kinesis, where they are gathered.", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
	}
	for _, reason := range failures {
		m.failed.WithLabelValues(reason)
	}
	m.requests.WithLabelValues("200")
	if reg != nil {
		reg.MustRegister(m.requests, m.failed, m.latency, m.integration, m.inFlight, m.extra, m.corrected, m.batches)
	}
	return m
}

// finished counts a request that was answered, or not.
func (m *metrics) finished(x *exchange, took time.Duration) {
	if x.failure != "" {
		m.failed.WithLabelValues(x.failure).Inc()
	}
	if x.status != 0 {
		m.requests.WithLabelValues(strconv.Itoa(x.status)).Inc()
		m.latency.Observe(took.Seconds())
	}
	if x.sent {
		m.integration.Observe(x.integration.Seconds())
	}
}
