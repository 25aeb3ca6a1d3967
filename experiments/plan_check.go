package experiments

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A checker looks at what no single value can know, and fills in the defaults that depend on
// other values.
type checker struct {
	*decoder
	plan     *Plan
	judging  bool // only fill in defaults
	lookup   func(name string) (string, bool)
	warnings Problems
	loads    map[results.Phase][]attacks.Portion // of each phase, once somebody has asked
}

func (c *checker) check() {
	if c.at["seed"] == nil {
		c.plan.Seed = seedOf(c.plan.Experiment)
	}
	c.ttls()
	if c.judging {
		return
	}
	c.name()
	c.clients()
	c.workload()
	c.replicas()
	c.endpoint()
	c.dialects()
	c.metrics()
	c.secrets()
	c.phases()
	c.comings()
	c.faults()
	c.roles()
	c.claims()
	c.servers()
	c.labels()
	c.traces()
	c.behaviour()
	if len(c.problems) == 0 && !c.plan.Attack.None {
		c.enough()
		c.ratios()
		c.slowReaders()
		c.onePiece()
	}
	if len(c.problems) == 0 {
		c.unset()
		c.breaches()
		c.budget()
	}
}

// atPath notes a problem at a path.
func (c *checker) atPath(path, format string, args ...any) {
	c.problem(c.nodeAt(path), path, format, args...)
}

// fine reports whether the file has path and nothing is wrong with it yet.
func (c *checker) fine(path string) bool {
	return c.at[path] != nil && !slices.ContainsFunc(c.problems, func(p Problem) bool {
		rest, within := strings.CutPrefix(p.Path, path)
		return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// maxName leaves room for a time and a number within the 255 bytes of a file's name.
const maxName = 100

func (c *checker) name() {
	name := c.plan.Experiment
	if !c.fine("experiment") {
		return
	}
	bad := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) })
	switch {
	case strings.TrimSpace(name) == "":
		c.atPath("experiment", "is empty: write a name")
	case bad >= 0:
		c.atPath("experiment", "%q cannot name a directory: leave out %q", clip(name), []rune(name[bad:])[0])
	case strings.ContainsRune(".-", rune(name[0])) || name != strings.TrimSpace(name):
		c.atPath("experiment", "%q cannot name a directory: begin with a letter or digit and end without a space", clip(name))
	case len(name) > maxName:
		c.atPath("experiment", "is %d bytes long: it names a directory, write at most %d; about has room for more", len(name), maxName)
	}
}

func (c *checker) clients() {
	if len(c.plan.Attack.Clients) == 0 {
		if c.fine("attack.clients") {
			c.atPath("attack.clients", "is empty: write [{tier: paid}], or delete the key")
		}
		c.plan.Attack.Clients = []attacks.Client{{Share: 1}}
		return
	}
	if !c.fine("attack.clients") {
		c.skipped = true
		return
	}
	for _, err := range attacks.ValidateClients(c.plan.Attack.Clients) {
		c.atPath("attack.clients", "%s", err)
	}
}

// replicas tells a written 0 from none at all, which is the default.
func (c *checker) replicas() {
	const path = "stack.reference.replicas"
	if ref := c.plan.Stack.Reference; ref != nil && ref.Replicas == 0 && c.fine(path) {
		c.atPath(path, "0 leaves nobody to answer: write 1 or more, or delete the key for %d", ref.Resolved().Replicas)
	}
}

func (c *checker) endpoint() {
	names := slices.Sorted(maps.Keys(c.plan.Stack.Endpoints))
	name := c.plan.Attack.Endpoint
	switch {
	case len(names) == 0 || !c.fine("attack") || c.plan.Attack.None: // the reference stack's and an attached one's are known when it is open
	case name == "" && len(names) > 1:
		c.atPath("attack.endpoint", "is missing, and the stack has several: write one of %s", strings.Join(names, ", "))
	case name != "" && !slices.Contains(names, name):
		c.atPath("attack.endpoint", "the stack has no endpoint %q%s", clip(name), orKnown(name, names))
	}
}

// dialects checks the wire formats that endpoints name.
func (c *checker) dialects() {
	var names []string
	for _, d := range targets.Dialects() {
		names = append(names, d.Name())
	}
	for name, endpoint := range c.plan.Stack.Endpoints {
		path := join(join("stack.endpoints", name), "dialect")
		if _, err := targets.DialectNamed(endpoint.Dialect); err != nil && c.fine(path) {
			c.atPath(path, "there is no dialect %q%s", clip(endpoint.Dialect), orKnown(endpoint.Dialect, names))
		}
	}
}

func (c *checker) phases() {
	for _, p := range []results.Phase{results.Baseline, results.Fault} {
		path := "phases." + string(p)
		if c.fine(path) && c.plan.Phases.Of(p).Limit() <= 0 {
			c.atPath(path, "is no time at all: write 15s")
		}
	}
}

// ttls fills in the default time to live of each fault.
func (c *checker) ttls() {
	for i := range c.plan.Faults {
		f := &c.plan.Faults[i]
		if f.TTL == 0 {
			f.TTL = max(0, c.plan.Phases.Fault.Limit()-f.At) + DefaultTTLMargin
		}
	}
}

