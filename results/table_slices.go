package results

import (
	"cmp"
	"fmt"
	"slices"
)

// slicesShown bounds the rows of one label: those with the worst success come first.
const slicesShown = 8

// A comparison is one label value in the phase that is shown, beside its baseline.
type comparison struct{ now, was *SliceStats }

// compared joins each label's slices of the phase with those of the baseline. A value that the
// phase does not have is there with no requests: a dead region answers nobody, and that is news.
func (r *Report) compared(phase Phase) (labels []string, byLabel map[string][]comparison) {
	byLabel = map[string][]comparison{}
	for i := range r.Slices {
		it := &r.Slices[i]
		if it.Phase != phase && it.Phase != Baseline {
			continue
		}
		if byLabel[it.Label] == nil {
			labels = append(labels, it.Label)
		}
		all := byLabel[it.Label]
		at := slices.IndexFunc(all, func(c comparison) bool { return c.now.Value == it.Value })
		if at < 0 {
			at = len(all)
			none := &SliceStats{Label: it.Label, Value: it.Value, Given: it.Given}
			all = append(all, comparison{now: none, was: none})
		}
		if it.Phase == Baseline {
			all[at].was = it
		}
		if it.Phase == phase {
			all[at].now = it
		}
		byLabel[it.Label] = all
	}
	for _, all := range byLabel {
		slices.SortStableFunc(all, func(a, b comparison) int {
			return cmp.Or(
				cmp.Compare(a.now.Success, b.now.Success), cmp.Compare(b.now.TTFT.P99, a.now.TTFT.P99),
				cmp.Compare(a.now.Value, b.now.Value),
			)
		})
	}
	return labels, byLabel
}

// sliceTable says who was hit: each label's values in the fault phase, against the baseline. A
// run without a fault phase shows its baseline alone.
func (r *Report) sliceTable(s *screen) error {
	phase, about := Fault, "  during the fault; was: in the baseline"
	g := grid{
		header: []string{"label", "n", "success", "was", "ttft p99", "was", "tokens/s", "was"},
		right:  []bool{false, true, true, true, true, true, true, true},
	}
	if r.phase(Fault) == nil {
		phase, about = Baseline, "  in the baseline"
		g.header = []string{"label", "n", "success", "ttft p99", "tokens/s"}
	}
	r.sliceRows(&g, phase, func(c comparison) []string { return c.row(phase) })
	if len(g.rows) == 0 {
		return nil
	}
	s.title("BY LABEL", about)
	return s.table(g)
}

// sliceRows adds a row for each label value of a phase, a bounded number of each label.
func (r *Report) sliceRows(g *grid, phase Phase, row func(comparison) []string) {
	labels, byLabel := r.compared(phase)
	for _, label := range labels {
		rest := slices.DeleteFunc(slices.Clone(byLabel[label]), func(c comparison) bool { return c.now.Value != OtherValue })
		all := slices.DeleteFunc(byLabel[label], func(c comparison) bool { return c.now.Value == OtherValue })
		for i, c := range all {
			if i == slicesShown && len(all) > slicesShown+1 {
				g.add(fmt.Sprintf("%s: %d more, %s or better", plain(label), len(all)-i, successOf(&c.now.PhaseStats)))
				break
			}
			g.add(row(c)...)
		}
		for _, c := range rest { // its figures are those of all, so that it has no place among the worst
			g.add(row(c)...)
		}
	}
}

func (c comparison) name() string {
	switch c.now.Value {
	case "", NoValue:
		if c.now.Given {
			return plain(c.now.Label) + ": none"
		}
		return plain(c.now.Label) + " not known"
	case OtherValue:
		return plain(c.now.Label) + ": all further values"
	}
	return short(plain(c.now.Label+"="+c.now.Value), 40)
}

func (c comparison) row(phase Phase) []string {
	name := c.name()
	now, was := &c.now.PhaseStats, &c.was.PhaseStats
	if phase == Baseline {
		return []string{name, fmt.Sprint(now.Requests), successOf(now), timeOf(now.TTFT, Quantiles.p99), digits(now.TokensPerSecond)}
	}
	return []string{
		name, fmt.Sprint(now.Requests), successOf(now), successOf(was),
		timeOf(now.TTFT, Quantiles.p99), timeOf(was.TTFT, Quantiles.p99),
		digits(now.TokensPerSecond), digits(was.TokensPerSecond),
	}
}
