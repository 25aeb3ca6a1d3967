package experiments

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

// Report is the judgement of the records so far.
func (j *Judge) Report() *results.Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &results.Report{
		Version:     results.LogVersion,
		Experiment:  j.plan.Experiment,
		About:       j.plan.About,
		Seed:        j.plan.Seed,
		Duration:    j.line.last,
		Torn:        j.isTorn(),
		Findings:    j.findings(),
		Phases:      j.phaseStats(),
		Slices:      j.sliceStats(),
		Faults:      []results.FaultReport{},
		Events:      append([]results.Event{}, j.events...),
		MeanStream:  meanStream(&j.all.whole[inBaseline]),
		SLO:         j.plan.SLO.String(),
		ClosedLoop:  j.plan.Attack.Profile.Closed(),
		NoLoad:      j.plan.Attack.None,
		EarlyLeaks:  j.earlyLeaks,
		SlowReaders: j.plan.Attack.slowReaders(),
	}
	if h := j.header; h != nil {
		r.Started, r.Seed, r.Overrides = h.Started.Round(0).UTC(), h.Seed, maps.Clone(h.Overrides)
		r.Stack = stackLine(h.Stack)
	}
	lag := j.lag()
	r.Lag = lag.Quantiles()
	r.Server, r.Self = j.beside.stats(j.line, r.Lag), j.self.report()
	if r.NoLoad { // there is nothing of ours to compare with
		for i := range r.Server {
			r.Server[i].Notes = nil
		}
	}
	for _, f := range j.faults {
		r.Faults = append(r.Faults, f.report)
	}
	if r.Blind() {
		r.NoEcho = j.plan.Attack.noEcho(nil)
	}
	j.conclude(r)
	return r
}

// isTorn: killed, or not over yet.
func (j *Judge) isTorn() bool { return j.torn || !j.line.ended }

func meanStream(t *tally) time.Duration {
	if t.complete == 0 {
		return 0
	}
	return t.streams / time.Duration(t.complete)
}

func (j *Judge) phaseStats() []results.PhaseStats {
	all := []results.PhaseStats{}
	for p := range phase(judgedPhases) {
		if length, ok := j.line.reported(p); ok {
			all = append(all, j.stats(p, length, &j.all.whole[p], j.all.errors))
		}
	}
	return all
}

// sliceStats are those of the labels that tell anything apart.
func (j *Judge) sliceStats() []results.SliceStats {
	all := []results.SliceStats{}
	for _, label := range slices.Sorted(maps.Keys(j.all.labels)) {
		values := j.all.labels[label].slices()
		if len(values) < 2 {
			continue
		}
		for _, s := range values {
			for p := range phase(judgedPhases) {
				if length, ok := j.line.reported(p); ok {
					all = append(all, results.SliceStats{
						Label: label, Value: s.value, Given: s.value == results.NoValue && j.plan.gives(label), PhaseStats: j.stats(p, length, &s.trio[p], nil),
					})
				}
			}
		}
	}
	return all
}

// stats are the figures of a tally that is one phase, or a slice of it.
func (j *Judge) stats(p phase, length time.Duration, t *tally, errors errorTexts) results.PhaseStats {
	good := t.met
	if j.loadAlone() {
		good = t.kept // there is no phase before it whose requests would end in it instead of its own last ones
	}
	stats := results.PhaseStats{
		Phase:           p.name(),
		Duration:        length,
		Requests:        t.requests,
		Complete:        t.complete,
		Cancelled:       t.cancelled,
		CutAfter200:     t.cut,
		FailedWith2xx:   outcomeStats(&t.cutBy, nil),
		Refused:         t.refused,
		Infinite:        t.of(wantTTFT).Infinite() - t.clients.gaveUp(),
		Success:         over(float64(t.complete), float64(t.requests)),
		TokensPerSecond: over(t.tokens, length.Seconds()),
		GoodputTokens:   over(t.goodTokens, length.Seconds()),
		TokensPerChunk:  over(t.tokens-t.whole, float64(t.chunks)),
		Coalesced:       over(float64(t.coalesced), float64(t.chunks+t.coalesced)),
		CountedBy:       countedBy(t),
		Leaks:           t.leaks,
		Reconnects:      t.reconnects,
		TTFT:            t.of(wantTTFT).Quantiles(),
		ITL:             t.of(wantITL).Quantiles(),
		TPOT:            t.of(wantTPOT).Quantiles(),
		E2E:             t.of(wantE2E).Quantiles(),
		Stall:           t.of(wantStall).Quantiles(),
		TTFTSent:        t.of(wantTTFTSent).Quantiles(),
		E2ESent:         t.of(wantE2ESent).Quantiles(),
		SLO:             j.plan.SLO.stats(t, good, length),
		Outcomes:        outcomeStats(&t.outcomes, func(o results.Outcome) string { return errors.commonest(p, o) }),
	}
	t.clients.fill(&stats)
	return stats
}

// countedBy says who counted the tokens; nil where there are none.
func countedBy(t *tally) map[results.UsageSource]int {
	var by map[results.UsageSource]int
	for i, n := range t.countedBy {
		if n == 0 {
			continue
		}
		if by == nil {
			by = map[results.UsageSource]int{}
		}
		by[cmp.Or(usageSources[i], "unknown")] = n
	}
	return by
}

// outcomeStats lists what occurred, complete first, then the most frequent first. text may be nil.
func outcomeStats(counts *[int(results.Cancelled) + 1]int, text func(results.Outcome) string) []results.OutcomeStats {
	all := []results.OutcomeStats{}
	for i, n := range counts {
		if n == 0 {
			continue
		}
		o := results.OutcomeStats{Outcome: results.Outcome(i), Count: n}
		if text != nil {
			o.Error = text(o.Outcome)
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b results.OutcomeStats) int {
		if first := results.Complete; (a.Outcome == first) != (b.Outcome == first) {
			if a.Outcome == first {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Count, a.Count)
	})
	return all
}
