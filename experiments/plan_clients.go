package experiments

import (
	"fmt"
	"maps"
	"slices"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// behaviour checks what clients and parts of the profile name: endpoints, phases and classes that are elsewhere in the file.
func (c *checker) behaviour() {
	for i, client := range c.plan.Attack.Clients {
		path := fmt.Sprintf("attack.clients[%d]", i)
		named := append(results.JudgedPhases(), results.Warmup) // any other name is refused by itself
		if s := client.Storm; s != nil && slices.Contains(named, s.During) && c.fine("phases") && c.plan.Phases.Of(s.During).Limit() == 0 {
			c.atPath(path+".storm.during", "there is no %[1]s phase: write phases.%[1]s: 15s", s.During)
		}
		if client.HTTP2 && c.plan.Stack.Reference != nil {
			c.warn(path+".http2", "the reference stack speaks HTTP/1.1 alone: all these requests will fail")
		}
		if client.Failover != nil {
			c.failover(path+".failover.to", client.Failover.To)
		}
	}
	profile := c.plan.Attack.Profile
	if len(profile.Plus) > 0 && !c.fine("attack.clients") && c.at["attack.clients"] != nil {
		c.skipped = true
		profile.Plus = nil
	}
	for _, s := range attacks.Strangers(profile, c.plan.Attack.Workload, c.plan.Attack.Clients) {
		c.stranger(s)
	}
}

// stranger notes a name that is of no client or class, unless there is something else wrong with it or with the classes.
func (c *checker) stranger(s attacks.Stranger) {
	path, none := "attack."+s.At+"."+s.Key, "no client has"
	if s.Key == "feature" {
		none = "no class of the workload has"
		if c.at["attack.workload"] != nil && !c.fine("attack.workload") {
			return
		}
	}
	switch {
	case !c.fine(path):
	case s.Tier != "":
		c.atPath(path, "no client has both tier %q and tenant %q", clip(s.Tier), clip(s.Name))
	default:
		c.atPath(path, "%s %s %q%s", none, s.Key, clip(s.Name), orKnown(s.Name, s.Have))
	}
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

func (c *checker) front() string { return c.plan.front() }

// front is the endpoint that the attack uses; "": the file does not tell.
func (p *Plan) front() string {
	name, names := p.Attack.Endpoint, slices.Collect(maps.Keys(p.Stack.Endpoints))
	if name == "" && len(names) == 1 {
		return names[0]
	}
	return name
}
