package experiments

import (
	"cmp"
	"maps"
	"slices"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/targets"
)

// known gives the labels that samples may have, and their values where the file fixes them; nil: any.
func (c *checker) known() map[string][]string {
	known := map[string][]string{"tier": {}}
	add := func(name, value string) {
		if value != "" && !slices.Contains(known[name], value) {
			known[name] = append(known[name], value)
		}
	}
	for _, client := range c.plan.Attack.Clients {
		add("tier", client.Tier)
		add("tenant", client.Tenant)
		add("home", client.Home)
	}
	for _, feature := range c.plan.Attack.Workload.Features() {
		add("feature", feature)
	}
	c.knownModels(known, add)
	c.knownFailovers(known, add)
	switch {
	case c.plan.Stack.Reference != nil:
		roles, _ := c.plan.Stack.Roles()
		known["region"], known["replica"] = c.regions(), roles["gpu"] // a replica is named like its GPU
	case c.plan.Stack.Attach != "": // it may be any stack
		known["region"], known["replica"] = nil, nil
	}
	told := map[string]bool{} // by a response header
	for _, key := range slices.Sorted(maps.Keys(c.plan.Stack.Endpoints)) {
		for name, label := range c.plan.Stack.Endpoints[key].Labels {
			told[name] = told[name] || label.Header != ""
			add(name, label.Value)
		}
	}
	for name := range told {
		if told[name] {
			known[name] = nil
		}
	}
	return known
}

// knownModels adds those that are asked for, where a class has models; else samples name none.
func (c *checker) knownModels(known map[string][]string, add func(name, value string)) {
	others := false
	for _, class := range c.plan.Attack.Workload {
		others = others || len(class.Models) == 0
		for _, model := range slices.Sorted(maps.Keys(class.Models)) {
			add("model", model)
		}
	}
	if _, told := known["model"]; !told || !others {
		return
	}
	if add("model", c.frontModel()); c.frontModel() == "" { // the stack's own
		known["model"] = nil
		return
	}
	for _, client := range c.plan.Attack.Clients {
		if client.Failover == nil {
			continue
		}
		for _, name := range client.Failover.To {
			add("model", cmp.Or(c.plan.Stack.Endpoints[name].Model, targets.DefaultModel))
		}
	}
}

// frontModel is the model of the endpoint that is attacked, if the file says it; "" else.
func (c *checker) frontModel() string {
	e, ok := c.plan.Stack.Endpoints[c.front()]
	if !ok {
		return ""
	}
	return cmp.Or(e.Model, targets.DefaultModel)
}

// knownFailovers adds the endpoints that samples name: only those of clients that fail over.
func (c *checker) knownFailovers(known map[string][]string, add func(name, value string)) {
	for _, client := range c.plan.Attack.Clients {
		if client.Failover == nil {
			continue
		}
		for _, name := range append([]string{c.front()}, client.Failover.To...) {
			add("endpoint", name)
		}
		if c.front() == "" { // an attached stack's
			known["endpoint"] = nil
			return
		}
	}
}

// gives reports whether label is one that we give requests ourselves: who has none of it is known by that. One that a
// header of an endpoint's answers tells is none, and neither are region and replica, which no client has.
func (p *Plan) gives(label string) bool {
	written := false
	for _, e := range p.Stack.Endpoints {
		l, has := e.Labels[label]
		if l.Header != "" {
			return false
		}
		written = written || has
	}
	if written {
		return true
	}
	switch label {
	case "model", "endpoint": // all samples have it, or none
		return true
	case "feature":
		return slices.ContainsFunc(p.Attack.Workload.Features(), func(name string) bool { return name != "" })
	}
	return slices.ContainsFunc(p.Attack.Clients, func(c attacks.Client) bool { return clientLabel(&c, label) != "" })
}

// clientLabel is what a kind of client has of one of its labels; "" of any other.
func clientLabel(c *attacks.Client, label string) string {
	switch label {
	case "tier":
		return c.Tier
	case "tenant":
		return c.Tenant
	case "home":
		return c.Home
	}
	return ""
}

// someLack reports whether some requests have no label of a kind that others are given.
func (p *Plan) someLack(label string) bool {
	endpoints := 0 // with a label of that name, which all their requests have
	for _, e := range p.Stack.Endpoints {
		if _, has := e.Labels[label]; has {
			endpoints++
		}
	}
	switch {
	case !p.gives(label), endpoints > 0 && endpoints == len(p.Stack.Endpoints):
		return false
	case label == "feature":
		return slices.Contains(p.Attack.Workload.Features(), "")
	case label == "model" || label == "endpoint":
		return false
	}
	return slices.ContainsFunc(p.Attack.Clients, func(c attacks.Client) bool { return clientLabel(&c, label) == "" })
}

// usersLabels are those that the load gives its requests.
func usersLabels() []string { return []string{"tier", "tenant", "home", "feature", "model"} }
