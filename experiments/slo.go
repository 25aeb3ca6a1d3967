package experiments

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A bound is one limit of an SLO; a limit of 0 asks for nothing.
type bound struct {
	name  string
	limit *time.Duration
	wants want // the metric that it bounds; the ITL's mean is no metric of a tally
}

// bounds lists the fields of s, under their names in YAML and on the command line.
func (s *SLO) bounds() [sloBounds]bound {
	return [...]bound{
		{"ttft", &s.TTFT, wantTTFT},
		{"tpot", &s.TPOT, wantTPOT},
		{"e2e", &s.E2E, wantE2E},
		{"stall", &s.Stall, wantStall},
		{"itl", &s.ITL, wantITL},
	}
}

// sloBounds is how many bounds an SLO can have.
const sloBounds = 5

// ParseSLO reads what String writes: "ttft=2s,tpot=100ms". Spaces do not matter; the empty text asks
// for nothing.
func ParseSLO(text string) (SLO, error) {
	var s SLO
	bounds := s.bounds()
	var names []string
	for _, b := range bounds {
		names = append(names, b.name)
	}
	if strings.TrimSpace(text) == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		i := slices.Index(names, name)
		switch {
		case !ok:
			return SLO{}, fmt.Errorf("slo: %q is not of the form metric=time: write ttft=2s", strings.TrimSpace(part))
		case i < 0:
			return SLO{}, fmt.Errorf("slo: no bound is called %q: there are %s%s", name, strings.Join(names, ", "), DidYouMean(name, names))
		case *bounds[i].limit != 0:
			return SLO{}, fmt.Errorf("slo: %s stands twice", name)
		}
		limit, err := parseDuration(value)
		if err != nil {
			return SLO{}, fmt.Errorf("slo: %s: %w", name, err)
		}
		if limit <= 0 {
			return SLO{}, fmt.Errorf("slo: %s=%s: nothing is that fast: write %s=2s", name, value, name)
		}
		*bounds[i].limit = limit
	}
	return s, nil
}

// String gives the bounds as ParseSLO reads them; "" where there is none.
func (s SLO) String() string {
	var parts []string
	for _, b := range s.bounds() {
		if *b.limit != 0 {
			parts = append(parts, b.name+"="+shortDuration(*b.limit))
		}
	}
	return strings.Join(parts, ",")
}

// shortDuration is 2m instead of 2m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// misses says which bounds a request does not keep. A bound on what it does not have (the TPOT of a
// single token) is kept; but of an answer in one piece the first token came with the last, and a bound on the TTFT
// is one on that: else it would be kept however late the answer.
func (s *SLO) misses(r *reading) (missed [sloBounds]bool) {
	for i, b := range s.bounds() {
		if *b.limit == 0 {
			continue
		}
		x := r.value(b.wants)
		if b.wants == wantTTFT && r.sample.Unstreamed {
			x = r.value(wantE2E)
		}
		if b.wants == wantITL { // the mean of its gaps: that no single gap is longer is what stall says
			for _, gap := range r.gaps {
				x.seconds += gap / float64(len(r.gaps))
			}
			x.counts = true
		}
		missed[i] = x.counts && x.seconds > b.limit.Seconds()
	}
	return missed
}

// stats are the SLO's part of a phase's figures, of which good requests count in goodput; nil where nothing was
// asked for.
func (s SLO) stats(t *tally, good int, length time.Duration) *results.SLOStats {
	if s == (SLO{}) {
		return nil
	}
	all := &results.SLOStats{Met: t.kept, Goodput: over(float64(good), length.Seconds()), Share: over(float64(t.kept), float64(t.requests))}
	for i, b := range s.bounds() {
		if t.missed[i] > 0 {
			all.Missed = append(all.Missed, results.MissedBound{Bound: b.name, Count: t.missed[i]})
		}
	}
	slices.SortStableFunc(all.Missed, func(a, b results.MissedBound) int { return b.Count - a.Count })
	return all
}

// over is x / y, and 0 where y is 0.
func over(x, y float64) float64 {
	if y == 0 {
		return 0
	}
	return x / y
}
