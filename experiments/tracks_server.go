package experiments

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A step is what one reading of a page says beside the reading before it.
type step struct {
	page      string
	now       *results.Reading
	before    *results.Reading // with figures; nil: there was none
	added     increase
	restarted bool
	at        time.Duration // to which the increase belongs
}

// A serverTrack follows what the pages of metrics that a claim is about say of themselves.
type serverTrack struct {
	metric Metric
	worst  string
	of     map[string]*serverSlice // by the value of worst; without it one, under ""
}

// A serverSlice is all pages of one value of a label, taken together.
type serverSlice struct {
	pages   map[string]*watched
	phases  [judgedPhases]serverSpan
	windows map[int64]*serverSpan // of recovery(…), from Revert on, or a guard's, from the run's start; nil: none are kept
}

// A serverSpan is what pages said over some time.
type serverSpan struct {
	covered time.Duration   // the mean over the pages of how long they were read for
	told    map[string]bool // pages that told all that the metric is made of
	busy    bool            // a request was running or waiting
	counts  map[string]float64
	times   map[string]results.Histogram
	levels  results.Distribution // of the metric's gauge, over all pages
}

// A watched is one page of a slice.
type watched struct {
	kind    string
	tells   map[string]bool // signals that it has shown
	shown   map[string]bool // those since its counters began
	answers bool            // the last time
	failed  string          // why not
	values  map[string]float64
	covered [judgedPhases]time.Duration
	gap     [judgedPhases]string        // why something of a phase is not known
	moved   time.Duration               // when it last counted anything, or had nothing to
	still   [judgedPhases]time.Duration // the longest that it had, and did not
}

func newServerTrack(c Condition) *serverTrack {
	return &serverTrack{metric: c.Metric, worst: c.Worst, of: map[string]*serverSlice{}}
}

// open learns of the pages that a log's header names: one that never answers is missed.
func (t *serverTrack) open(stack json.RawMessage) {
	var h targets.Handle
	if len(stack) == 0 || json.Unmarshal(stack, &h) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.Metrics)) {
		t.page(name, h.Metrics[name].Labels)
	}
}

// page finds a page that the claim is about, or begins one; nil: it is about others.
func (t *serverTrack) page(name string, labels results.Labels) (*serverSlice, *watched) {
	value := labels[t.worst]
	if !labels.Match(t.metric.Labels) || t.worst != "" && value == "" {
		return nil, nil
	}
	s := t.of[value]
	if s == nil {
		s = &serverSlice{pages: map[string]*watched{}}
		t.of[value] = s
	}
	if s.pages[name] == nil {
		s.pages[name] = &watched{tells: map[string]bool{}, shown: map[string]bool{}, failed: "it was never read"}
	}
	return s, s.pages[name]
}

// add takes the next step of any page. Windows, if they are wanted, are as long as every and count from origin.
func (t *serverTrack) add(s step, line *timeline, origin moment, every time.Duration) {
	slice, page := t.page(s.page, s.now.Labels)
	if page == nil {
		return
	}
	in := line.at(s.now.At)
	page.answers, page.failed = s.now.Error == "", s.now.Error
	if !page.answers {
		if in != nowhere {
			page.gap[in] = s.now.Error
		}
		return
	}
	page.kind, page.values = s.now.Server, s.now.Values
	told := page.show(s, in, t.metric)
	busy := s.now.Values[results.SignalRunning]+s.now.Values[results.SignalWaiting] > 0
	page.stand(s, busy, line)
	slice.level(t.metric, busy, in, slice.window(s.now.At, origin, every))
	if s.before == nil {
		return
	}
	page.doubt(s, line)
	took, pages := s.now.At-s.before.At, len(slice.pages)
	if p := line.at(s.at); p != nowhere {
		page.covered[p] += took
		slice.phases[p].grow(s, told, took, pages)
	}
	if w := slice.window(s.at, origin, every); w != nil {
		w.grow(s, told, took, pages)
	}
}

// show notes which signals a page shows, and which it has ceased to, though its counters did not begin anew. told is
// that m is made of nothing else than what it shows.
func (w *watched) show(s step, in phase, m Metric) (told bool) {
	if s.restarted {
		clear(w.shown)
	}
	now := map[string]bool{}
	for signal := range s.now.Values {
		now[signal] = true
	}
	for signal := range s.now.Histograms {
		now[signal] = true
	}
	for signal := range now {
		w.tells[signal], w.shown[signal] = true, true
	}
	told = true
	for _, one := range m.counters() {
		told = told && w.says(m, one)
		for _, signal := range one {
			if !w.shown[signal] || now[signal] {
				continue
			}
			told = false
			if in != nowhere {
				w.gap[in] = cmp.Or(w.gap[in], "it ceased to tell "+strings.ReplaceAll(signal, "_", " "))
			}
		}
	}
	return told
}

// stand notes for how long a page has counted nothing while requests ran or waited.
func (w *watched) stand(s step, busy bool, line *timeline) {
	if s.before == nil || s.counted() || !busy {
		w.moved = s.now.At
	} else if p := line.at(s.now.At); p != nowhere {
		from, _, _ := line.window(p)
		w.still[p] = max(w.still[p], s.now.At-max(from, w.moved))
	}
}

