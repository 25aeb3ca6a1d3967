package experiments

import (
	"maps"
	"net/url"
	"slices"

	"github.com/failwhale/failwhale/results"
)

// metrics checks the pages that are read beside the load.
func (c *checker) metrics() {
	stack := c.plan.Stack
	if len(stack.Metrics) > 0 && len(stack.Endpoints) == 0 && c.fine("stack.metrics") {
		c.atPath("stack.metrics", "is only for endpoints: the pages of other stacks are known, delete it")
	}
	known := c.known()
	for _, name := range slices.Sorted(maps.Keys(stack.Metrics)) {
		page, path := stack.Metrics[name], join("stack.metrics", name)
		if name == results.Self {
			c.atPath(path, "is what failwhale calls itself: write another name")
		}
		if at := join(path, "url"); c.fine(at) {
			if u, err := url.Parse(page.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				c.atPath(at, "is not of the form http://host:port/metrics")
			}
		}
		if c.plan.Attack.None { // there is no sample beside which it would be shown
			continue
		}
		for label, value := range page.Labels {
			at := join(join(path, "labels"), label)
			values, ok := known[label]
			switch {
			case !ok:
				c.atPath(at, "no sample has a label %s%s", label, orKnown(label, slices.Sorted(maps.Keys(known))))
			case values != nil && !slices.Contains(values, value):
				c.atPath(at, "no sample will have %s=%q%s", label, value, orKnown(value, values))
			}
		}
	}
}
