package delivery

import (
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// metric sums the series of a metric whose labels, written name=value, contain label.
func (p *node) metric(name, label string) (sum float64) {
	p.rig.t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		p.rig.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if strings.Contains(labelsOf(m), label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func labelsOf(m *dto.Metric) string {
	var all []string
	for _, l := range m.GetLabel() {
		all = append(all, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(all, ",")
}
