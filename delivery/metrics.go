package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/standpipe/standpipe"
)

// metrics are those of one worker. Names and units: docs/operations.md; the
// Firehose metric each replaces stands in the help text.
type metrics struct {
	readRecords, readBytes          prometheus.Counter
	behind, checkpointAge           *prometheus.GaugeVec
	throttled, readErrors           *prometheus.CounterVec
	records, bytes, objects, sealed *prometheus.CounterVec
	lines, encodedBytes             prometheus.Counter
	dropped, corrupt, gaps, rereads prometheus.Counter
	duration                        prometheus.Histogram
	attemptsFailed                  *prometheus.CounterVec
	leaseLost, handedOver, givenUp  prometheus.Counter
	heartbeatErrors                 *prometheus.CounterVec
	failures                        prometheus.Counter
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

// newMetrics registers with reg; a nil reg leaves the metrics unregistered.
func newMetrics(reg prometheus.Registerer, budget *Budget) *metrics {
	m := &metrics{
		readRecords:   counter("standpipe_read_records_total", "Stream records read (Firehose: DataReadFromKinesisStream.Records)."),
		readBytes:     counter("standpipe_read_bytes_total", "Payload bytes read (Firehose: DataReadFromKinesisStream.Bytes)."),
		behind:        gauges("standpipe_read_behind_latest_seconds", "How far the last page was behind the tip of the shard (Firehose: KinesisMillisBehindLatest).", "shard"),
		checkpointAge: gauges("standpipe_checkpoint_timestamp_seconds", "Arrival time of the last committed record, Unix seconds.", "shard"),
		throttled:     counters("standpipe_read_throttled_total", "Refused reads (Firehose: ThrottledGetRecords).", "op"),
		readErrors:    counters("standpipe_read_errors_total", "Failed reads by class; a rise means the stream can't be read.", "class"),
		records:       counters("standpipe_delivery_records_total", "Stream records delivered (Firehose: DeliveryToS3.Records).", "result"),
		bytes:         counters("standpipe_delivery_bytes_total", "Bytes of lines delivered, before compression (Firehose: DeliveryToS3.Bytes).", "result"),
		objects:       counters("standpipe_delivery_objects_total", "Objects made visible (Firehose: DeliveryToS3.ObjectCount).", "result"),
		sealed:        counters("standpipe_delivery_sealed_total", "Flushes by the reason they were cut.", "reason"),
		lines:         counter("standpipe_lines_total", "Lines delivered."),
		encodedBytes:  counter("standpipe_delivery_object_bytes_total", "Bytes of objects, after compression."),
		dropped:       counter("standpipe_records_dropped_total", "Records that left no line: empty or only newlines. They are counted in manifests."),
		corrupt:       counter("standpipe_aggregates_corrupt_total", "Records that look like KPL aggregates but are not; delivered as they are."),
		gaps:          counter("standpipe_gaps_total", "Stretches of a shard that retention had trimmed before they were read. Must stay 0."),
		rereads:       counter("standpipe_rereads_total", "Times a shard was read again from its checkpoint."),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "standpipe_delivery_duration_seconds",
			Help: "From sealing a flush to its commit.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 15),
		}),
		attemptsFailed:  counters("standpipe_delivery_attempts_failed_total", "Failed calls to the sink or the checkpoint store, each repeated (Firehose: DeliveryToS3.Success).", "class"),
		leaseLost:       counter("standpipe_lease_lost_total", "Shards given up because another worker owns them."),
		handedOver:      counter("standpipe_leases_handed_over_total", "Shards drained and handed to another worker, to balance the fleet or to stop."),
		givenUp:         counter("standpipe_leases_given_up_total", "Shards given up because they made no progress. Must stay 0."),
		heartbeatErrors: counters("standpipe_heartbeat_errors_total", "Heartbeats that were not stored. After a lease duration of them the worker stops reading.", "class"),
		failures:        counter("standpipe_shard_failures_total", "Times a shard's delivery ended with an error and was begun again."),
	}
	// A series that is there from the start lets rate() see the first event.
	for _, r := range standpipe.SealReasons {
		m.sealed.WithLabelValues(string(r))
	}
	for _, v := range []*prometheus.CounterVec{m.records, m.bytes, m.objects} {
		v.WithLabelValues(resultDelivered)
	}
	for _, c := range []standpipe.Class{standpipe.Retryable, standpipe.Throttled, standpipe.Denied, standpipe.NotFound} {
		m.attemptsFailed.WithLabelValues(string(c))
		m.readErrors.WithLabelValues(string(c))
		m.heartbeatErrors.WithLabelValues(string(c))
	}
	m.throttled.WithLabelValues(opGetRecords)
	if reg == nil {
		return m
	}
	reg.MustRegister(m.readRecords, m.readBytes, m.behind, m.checkpointAge, m.throttled, m.readErrors, m.records, m.bytes,
		m.objects, m.sealed, m.lines, m.encodedBytes, m.dropped, m.corrupt, m.gaps, m.rereads, m.duration, m.attemptsFailed,
		m.leaseLost, m.handedOver, m.givenUp, m.heartbeatErrors, m.failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "standpipe_buffer_bytes", Help: "Bytes taken from the process's budget."},
			func() float64 { return float64(budget.Used()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "standpipe_buffer_limit_bytes", Help: "The budget."},
			func() float64 { return float64(budget.Size()) }))
	return m
}

