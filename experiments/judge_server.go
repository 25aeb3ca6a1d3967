package experiments

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// servers follows what pages of metrics say of themselves, beside what we saw of the same labels. Each reading is
// compared with the one before it, and what was added is counted to the phase in whose window the middle between
// the two lies. The runner has pages read at the borders of phases, so little of it belongs elsewhere.
type servers struct {
	pages  map[string]*pageTrack
	groups []*serverGroup
	slow   results.SlowReaders
}

// A serverGroup is all pages with the same labels: one model's engines behind one gateway, say.
type serverGroup struct {
	labels results.Labels
	pages  map[string]*pageTrack
	phases [judgedPhases]serverTally
}

// A pageTrack is what a page said last.
type pageTrack struct {
	group   *serverGroup
	last    *results.Reading // with figures; nil: none yet
	answers bool             // the last time too
}

// A serverTally is what one group said in one phase, and what we saw.
type serverTally struct {
	readings, restarts        int
	failed                    string
	kinds                     map[string]bool
	running, waiting, kvUsage results.Distribution
	counts                    map[string]float64
	times                     map[string]results.Histogram
	ttft                      results.Distribution // ours
	tokens                    float64              // ours
}

func newServers(slow results.SlowReaders) *servers {
	return &servers{pages: map[string]*pageTrack{}, slow: slow}
}

// open learns of the pages that a log's header names, so that the first requests count too.
func (s *servers) open(stack json.RawMessage) {
	var h targets.Handle
	if len(stack) == 0 || json.Unmarshal(stack, &h) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.Metrics)) {
		s.page(name, h.Metrics[name].Labels)
	}
}

// page finds a page's track, or begins one.
func (s *servers) page(name string, labels results.Labels) *pageTrack {
	if p := s.pages[name]; p != nil {
		return p
	}
	at := slices.IndexFunc(s.groups, func(g *serverGroup) bool { return maps.Equal(g.labels, labels) })
	if at < 0 {
		at = len(s.groups)
		s.groups = append(s.groups, &serverGroup{labels: maps.Clone(labels), pages: map[string]*pageTrack{}})
	}
	p := &pageTrack{group: s.groups[at]}
	s.pages[name], p.group.pages[name] = p, p
	return p
}

// sample counts what we saw, by the moment, as the servers do.
func (s *servers) sample(r *reading, line *timeline) {
	for _, g := range s.groups {
		if !r.sample.Labels.Match(g.labels) {
			continue
		}
		for p, a := range r.arrived {
			g.phases[p].tokens += a.tokens
		}
		if len(r.sample.Chunks) == 0 || r.sample.Unstreamed {
			continue
		}
		if p := line.at(r.sample.Chunks[0].At); p != nowhere && len(r.sample.Attempts) == 0 {
			if d := r.sample.Chunks[0].At - r.sample.Sent; d >= 0 {
				g.phases[p].ttft.Add(d.Seconds())
			}
		}
	}
}

// reading takes the next reading of a page, and says what is new in it.
func (s *servers) reading(r *results.Reading, line *timeline) step {
	next := step{page: r.Source, now: r}
	page := s.page(r.Source, r.Labels)
	now := line.at(r.At)
	page.answers = r.Error == ""
	if !page.answers {
		if now != nowhere {
			page.group.phases[now].failed = r.Error
		}
		return next
	}
	before := page.last
	page.last = r
	if now != nowhere {
		page.group.phases[now].level(page.group, r.Server)
	}
	if before == nil {
		return next
	}
	next.before, next.at = before, before.At+(r.At-before.At)/2
	next.added, next.restarted = since(r, before)
	if !next.restarted {
		page.last = carry(r, before)
	}
	if next.restarted { // it counts from the restart, which was nearer to now
		next.at = r.At
	}
	if p := line.at(next.at); p != nowhere {
		page.group.phases[p].add(next.added, next.restarted)
	}
	return next
}

// level counts what the gauges of all pages show now.
func (t *serverTally) level(g *serverGroup, kind string) {
	t.readings++
	if t.kinds == nil {
		t.kinds = map[string]bool{}
	}
	t.kinds[kind] = true
	sums, most := map[string]float64{}, math.Inf(-1)
	for _, p := range g.pages {
		if p.last == nil || !p.answers {
			continue
		}
		for signal, x := range p.last.Values {
			sums[signal] += x
		}
		if kv, ok := p.last.Values[results.SignalKV]; ok {
			most = max(most, kv)
		}
	}
	for signal, d := range map[string]*results.Distribution{results.SignalRunning: &t.running, results.SignalWaiting: &t.waiting} {
		if x, ok := sums[signal]; ok {
			d.Add(x)
		}
	}
	if !math.IsInf(most, -1) {
		t.kvUsage.Add(most)
	}
}

