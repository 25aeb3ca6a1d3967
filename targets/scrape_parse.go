package targets

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/failwhale/failwhale/results"
)

// ParseMetrics reads a page of metrics in Prometheus' text format into a Reading's Server, Values and Histograms, by
// the names that the server gives to them. Series of several models, engines and replicas on one page are
// summed, shares such as the KV cache's usage are the largest, the buckets of histograms are added if their
// bounds agree. Values that are no finite numbers are left out. A page without a name that is known is an error.
func ParseMetrics(text []byte) (results.Reading, error) {
	// A TextParser must be given a scheme: its zero value panics at the first name. Either scheme takes colons.
	parser := expfmt.NewTextParser(model.UTF8Validation)
	// The newline is there for pages that end without one, which the parser takes for cut off.
	families, err := parser.TextToMetricFamilies(io.MultiReader(bytes.NewReader(text), strings.NewReader("\n")))
	if err != nil {
		return results.Reading{}, err
	}
	p := newPage(families)
	reading := results.Reading{Values: map[string]float64{}, Histograms: map[string]results.Histogram{}}
	var kinds []string
	for _, kind := range serverKinds() {
		known := false
		for _, f := range kind.figures {
			known = p.read(f, &reading) || known
		}
		if known {
			kinds = append(kinds, kind.name)
		}
	}
	if len(kinds) == 0 {
		return results.Reading{}, errNoNames(p)
	}
	reading.Server = strings.Join(kinds, "+")
	p.read(startedFigure(), &reading)
	return reading, nil
}

func errNoNames(p page) error {
	if len(p) == 0 {
		return errors.New("the page has no metrics: some servers show none before their first request")
	}
	var known []string
	for _, kind := range serverKinds() {
		known = append(known, kind.name)
	}
	return fmt.Errorf("of its %d metrics none is one of a server that is known: %s", len(p), strings.Join(known, ", "))
}

// A page is what metrics there are, by their plain names.
type page map[string]*dto.MetricFamily

func newPage(families map[string]*dto.MetricFamily) page {
	p := page{}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if plain := plainName(name); p[plain] == nil { // of x and x_total the first
			p[plain] = families[name]
		}
	}
	return p
}

// plainName is a name as every exporter of it would write it.
func plainName(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(name, "_total"), ":", "_")
}

// find gives the series of the first of a figure's names that the page has.
func (p page) find(names string) *dto.MetricFamily {
	for name := range strings.FieldsSeq(names) {
		if family := p[plainName(name)]; family != nil {
			return family
		}
	}
	return nil
}

// read puts a figure into the reading, unless it is there already, and reports whether the page has it.
func (p page) read(f figure, r *results.Reading) bool {
	family := p.find(f.names)
	if family == nil {
		return false
	}
	series := f.choose(family)
	_, told := r.Values[f.signal]
	_, measured := r.Histograms[f.signal]
	if told || measured || len(series) == 0 {
		return true
	}
	if f.per != "" {
		if count := p.find(f.per); count != nil {
			times := figure{}.value(series) * cmp.Or(f.unit, 1)
			n := figure{}.value(figure{}.choose(count))
			if finite(times) && n >= 0 && n < 1<<53 {
				r.Histograms[f.signal] = results.Histogram{Count: uint64(n), Sum: times}
			}
		}
		return true
	}
	length := family.GetType() == dto.MetricType_HISTOGRAM || family.GetType() == dto.MetricType_SUMMARY
	switch {
	case length && f.sum:
		if h := f.histogram(series); finite(h.Sum) {
			r.Values[f.signal] = h.Sum
		}
	case length && isTime(f.signal):
		if h := f.histogram(series); finite(h.Sum) {
			r.Histograms[f.signal] = h.Compact()
		}
	case !length && !isTime(f.signal) && !f.sum:
		if x := f.value(series); finite(x) {
			r.Values[f.signal] = x
		}
	}
	return true
}

// isTime reports whether a signal is a histogram of times.
func isTime(signal string) bool {
	switch signal {
	case results.SignalTTFT, results.SignalITL, results.SignalTPOT, results.SignalE2E, results.SignalQueue:
		return true
	default:
		return false
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// choose gives the series that count. Ranks of one engine show the same figures, each its own copy (SGLang's
// tp_rank, with metrics for all schedulers): of series that differ in nothing else, the one that has counted most
// stays.
func (f figure) choose(family *dto.MetricFamily) []*dto.Metric {
	var all []*dto.Metric
	at := map[string]int{}
	for _, m := range family.GetMetric() {
		if f.only != "" && !hasLabel(m, f.only) || f.not != "" && hasLabel(m, f.not) {
			continue
		}
		key, ranked := rankless(m)
		i, again := at[key]
		switch {
		case !ranked:
			all = append(all, m)
		case !again:
			at[key] = len(all)
			all = append(all, m)
		case weight(m) > weight(all[i]):
			all[i] = m
		}
	}
	return all
}

// hasLabel: condition is name=value|value.
func hasLabel(m *dto.Metric, condition string) bool {
	name, values, _ := strings.Cut(condition, "=")
	for _, l := range m.GetLabel() {
		if l.GetName() == name && slices.Contains(strings.Split(values, "|"), l.GetValue()) {
			return true
		}
	}
	return false
}

// rankless names a series by its labels but those of a rank, and reports whether it has one.
func rankless(m *dto.Metric) (key string, ranked bool) {
	var parts []string
	for _, l := range m.GetLabel() {
		switch l.GetName() {
		case "tp_rank", "pp_rank", "moe_ep_rank":
			ranked = true
		default:
			parts = append(parts, l.GetName()+"\x00"+l.GetValue())
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x00"), ranked
}

// weight is how much a series has counted.
func weight(m *dto.Metric) float64 {
	switch {
	case m.GetHistogram() != nil:
		return float64(m.GetHistogram().GetSampleCount()) + m.GetHistogram().GetSampleCountFloat()
	case m.GetSummary() != nil:
		return float64(m.GetSummary().GetSampleCount())
	default:
		return reads(m)
	}
}

// reads is the value of a series that is none of lengths.
func reads(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	default:
		return m.GetUntyped().GetValue()
	}
}

// mostShare is what a share can come to: a full cache may show a little over 1, by how its server counts.
const mostShare = 1.5

// value joins series to one.
func (f figure) value(series []*dto.Metric) float64 {
	sum, most, n := 0.0, math.Inf(-1), 0.0
	for _, m := range series {
		x := reads(m)
		if !finite(x) {
			continue
		}
		sum, most, n = sum+x, max(most, x), n+1
	}
	x := sum
	switch {
	case n == 0:
		return math.NaN()
	case f.most:
		x = most
	case f.mean:
		x = sum / n
	}
	if share := f.signal == results.SignalKV || f.signal == results.SignalHitRate; share && x > mostShare {
		x /= 100 // a server that means per cent: none of those known does, whatever its names say
	}
	return x
}