// counted reports whether a page counted anything in a step; of one that has no counters, whether its gauges moved.
func (s step) counted() bool {
	for _, x := range s.added.counts {
		if x > 0 {
			return true
		}
	}
	for _, h := range s.added.times {
		if h.Count > 0 {
			return true
		}
	}
	return len(s.added.counts)+len(s.added.times) == 0 && !maps.Equal(s.now.Values, s.before.Values)
}

// longStep is how long a reading may cover, for what lies astride the border of two phases to be little.
const longStep = 3 * time.Second

// doubt notes why a step does not tell all that was counted in the phases that it touches, or passes over.
func (w *watched) doubt(s step, line *timeline) {
	first, last := line.at(s.before.At), line.at(s.now.At)
	took := s.now.At - s.before.At
	if s.restarted && last != nowhere { // what of the first phase was not read before tells its covered time
		w.gap[last] = cmp.Or(w.gap[last], "its counters began anew, and what was counted before is lost in part")
	}
	if took <= longStep {
		return
	}
	for p := range phase(judgedPhases) {
		from, to, begun := line.window(p)
		touched, inside := begun && s.before.At <= to && from <= s.now.At, first == p && last == p
		if touched && !inside {
			w.gap[p] = cmp.Or(w.gap[p], fmt.Sprintf("it was not read for %s, over the border of two phases", took.Round(time.Millisecond)))
		}
	}
}

// window is the one of a moment; nil: none is kept.
func (s *serverSlice) window(at time.Duration, origin moment, every time.Duration) *serverSpan {
	if every == 0 || !origin.came || at < origin.at {
		return nil
	}
	if s.windows == nil {
		s.windows = map[int64]*serverSpan{}
	}
	n := int64((at - origin.at) / every)
	if every == recoveryWindow { // those of a guard are forgotten as they pass
		n = min(n, maxWindows-1)
	}
	if s.windows[n] == nil {
		s.windows[n] = &serverSpan{}
	}
	return s.windows[n]
}

// level notes what the gauges of all pages show now, and if the one that was read last is busy.
func (s *serverSlice) level(m Metric, busy bool, p phase, window *serverSpan) {
	sum, most, told := 0.0, math.Inf(-1), false
	for _, page := range s.pages {
		if !page.answers {
			continue
		}
		if x, has := page.values[m.signal()]; has {
			sum, most, told = sum+x, max(most, x), true
		}
	}
	if m.class() == fillClass {
		sum = most
	}
	spans := []*serverSpan{window}
	if p != nowhere {
		spans = append(spans, &s.phases[p])
	}
	for _, span := range spans {
		if span == nil {
			continue
		}
		span.busy = span.busy || busy
		if told && (m.class() == levelClass || m.class() == fillClass) {
			span.levels.Add(sum)
		}
	}
}

// grow counts what one of several pages has added over some time.
func (s *serverSpan) grow(of step, told bool, took time.Duration, pages int) {
	if s.counts == nil {
		s.counts, s.times, s.told = map[string]float64{}, map[string]results.Histogram{}, map[string]bool{}
	}
	inc := of.added
	if told {
		s.told[of.page] = true
	}
	s.covered += took / time.Duration(pages)
	for signal, x := range inc.counts {
		s.counts[signal] += x
	}
	for signal, h := range inc.times {
		s.times[signal] = s.times[signal].Plus(h)
	}
}

// over is the time of a rate to which pages that told nothing have added nothing: it is the least that it can be. 0:
// none told.
func (s *serverSpan) over(pages int) time.Duration {
	if len(s.told) == 0 {
		return 0
	}
	return s.covered * time.Duration(pages) / time.Duration(len(s.told))
}

// requests that ended, as far as the servers say; of those who do not count them, how many were timed.
func (s *serverSpan) requests() float64 {
	if n := s.counts[results.SignalDone] + s.counts[results.SignalFailed]; n > 0 {
		return n
	}
	return float64(max(s.times[results.SignalE2E].Count, s.times[results.SignalTTFT].Count))
}

// traffic reports whether anybody has asked the servers for anything.
func (s *serverSpan) traffic() bool {
	return s.busy || s.requests() > 0 || s.counts[results.SignalOutputTokens]+s.counts[results.SignalPromptTokens] > 0
}

// A reach is a figure and how it is known.
type reach struct {
	x    float64
	n    int                    // requests, tokens or readings that tell
	past bool                   // it is over x: past the last bucket
	in   results.BucketQuantile // of a quantile of times
}

