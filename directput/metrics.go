package directput

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one server. Names and units: docs/operations.md.
type metrics struct {
	requests         *prometheus.CounterVec
	records          *prometheus.CounterVec
	bytes, repeated  prometheus.Counter
	duration         *prometheus.HistogramVec
	inFlight, memory prometheus.Gauge
}

// results are the values of the label result of requests.
const (
	resultOK        = "ok"        // 200, and every record stored
	resultPartial   = "partial"   // 200, some records not stored
	resultInvalid   = "invalid"   // 4xx: the producer's fault
	resultThrottled = "throttled" // 503 for the rate, or for memory
	resultFailed    = "failed"    // any other 5xx
)

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "standpipe_directput_requests_total",
			Help: "Calls of the Firehose API by what was answered; failed ones mean that the stream can't be written.",
		}, []string{"operation", "result"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "standpipe_directput_records_total",
			Help: "Records by fate: stored, throttled, refused, unknown (Firehose: IncomingRecords, ThrottledRecords).",
		}, []string{"result"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "standpipe_directput_bytes_total", Help: "Bytes of stored records (Firehose: IncomingBytes).",
		}),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "standpipe_directput_repeated_records_total", Help: "Records sent to Kinesis again because it refused them; a rise means the stream is short of shards.",
		}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "standpipe_directput_request_duration_seconds", Help: "From the head of a request to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16), // 1 ms to 33 s
		}, []string{"operation"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "standpipe_directput_requests_in_flight", Help: "Requests being answered.",
		}),
		memory: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "standpipe_directput_memory_bytes", Help: "Taken from the memory budget; at its limit producers are told to slow down.",
		}),
	}
	// A series that is there from the start lets rate() see the first event.
	for _, f := range fates {
		m.records.WithLabelValues(f)
	}
	for op := range operations {
		m.duration.WithLabelValues(op)
		for _, r := range []string{resultOK, resultPartial, resultInvalid, resultThrottled, resultFailed} {
			m.requests.WithLabelValues(op, r)
		}
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.records, m.bytes, m.repeated, m.duration, m.inFlight, m.memory)
	}
	return m
}

// observe counts one answered call.
func (m *metrics) observe(c *call, took time.Duration) {
	m.requests.WithLabelValues(c.op, c.result()).Inc()
	m.duration.WithLabelValues(c.op).Observe(took.Seconds())
	if c.batch == nil {
		return
	}
	m.repeated.Add(float64(c.batch.repeated))
	for i, o := range c.batch.outcomes {
		m.records.WithLabelValues(fates[o.fate]).Inc()
		if o.fate == stored {
			m.bytes.Add(float64(len(c.batch.entries[i].Data)))
		}
	}
}
