package experiments

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/targets"
)

// class is where one of the workload's classes stands: a list of one may be written without the list.
func (c *checker) class(i int) string {
	const path = "attack.workload"
	if n := c.at[path]; n != nil && n.Kind == yaml.SequenceNode {
		return fmt.Sprintf("%s[%d]", path, i)
	}
	return path
}

// workload reads the traces that classes draw their lengths from, and warns of what will hardly be meant.
func (c *checker) workload() {
	if !c.fine("attack.workload") || !c.fine("attack.profile") {
		return
	}
	w := c.plan.Attack.Workload
	wrong := w.CheckLengths()
	for _, i := range slices.Sorted(maps.Keys(wrong)) {
		c.trace(join(c.class(i), "lengths_from"), wrong[i])
	}
	c.bursts()
	c.unserved()
	for i, class := range w {
		if class.Body != nil {
			c.marks(join(c.class(i), "body"), class.Body)
		}
	}
}

// bursts warns of requests that come in bursts in service, and here do not.
func (c *checker) bursts() {
	p, cv := c.plan.Attack.Profile, c.plan.Attack.Workload.CV()
	switch {
	case cv == 0:
	case p.Constant != nil:
		c.warn("attack.profile", "spaces evenly what comes in bursts in service: write {gamma: {rate: %s, cv: %v}}", p.Constant.Rate, cv)
	case p.Poisson != nil:
		c.warn("attack.profile", "spaces as independent users do what comes in bursts in service: write {gamma: {rate: %s, cv: %v}}", p.Poisson.Rate, cv)
	}
}

// unserved warns of classes that the reference stack has no answer for.
func (c *checker) unserved() {
	ref, speaks := c.plan.Stack.Reference, targets.OpenAIChat{}.Name()
	for i, name := range c.plan.Attack.Workload.Dialects() {
		if ref != nil && name != "" && name != speaks {
			c.warn(c.class(i), "is asked by %s, and the reference stack speaks %s alone: all its requests will be refused", name, speaks)
		}
	}
}

// mark is what looks like one of a body's marks.
var mark = regexp.MustCompile(`\{\{[ a-z_-]+\}\}`)

// marks warns of what in a body is sent as it stands, and was most likely not meant to be.
func (c *checker) marks(path string, x any) {
	switch x := x.(type) {
	case string:
		for _, m := range mark.FindAllString(x, -1) {
			if known := attacks.BodyMarks(); !slices.Contains(known, m) && closest(m, known) != "" {
				c.warn(path, "has %s, which is sent as it stands%s", m, DidYouMean(m, known))
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(x)) {
			c.marks(join(path, name), x[name])
		}
	case []any:
		for i, v := range x {
			c.marks(fmt.Sprintf("%s[%d]", path, i), v)
		}
	}
}
