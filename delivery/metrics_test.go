package delivery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// series calls each with every series, its labels written name=value.
func (p *node) series(each func(name, labels string, value float64)) {
	p.rig.t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		p.rig.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			each(f.GetName(), strings.Join(labels, ","),
				m.GetCounter().GetValue()+m.GetGauge().GetValue()+float64(m.GetHistogram().GetSampleCount()))
		}
	}
}

// metric sums the series of a metric whose labels contain label.
func (p *node) metric(metric, label string) (sum float64) {
	p.rig.t.Helper()
	p.series(func(name, labels string, value float64) {
		if name == metric && strings.Contains(labels, label) {
			sum += value
		}
	})
	return sum
}

// exposed is every series with its value.
func (p *node) exposed() string {
	p.rig.t.Helper()
	var b strings.Builder
	p.series(func(name, labels string, value float64) { fmt.Fprintf(&b, "%s{%s} %v\n", name, labels, value) })
	return b.String()
}

// The names, types and help texts of every metric: dashboards and alarms are
// written against them.
const catalogue = `
standpipe_aggregates_corrupt_total COUNTER Records that look like KPL aggregates but are not; delivered as they are.
standpipe_buffer_bytes GAUGE Bytes taken from the process's budget.
standpipe_buffer_limit_bytes GAUGE The budget.
standpipe_checkpoint_timestamp_seconds GAUGE Arrival time of the last committed record, Unix seconds.
standpipe_delivery_attempts_failed_total COUNTER Failed calls to the sink or the checkpoint store, each repeated (Firehose: DeliveryToS3.Success).
standpipe_delivery_bytes_total COUNTER Bytes of lines delivered, before compression (Firehose: DeliveryToS3.Bytes).
standpipe_delivery_duration_seconds HISTOGRAM From sealing a flush to its commit.
standpipe_delivery_freshness_seconds GAUGE Age of the oldest record taken and not yet committed, 0 when there is none (Firehose: DeliveryToS3.DataFreshness).
standpipe_delivery_object_bytes_total COUNTER Bytes of objects, after compression.
standpipe_delivery_objects_total COUNTER Objects made visible (Firehose: DeliveryToS3.ObjectCount).
standpipe_delivery_records_total COUNTER Stream records delivered (Firehose: DeliveryToS3.Records).
standpipe_delivery_sealed_total COUNTER Flushes by the reason they were cut.
standpipe_gaps_total COUNTER Stretches of a shard that retention had trimmed before they were read. Must stay 0.
standpipe_heartbeat_age_seconds GAUGE Time since this worker's last heartbeat was stored; 0 where nobody waits for one.
standpipe_heartbeat_errors_total COUNTER Heartbeats that were not stored. After a lease duration of them the worker stops reading.
standpipe_lease_lost_total COUNTER Shards given up because another worker owns them.
standpipe_leases_given_up_total COUNTER Shards given up because they made no progress. Must stay 0.
standpipe_leases_handed_over_total COUNTER Shards drained and handed to another worker, to balance the fleet or to stop.
standpipe_leases_owned GAUGE Shards this worker delivers now.
standpipe_leases_starved GAUGE Shards that nobody may take, because the workers' limits (Standpipe.Lease.MaxShards) add up to too little. Must be 0.
standpipe_leases_unowned GAUGE Shards that could be delivered and are with nobody, as of this worker's last look.
standpipe_lines_total COUNTER Lines delivered.
standpipe_read_behind_latest_seconds GAUGE How far the last page was behind the tip of the shard (Firehose: KinesisMillisBehindLatest).
standpipe_read_bytes_total COUNTER Payload bytes read (Firehose: DataReadFromKinesisStream.Bytes).
standpipe_read_errors_total COUNTER Failed reads by class; a rise means the stream can't be read.
standpipe_read_records_total COUNTER Stream records read (Firehose: DataReadFromKinesisStream.Records).
standpipe_read_throttled_total COUNTER Refused reads (Firehose: ThrottledGetRecords).
standpipe_records_dropped_total COUNTER Records that left no line: empty or only newlines. They are counted in manifests.
standpipe_rereads_total COUNTER Times a shard was read again from its checkpoint.
standpipe_retention_headroom_seconds GAUGE Retention of the stream minus the age of the oldest record not committed: at 0 records are lost.
standpipe_shard_failures_total COUNTER Times a shard's delivery ended with an error and was begun again.
standpipe_shards GAUGE Shards of this worker by state.
standpipe_workers GAUGE Workers that live, this one included, as of its last look.
`

