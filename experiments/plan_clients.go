package experiments

import (
	"fmt"
	"maps"
	"slices"

	"github.com/failwhale/failwhale/attacks"
)

// behaviour checks what clients and parts of the profile name: endpoints, phases and classes that are elsewhere in the file.
func (c *checker) behaviour() {
	features := c.plan.Attack.Workload.Features()
	tiers, tenants := []string{}, []string{}
	for i, client := range c.plan.Attack.Clients {
		tiers, tenants = append(tiers, client.Tier), append(tenants, client.Tenant)
		path := fmt.Sprintf("attack.clients[%d]", i)
		if s := client.Storm; s != nil {
			c.feature(path+".storm.feature", s.Feature, features)
			if s.During != "" && c.fine("phases") && c.plan.Phases.Of(s.During).Limit() == 0 {
				c.atPath(path+".storm.during", "there is no %[1]s phase: write phases.%[1]s: 15s", s.During)
			}
		}
		if client.Failover != nil {
			c.failover(path+".failover.to", client.Failover.To)
		}
	}
	if len(c.plan.Attack.Profile.Plus) > 0 && !c.fine("attack.clients") && c.at["attack.clients"] != nil {
		c.skipped = true
		return
	}
	for i, part := range c.plan.Attack.Profile.Plus {
		path := fmt.Sprintf("attack.profile.plus[%d].", i)
		c.oneOfThose(path+"tier", "no client has tier", part.Tier, tiers)
		c.oneOfThose(path+"tenant", "no client has tenant", part.Tenant, tenants)
		c.feature(path+"feature", part.Feature, features)
		alike := func(client attacks.Client) bool { return client.Tier == part.Tier && client.Tenant == part.Tenant }
		if slices.Contains(tiers, part.Tier) && slices.Contains(tenants, part.Tenant) && part.Tier != "" && part.Tenant != "" &&
			!slices.ContainsFunc(c.plan.Attack.Clients, alike) {
			c.atPath(path+"tenant", "no client has both tier %q and tenant %q", clip(part.Tier), clip(part.Tenant))
		}
	}
}

// feature checks the name of a class.
func (c *checker) feature(path, name string, have []string) {
	if c.at["attack.workload"] == nil || c.fine("attack.workload") {
		c.oneOfThose(path, "no class of the workload has feature", name, have)
	}
}

// oneOfThose checks a name that must be one of have; "" is none.
func (c *checker) oneOfThose(path, none, name string, have []string) {
	if name == "" || !c.fine(path) || slices.Contains(have, name) {
		return
	}
	have = slices.Compact(slices.Sorted(slices.Values(have)))
	have = slices.DeleteFunc(have, func(name string) bool { return name == "" })
	c.atPath(path, "%s %q%s", none, clip(name), orKnown(name, have))
}

// failover checks the endpoints to which a client goes, where the file tells which there are.
func (c *checker) failover(path string, to []string) {
	others := slices.Sorted(maps.Keys(c.plan.Stack.Endpoints))
	from := c.front()
	switch {
	case !c.fine(path) || !c.fine("stack"):
		return
	case c.plan.Stack.Reference != nil:
		c.atPath(path, "the reference stack has one endpoint: its own edge fails over from region to region, see stack.reference.knobs.edge")
		return
	case c.plan.Stack.Attach != "": // its endpoints are known when it is open
		others = nil
	case from == "": // which is told elsewhere
		return
	}
	others = slices.DeleteFunc(others, func(name string) bool { return name == from })
	for i, name := range to {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case name == from:
			c.atPath(at, "%q is where the attack goes by itself: delete it", clip(name))
		case others != nil && !slices.Contains(others, name):
			c.atPath(at, "the stack has no other endpoint %q%s", clip(name), orKnown(name, others))
		}
	}
}

// front is the endpoint that the attack uses; "": the file does not tell.
func (c *checker) front() string {
	name, names := c.plan.Attack.Endpoint, slices.Collect(maps.Keys(c.plan.Stack.Endpoints))
	if name == "" && len(names) == 1 {
		return names[0]
	}
	return name
}