func (c *checker) faults() {
	first := map[string]int{}
	limit := c.plan.Phases.Fault.Limit()
	for i, f := range c.plan.Faults {
		path := join(fmt.Sprintf("faults[%d]", i), f.Kind)
		if f.Kind == "" {
			continue
		}
		if j, taken := first[f.ID]; taken {
			c.atPath(join(path, "id"), "%q is already faults[%d]: write id: %s-%d", f.ID, j, f.ID, i+1)
		} else {
			first[f.ID] = i
		}
		if !c.fine("phases.fault") {
			continue
		}
		if f.At >= limit && f.At > 0 {
			c.atPath(join(path, "at"), "%s is not within the fault phase, which lasts %s", f.At, limit)
		} else if left := limit - f.At; f.TTL < left {
			c.atPath(join(path, "ttl"), "%s ends before the fault phase does: write %s or more, or shorten phases.fault", f.TTL, left)
		}
	}
}

// claims checks hypotheses and guards against the rest of the plan.
func (c *checker) claims() {
	p := c.plan
	if len(p.Hypotheses) == 0 && c.fine("hypotheses") {
		c.atPath("hypotheses", "is empty: write at least one, as in success >= 99%% during fault")
	}
	first := map[string]int{}
	for i, h := range p.Hypotheses {
		path := fmt.Sprintf("hypotheses[%d]", i)
		if h.Text == "" {
			continue
		}
		if j, taken := first[h.String()]; taken {
			c.atPath(path, "says the same as hypotheses[%d]: delete one", j)
		}
		first[h.String()] = i
		if h.During == results.Recovery && p.Phases.Recovery.Limit() == 0 && c.fine("phases") {
			c.atPath(path, "there is no recovery phase: write phases.recovery: 15s")
		}
		if h.Metric.Name == "goodput" && p.SLO == (SLO{}) && c.at["slo"] == nil {
			c.atPath(path, "goodput counts by the SLO: write slo: {ttft: 2s, tpot: 100ms}")
		}
	}
	guards := map[string]int{}
	for i, g := range p.Guards {
		if j, taken := guards[g.String()]; taken && g.Text != "" {
			c.atPath(fmt.Sprintf("guards[%d]", i), "says the same as guards[%d]: delete one", j)
		}
		guards[g.String()] = i
	}
}

// A place is a selector somewhere in the file.
type place struct {
	path   string
	labels results.Labels
	worst  string
	server bool // it selects pages, not samples
}

func (c *checker) places() []place {
	var all []place
	for i, h := range c.plan.Hypotheses {
		all = append(all, place{fmt.Sprintf("hypotheses[%d]", i), h.Metric.Labels, h.Worst, h.Metric.Server()})
	}
	for i, g := range c.plan.Guards {
		all = append(all, place{fmt.Sprintf("guards[%d]", i), g.Metric.Labels, "", g.Metric.Server()})
	}
	for _, p := range append(results.JudgedPhases(), results.Warmup) {
		all = append(all, place{"phases." + string(p) + ".until", c.plan.Phases.Of(p).Until.Labels, "", false})
	}
	return all
}

// labels checks that what claims select can exist.
func (c *checker) labels() {
	if !c.fine("attack") && c.at["attack.clients"] != nil || !c.fine("stack") {
		c.skipped = c.skipped || slices.ContainsFunc(c.places(), func(p place) bool { return p.worst != "" || len(p.labels) > 0 })
		return // its labels are not known
	}
	samples, pages := c.known(), c.pageLabels()
	for _, p := range c.places() {
		switch {
		case p.server:
			c.selects(p, "page of metrics", pages)
		case !c.plan.Attack.None: // of which there are none
			c.selects(p, "sample", samples)
		}
	}
}

// selects checks what a place selects by the labels that there are. what has them.
func (c *checker) selects(p place, what string, known map[string][]string) {
	names := slices.Sorted(maps.Keys(known))
	if _, ok := known[p.worst]; p.worst != "" && !ok {
		c.atPath(p.path, "no %s has a label %s%s", what, p.worst, orKnown(p.worst, names))
	}
	for name, value := range p.labels {
		values, ok := known[name]
		switch {
		case !ok:
			c.atPath(p.path, "no %s has a label %s%s", what, name, orKnown(name, names))
		case value == "" && !p.server && c.plan.someLack(name): // it selects those
		case values != nil && !slices.Contains(values, value):
			c.atPath(p.path, "no %s will have %s=%q%s", what, name, value, orKnown(value, values))
		}
	}
}

// orKnown suggests the closest of the candidates, or lists them.
func orKnown(word string, candidates []string) string {
	if hint := DidYouMean(word, candidates); hint != "" {
		return hint
	}
	if len(candidates) == 0 {
		return ": nothing in the file sets it"
	}
	return "; there are " + strings.Join(candidates, ", ")
}

// regions of the reference stack.
func (c *checker) regions() []string { return c.plan.Stack.Reference.Resolved().Regions }