func TestTheCatalogueOfMetricsIsWhatDashboardsKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.events(0, 20)
		p := r.start()
		r.delivered()
		families, err := p.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range families {
			fmt.Fprintf(&got, "%s %s %s\n", f.GetName(), f.GetType(), f.GetHelp())
		}
		if d := cmp.Diff(strings.TrimPrefix(catalogue, "\n"), got.String()); d != "" {
			t.Error(d)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	})
}

func TestCountersTellWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		for n := range 20 {
			r.put(fmt.Sprint(n), []byte("ab\ncd\n"), "ab", "cd")
		}
		r.put("e", nil)
		p := r.boot()
		for _, name := range []string{"records", "objects", "bytes"} { // there before the first event, so that rate() sees it
			if !strings.Contains(p.exposed(), "standpipe_delivery_"+name+"_total{result=delivered} 0") {
				t.Errorf("standpipe_delivery_%s_total has no series at the start", name)
			}
		}
		p.run()
		r.delivered()
		for name, want := range map[string]float64{
			"standpipe_read_records_total": 21, "standpipe_read_bytes_total": 20*6 + 10 + 2*10 + 1, // data and partition keys
			"standpipe_delivery_records_total": 20, "standpipe_lines_total": 40, "standpipe_delivery_bytes_total": 120,
			"standpipe_records_dropped_total": 1, "standpipe_delivery_objects_total": float64(len(r.data())),
			"standpipe_delivery_object_bytes_total": 120, "standpipe_leases_owned": 2, "standpipe_gaps_total": 0,
			"standpipe_delivery_duration_seconds": 2,
		} {
			if got := p.metric(name, ""); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		r.events(0, 1)
		r.until("it is taken", func() bool { return p.metric("standpipe_read_records_total", "") == 22 })
		time.Sleep(5 * time.Second)
		if f := p.metric("standpipe_delivery_freshness_seconds", ""); f < 5 || f > 8 {
			t.Errorf("freshness %v s, five seconds after a record was taken", f)
		}
		if h := p.metric("standpipe_retention_headroom_seconds", ""); h > 86400-5 || h < 86400-8 {
			t.Errorf("headroom %v s", h)
		}
	})
}

func TestAFinishedShardsSeriesGoAndReshardsLeakNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, func(r *rig) { r.settings.Limits.Age = 2 * time.Second })
		p := r.start()
		r.events(0, 20)
		r.delivered()
		before := strings.Count(p.exposed(), "\n")
		a, b := 0, 1
		for n := range 15 { // merged and split, fifteen times
			r.events(20+n*20, 40+n*20)
			r.merge(string(shardID(a)), string(shardID(b)))
			r.events(1000+n*20, 1020+n*20)
			r.split(string(shardID(2+n*3)), half)
			a, b = 3+n*3, 4+n*3
			r.until("the old ones ended", func() bool {
				return p.status(shardID(2+n*3)).State == StateEnded && p.status(shardID(a)).State == StateDelivering && p.status(shardID(b)).State == StateDelivering
			})
		}
		r.events(5000, 5040)
		r.delivered()
		if after := strings.Count(p.exposed(), "\n"); after != before {
			t.Errorf("%d series before, %d after fifteen reshards:\n%s", before, after, p.exposed())
		}
		if strings.Contains(p.exposed(), string(shardID(0))) {
			t.Error("an ended shard still has series")
		}
		if n := p.metric("standpipe_shards", "state=ended"); n != 45 {
			t.Errorf("%v shards are ended", n)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}