// An increase is what a page counted between two readings.
type increase struct {
	counts map[string]float64
	times  map[string]results.Histogram
}

// since compares two readings. A counter that has become less began anew, and has counted since what it shows now; if
// the server says that its process did, all of them have. One that the reading before did not have was 0: a series
// with labels appears with its first event.
func since(now, before *results.Reading) (increase, bool) {
	started, told := now.Values[results.SignalStarted]
	was, toldThen := before.Values[results.SignalStarted]
	restarted := told && toldThen && math.Abs(started-was) > 1 // it is a computed float, and one process' may tremble
	if restarted {
		before = &results.Reading{}
	}
	inc := increase{counts: map[string]float64{}, times: map[string]results.Histogram{}}
	for signal, x := range now.Values {
		if results.Gauge(signal) {
			continue
		}
		if was := before.Values[signal]; x >= was {
			x -= was
		} else {
			restarted = true
		}
		inc.counts[signal] = x
	}
	for signal, h := range now.Histograms {
		added, anew := h.Since(before.Histograms[signal])
		inc.times[signal], restarted = added, restarted || anew
	}
	return inc, restarted
}

// carry is now with the counters that only before has. A series that is missing for a reading would else be counted
// from 0 when it is back.
func carry(now, before *results.Reading) *results.Reading {
	all := *now
	all.Values, all.Histograms = map[string]float64{}, map[string]results.Histogram{}
	for signal, x := range before.Values {
		if !results.Gauge(signal) {
			all.Values[signal] = x
		}
	}
	maps.Copy(all.Values, now.Values)
	maps.Copy(all.Histograms, before.Histograms)
	maps.Copy(all.Histograms, now.Histograms)
	return &all
}

func (t *serverTally) add(inc increase, restarted bool) {
	if t.counts == nil {
		t.counts, t.times = map[string]float64{}, map[string]results.Histogram{}
	}
	if restarted {
		t.restarts++
	}
	for signal, x := range inc.counts {
		t.counts[signal] += x
	}
	for signal, h := range inc.times {
		t.times[signal] = t.times[signal].Plus(h)
	}
}

// stats gives what each group said in each phase that the report shows.
func (s *servers) stats(line *timeline, lag results.Quantiles) []results.ServerStats {
	all := []results.ServerStats{}
	groups := slices.SortedFunc(slices.Values(s.groups), func(a, b *serverGroup) int {
		return strings.Compare(a.labels.String(), b.labels.String())
	})
	for _, g := range groups {
		for p := range phase(judgedPhases) {
			t := &g.phases[p]
			if _, ok := line.reported(p); ok && (t.readings > 0 || t.failed != "" || t.counts != nil) {
				all = append(all, t.stats(p, g, lag, s.slow))
			}
		}
	}
	return all
}

func (t *serverTally) stats(p phase, g *serverGroup, lag results.Quantiles, slow results.SlowReaders) results.ServerStats {
	s := results.ServerStats{
		Phase: p.name(), Labels: maps.Clone(g.labels), Sources: slices.Sorted(maps.Keys(g.pages)),
		Server:   strings.Join(slices.Sorted(maps.Keys(t.kinds)), "+"),
		Readings: t.readings, Error: t.failed, Restarts: t.restarts,
		Running: level(&t.running, true), Waiting: level(&t.waiting, true), KVUsage: level(&t.kvUsage, false),
		TTFT: t.times[results.SignalTTFT].Times(), ITL: t.times[results.SignalITL].Times(),
		TPOT: t.times[results.SignalTPOT].Times(), E2E: t.times[results.SignalE2E].Times(),
		QueueTime: t.times[results.SignalQueue].Times(),
		Counts:    maps.Clone(t.counts),
		Ours:      results.OursStats{TTFT: t.ttft.Quantiles(), Tokens: t.tokens},
	}
	if s.TTFT.N > 0 && s.Ours.TTFT.N > 0 {
		s.Apart = s.Ours.TTFT.Mean - s.TTFT.Mean
	}
	s.Notes = notesOn(&s, lag, slow)
	return s
}

// level sums a gauge up. A sketch's quantile is to 0.1 %: of whole numbers it is made whole again.
func level(d *results.Distribution, whole bool) results.Level {
	l := results.Level{N: d.N(), P50: d.Quantile(0.5), Max: d.Max()}
	if whole {
		l.P50 = math.Round(l.P50)
	}
	return l
}