const (
	resultDelivered = "delivered"
	opGetRecords    = "GetRecords"
)

// forget removes the series of a shard that this worker let go, so that
// resharding for months leaks none.
func (m *metrics) forget(shard standpipe.ShardID) {
	l := prometheus.Labels{"shard": string(shard)}
	m.behind.Delete(l)
	m.checkpointAge.Delete(l)
}

// registerStates registers what is computed from the shards' states when
// somebody looks.
func (w *Worker) registerStates(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, state := range States {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "standpipe_shards", Help: "Shards of this worker by state.", ConstLabels: prometheus.Labels{"state": string(state)},
		}, func() float64 {
			n := 0
			for _, s := range w.Status() {
				if s.State == state {
					n++
				}
			}
			return float64(n)
		}))
	}
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "standpipe_leases_owned", Help: "Shards this worker delivers now."},
			func() float64 { return float64(w.owned()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "standpipe_leases_unowned", Help: "Shards that could be delivered and are with nobody, as of this worker's last look."},
			func() float64 { return float64(w.Fleet().Unowned) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "standpipe_leases_starved", Help: "Shards that nobody may take, because the workers' limits (Standpipe.Lease.MaxShards) add up to too little. Must be 0."},
			func() float64 { return float64(w.Fleet().Starved) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "standpipe_workers", Help: "Workers that live, this one included, as of its last look."},
			func() float64 { return float64(len(w.Fleet().Workers)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "standpipe_heartbeat_age_seconds", Help: "Time since this worker's last heartbeat was stored; 0 where nobody waits for one."},
			func() float64 { return w.pulse.silence().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "standpipe_delivery_freshness_seconds",
			Help: "Age of the oldest record taken and not yet committed, 0 when there is none (Firehose: DeliveryToS3.DataFreshness).",
		},
			func() float64 { return w.freshness(time.Now()).Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "standpipe_retention_headroom_seconds",
			Help: "Retention of the stream minus the age of the oldest record not committed: at 0 records are lost.",
		},
			func() float64 { return w.Headroom(time.Now()).Seconds() }))
}

func (w *Worker) owned() (n int) {
	for _, s := range w.Status() {
		switch s.State {
		case StateOpening, StateRecovering, StateDelivering, StateDraining:
			n++
		}
	}
	return n
}

// freshness is the age of the oldest record that is taken but not committed.
func (w *Worker) freshness(now time.Time) (oldest time.Duration) {
	for _, s := range w.Status() {
		if !s.OldestArrival.IsZero() {
			oldest = max(oldest, now.Sub(s.OldestArrival))
		}
	}
	return oldest
}

// lag is the age of the oldest record that may be unread, over all shards: how
// far a shard was behind at its last page, and all the time since then in
// which it was not read. A shard that was never read here may have been
// waiting since its last commit.
func (w *Worker) lag(now time.Time) (most time.Duration) {
	for _, s := range w.Status() {
		switch {
		case s.State == StateEnded || s.State == StateElsewhere:
		case s.ReadAt.IsZero() && !s.Committed.IsZero():
			most = max(most, now.Sub(s.Committed))
		case s.ReadAt.IsZero():
		case now.Sub(s.ReadAt) > unreadAfter:
			most = max(most, s.Behind+now.Sub(s.ReadAt))
		default:
			most = max(most, s.Behind)
		}
	}
	return most
}

// unreadAfter is how old a shard's last page is when the shard counts as not
// being read: an idle one is asked every few seconds.
const unreadAfter = 30 * time.Second

// Headroom is the stream's retention minus the age of the oldest record that
// is not committed: at 0 records are lost.
func (w *Worker) Headroom(now time.Time) time.Duration {
	return w.Stream().Retention - max(w.freshness(now), w.lag(now))
}