// measure is what measure is for samples. length is over what time a rate is; 0: over what was read. ok is false if
// there is nothing to measure.
func (s *serverSpan) measure(m Metric, length time.Duration) (r reach, ok bool) {
	length = cmp.Or(length, s.covered)
	perSecond := func(count float64) (reach, bool) {
		return reach{x: count / length.Seconds(), n: int(count)}, s.covered > 0
	}
	failed, done := s.counts[results.SignalFailed], s.counts[results.SignalDone]
	switch m.Name {
	case "server.success":
		return reach{x: done / (done + failed), n: int(done + failed)}, done+failed > 0
	case "server.error_rate":
		return reach{x: failed / (done + failed), n: int(done + failed)}, done+failed > 0
	case "server.requests_per_second":
		return perSecond(s.requests())
	case "server.tokens_per_second":
		return perSecond(s.counts[results.SignalOutputTokens])
	case "server.prompt_tokens_per_second":
		return perSecond(s.counts[results.SignalPromptTokens])
	}
	if m.class() != distributionClass {
		x, n, ok := measureLengths(m, &s.levels)
		return reach{x: x, n: n}, ok
	}
	h := s.times[m.signal()]
	n := int(min(h.Count, math.MaxInt32))
	if m.Stat == "mean" {
		return reach{x: h.Mean(), n: n}, n > 0
	}
	q := h.Quantile(m.Quantile)
	return reach{x: float64(q.Value), n: n, past: math.IsInf(float64(q.To), 1), in: q}, n > 0 && q.Known()
}

// silent says that no page tells what m is made of; "": one does.
func (s *serverSlice) silent(m Metric) string {
	for _, one := range m.counters() {
		if !slices.ContainsFunc(slices.Collect(maps.Values(s.pages)), func(w *watched) bool { return w.says(m, one) }) {
			what := strings.ReplaceAll(one[len(one)-1], "_", " ")
			return fmt.Sprintf("no page of %s tells it: %s has no %s", strings.Join(slices.Sorted(maps.Keys(s.pages)), ", "), s.kinds(), what)
		}
	}
	return ""
}

// partial names a page that never counts a part of what m is made of, as its kind does not; "": none does. A page that
// did not answer is a gap.
func (s *serverSlice) partial(m Metric) string {
	lists := m.counters()
	if m.class() == shareClass { // who counts one of the two makes a share of all wrong
		lists = [][]string{{results.SignalDone}, {results.SignalFailed}}
	}
	for _, name := range slices.Sorted(maps.Keys(s.pages)) {
		kind := s.pages[name].kind
		for _, one := range lists {
			if kind != "" && !slices.ContainsFunc(one, func(signal string) bool { return targets.Tells(kind, signal) }) {
				what := strings.ReplaceAll(one[len(one)-1], "_", " ")
				return fmt.Sprintf("the page %s does not tell it: %s has no %s: select the others by a label", name, kind, what)
			}
		}
	}
	return ""
}

// says reports whether a page shows one of the signals. A counter of failures may come with the first one: there a
// kind of server says whether it has one.
func (w *watched) says(m Metric, signals []string) bool {
	if m.class() == shareClass && (!targets.Tells(w.kind, results.SignalDone) || !targets.Tells(w.kind, results.SignalFailed)) {
		return false
	}
	return slices.ContainsFunc(signals, func(signal string) bool { return w.tells[signal] })
}

// kinds names the servers.
func (s *serverSlice) kinds() string {
	var all []string
	for _, w := range s.pages {
		all = append(all, cmp.Or(w.kind, "what did not answer"))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// gap says why a phase of some length is not known in full; "": it is.
func (s *serverSlice) gap(p phase, length time.Duration) string {
	for _, name := range slices.Sorted(maps.Keys(s.pages)) {
		w := s.pages[name]
		switch short := length - w.covered[p]; {
		case w.gap[p] != "":
			return fmt.Sprintf("of the page %s not all of the %s phase is known: %s", name, p.name(), w.gap[p])
		case w.covered[p] == 0:
			return because(fmt.Sprintf("the page %s told nothing of the %s phase", name, p.name()), w.failed)
		case short > max(longStep, length/10):
			return because(fmt.Sprintf("the page %s was read over %s of the %s phase's %s", name,
				w.covered[p].Round(time.Millisecond), p.name(), length.Round(time.Millisecond)), w.failed)
		}
	}
	return ""
}

// stillLeast is how long a server that works does not go without counting anything while requests run.
const stillLeast = 10 * time.Second

// stands names a page that counted nothing for too long a part of a phase while requests ran or waited: it shows what
// was so before, or its server hangs, and what hangs is counted nowhere. "": none does.
func (s *serverSlice) stands(p phase, length time.Duration) string {
	for _, name := range slices.Sorted(maps.Keys(s.pages)) {
		if still := s.pages[name].still[p]; still > max(stillLeast, length/10) {
			return fmt.Sprintf("the page %s counted nothing for %s of the %s phase while requests ran or waited: it is stale, or its server hangs",
				name, still.Round(time.Millisecond), p.name())
		}
	}
	return ""
}

// unseen says why a guard that watches s would not see what it is for, by baseline; "": it would.
func (s *serverSlice) unseen(m Metric) string {
	answer := false
	for _, w := range s.pages {
		answer = answer || w.failed == ""
	}
	switch {
	case !answer:
		name := slices.Min(slices.Collect(maps.Keys(s.pages)))
		return because("none of the pages that it watches answers", s.pages[name].failed)
	case s.phases[inBaseline].traffic(): // else counters may come with their first event
		return s.silent(m)
	default:
		return ""
	}
}
