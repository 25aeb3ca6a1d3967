package experiments

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// servers checks that there are pages for what is asked of servers and, without a load of ours, that nothing else is asked.
func (c *checker) servers() {
	p := c.plan
	asked := p.Attack.None || slices.ContainsFunc(c.places(), func(p place) bool { return p.server })
	if !asked || !c.fine("stack") {
		c.skipped = c.skipped || asked
		return
	}
	paged := len(p.Stack.Metrics) > 0 || len(p.Stack.Endpoints) == 0 // a reference stack has pages, and an attached one may
	const write = "write stack.metrics: {server: {url: http://host:8000/metrics}}"
	if p.Attack.None && !paged {
		c.atPath("attack", "none leaves the servers' own figures to judge by, and the stack names no page of them: %s", write)
	}
	for i, h := range p.Hypotheses {
		c.ofServers(fmt.Sprintf("hypotheses[%d]", i), h.Condition, paged, write)
	}
	for i, g := range p.Guards {
		c.ofServers(fmt.Sprintf("guards[%d]", i), g.Condition, paged, write)
	}
	if !p.Attack.None {
		return
	}
	for _, phase := range append([]results.Phase{results.Warmup}, results.JudgedPhases()...) {
		if path := "phases." + string(phase); p.Phases.Of(phase).Until.Samples > 0 {
			c.atPath(path+".until", "counts requests of ours, and attack: none sends none: write %s: 60s", path)
		}
	}
	if p.SLO != (SLO{}) {
		c.atPath("slo", "is about requests of ours, and attack: none sends none: delete it")
	}
}

// ofServers checks one condition.
func (c *checker) ofServers(path string, cond Condition, paged bool, write string) {
	name := cond.Metric.Name
	switch {
	case name == "":
	case cond.Metric.Server() && !paged && !c.plan.Attack.None:
		c.atPath(path, "%s is told by pages of metrics, and the stack names none: %s", name, write)
	case !cond.Metric.Server() && c.plan.Attack.None:
		c.atPath(path, "%s is of requests of ours, and attack: none sends none: write %s", name, c.theirs(name))
	}
}

// theirs is what servers tell that is most like a metric of ours.
func (c *checker) theirs(name string) string {
	switch name {
	case "goodput":
		return serverPrefix + "requests_per_second"
	case "goodput_tokens", "amplification", "wasted_tokens":
		return serverPrefix + "tokens_per_second"
	case "stalled", "stall":
		return serverPrefix + "itl"
	}
	if name = serverPrefix + strings.TrimSuffix(name, "_sent"); slices.ContainsFunc(serverDefs(), func(d metricDef) bool { return d.name == name }) {
		return name
	}
	return "what servers tell, such as server.success"
}

// pageLabels gives the labels of pages, and their values; nil: any.
func (c *checker) pageLabels() map[string][]string {
	known := map[string][]string{}
	switch {
	case c.plan.Stack.Reference != nil:
		known["region"] = c.regions()
	case c.plan.Stack.Attach != "":
		known["region"] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.plan.Stack.Metrics)) {
		for label, value := range c.plan.Stack.Metrics[name].Labels {
			if !slices.Contains(known[label], value) {
				known[label] = append(known[label], value)
			}
		}
	}
	return known
}
