package experiments

import (
	"maps"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

// Bounds on what slices cost, whatever labels a server sends: so many labels, and so many values
// of each are told apart; what comes later is folded into one.
const (
	maxLabelValues = 50
	maxLabelNames  = 16
)

// A group tells the values of one label apart.
type group struct {
	label  string
	wants  want
	values map[string]*trio
	other  *trio // nil: not needed so far
	none   *trio
}

// newGroup starts a group; none holds what is known to lack the label so far.
func newGroup(label string, w want, none *trio) *group {
	return &group{label: label, wants: w, values: map[string]*trio{}, none: none}
}

func (g *group) add(r *reading) {
	v := r.sample.Labels[g.label]
	switch t := g.values[v]; {
	case v == "":
		g.none.add(r)
	case t != nil:
		t.add(r)
	case len(g.values) < maxLabelValues:
		t = newTrio(g.wants)
		g.values[v] = t
		t.add(r)
	default:
		if g.other == nil {
			g.other = newTrio(g.wants)
		}
		g.other.add(r)
	}
}

// A slice is one value of a group's label.
type slice struct {
	value string
	*trio
}

// slices gives the values in order, then what is folded, then what has no label, if there is any.
func (g *group) slices() []slice {
	var all []slice
	for _, v := range slices.Sorted(maps.Keys(g.values)) {
		all = append(all, slice{v, g.values[v]})
	}
	if g.other != nil {
		all = append(all, slice{results.OtherValue, g.other})
	}
	if g.none.requests() > 0 {
		all = append(all, slice{results.NoValue, g.none})
	}
	return all
}

// overall is the whole run and its slices, for the report.
type overall struct {
	whole  *trio
	labels map[string]*group
	errors errorTexts
}

func newOverall() *overall {
	return &overall{whole: newTrio(wantReport), labels: map[string]*group{}, errors: errorTexts{}}
}

func (o *overall) add(r *reading) {
	for _, label := range o.unseen(r.sample.Labels) {
		if len(o.labels) < maxLabelNames {
			none := newTrio(wantSlice)
			none.merge(o.whole) // no request before had the label
			o.labels[label] = newGroup(label, none[0].wants, none)
		}
	}
	o.whole.add(r)
	for _, g := range o.labels {
		g.add(r)
	}
	o.errors.add(r)
}

// unseen gives the labels that have no group so far, in order. A session's has as many values as
// there are sessions, and gets none.
func (o *overall) unseen(labels results.Labels) []string {
	var names []string
	for label, value := range labels {
		if o.labels[label] == nil && value != "" && label != "session" {
			names = append(names, label)
		}
	}
	slices.Sort(names)
	return names
}

// errorTexts counts the texts behind failed outcomes, a bounded number of each.
type errorTexts map[errorKey]map[string]int

type errorKey struct {
	phase   phase
	outcome results.Outcome
}

const maxErrorTexts = 32

func (e errorTexts) add(r *reading) {
	text := r.sample.Error
	if r.belongs == nowhere || text == "" {
		return
	}
	key := errorKey{r.belongs, min(r.sample.Outcome, results.Cancelled)}
	if e[key] == nil {
		e[key] = map[string]int{}
	}
	if _, seen := e[key][text]; seen || len(e[key]) < maxErrorTexts {
		e[key][text]++
	}
}

// commonest is the most frequent text, the first in the alphabet of several.
func (e errorTexts) commonest(p phase, o results.Outcome) string {
	best, most := "", 0
	for text, n := range e[errorKey{p, o}] {
		if n > most || n == most && text < best {
			best, most = text, n
		}
	}
	return best
}

// recoveryWindow is the resolution of recovery(…); maxWindows of it are over five hours, and what
// comes later counts in the last.
const (
	recoveryWindow = 2 * time.Second
	maxWindows     = 10_000
)

// A claimTrack follows the samples that one claim is about.
type claimTrack struct {
	claim   Claim
	trio    *trio          // of the claim's own labels
	group   *group         // of worst(…), else nil
	windows []*tally       // of recovery(…), from Revert on; nil where nothing happened
	lost    *trio          // what failed without a label that the claim selects by: it may be the claim's
	server  *serverTrack   // of what servers tell; else nil
	given   results.Labels // what the claim selects by of the labels that the load itself gives
	whole   bool           // nothing lacks the label of worst(…) but what has none
}

// newClaimTrack begins one. given reports whether a label is one that the load itself gives: a request without it is
// known to have none.
func newClaimTrack(c Claim, given func(label string) bool) *claimTrack {
	t := &claimTrack{claim: c, trio: newTrio(c.Metric.wants()), lost: newTrio(c.Metric.wants()), given: maps.Clone(c.Metric.Labels), whole: given(c.Worst)}
	maps.DeleteFunc(t.given, func(label, _ string) bool { return !given(label) })
	if c.Metric.Server() {
		t.server = newServerTrack(c.Condition)
		return t
	}
	if c.Worst != "" {
		t.group = newGroup(c.Worst, c.Metric.wants(), newTrio(c.Metric.wants()))
	}
	return t
}

func (t *claimTrack) add(r *reading, line *timeline) {
	if !r.sample.Labels.Match(t.claim.Metric.Labels) {
		if !r.complete && r.sample.Labels.Match(t.given) && mayMatch(r.sample.Labels, t.claim.Metric.Labels) {
			t.lost.add(r)
		}
		return
	}
	t.trio.add(r)
	if t.group != nil {
		t.group.add(r)
	}
	if t.claim.Recovers() && line.closed.came {
		t.recover(r, line)
	}
}

// mayMatch reports whether labels would match, were those known that are missing: a region that is gone names
// itself on no response.
func mayMatch(labels, selected results.Labels) bool {
	for name, value := range selected {
		if have := labels[name]; have != "" && have != value {
			return false
		}
	}
	return true
}

// recover counts into the windows of recovery: a request where it was due, tokens where they came,
// goodput where it was done.
func (t *claimTrack) recover(r *reading, line *timeline) {
	if r.belongs == inRecovery {
		t.window(r.sample.Due - line.closed.at).request(r)
	}
	if r.done == inRecovery {
		t.window(r.sample.Done - line.closed.at).finish(r)
	}
	if t.claim.Metric.class() != rateClass || r.arrived[inRecovery] == (arrival{}) {
		return
	}
	if r.sample.Unstreamed {
		t.window(r.sample.Done-line.closed.at).arrive(r.arrived[inRecovery], r.complete)
		return
	}
	weight := weightOf(r.sample)
	for _, c := range r.sample.Chunks {
		if line.at(c.At) == inRecovery {
			t.window(c.At-line.closed.at).arrive(arrival{tokens: float64(c.Tokens) * weight, chunks: 1}, r.complete)
		}
	}
}

func (t *claimTrack) window(since time.Duration) *tally {
	i := min(int(max(0, since)/recoveryWindow), maxWindows-1)
	for len(t.windows) <= i {
		t.windows = append(t.windows, nil)
	}
	if t.windows[i] == nil {
		t.windows[i] = &tally{wants: t.claim.Metric.wants()}
	}
	return t.windows[i]
}
