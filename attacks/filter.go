package attacks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// has reports whether requests of the part may be of a client.
func (p *Part) has(c *Client) bool {
	return (p.Tier == "" || p.Tier == c.Tier) && (p.Tenant == "" || p.Tenant == c.Tenant)
}

// is reports whether they may be of a class.
func (p *Part) is(c *Class) bool { return p.Feature == "" || p.Feature == c.Feature }

// A Stranger is a name in a load that is of none of its clients, or of none of its classes.
type Stranger struct {
	// At is where the name stands, as profile.plus[0] or clients[1].storm, and Key its key there: tier, tenant or feature.
	At, Key string
	// Name is what that key says.
	Name string
	// Have are the names that there are, sorted.
	Have []string
	// Tier is that beside the tenant Name where there are both, and no client has both; else "".
	Tier string
}

// String says what is wrong with it.
func (s Stranger) String() string {
	who := "client"
	if s.Key == "feature" {
		who = "class of the workload"
	}
	text := fmt.Sprintf("%s %q isn't one of [%s]", s.Key, s.Name, strings.Join(s.Have, " "))
	switch {
	case s.Tier != "":
		text = fmt.Sprintf("tenant %q has no client of the tier %q: add one, or leave out one of the two", s.Name, s.Tier)
	case len(s.Have) == 0:
		text = fmt.Sprintf("%s %q is of no %s: none has one", s.Key, s.Name, who)
	}
	return strings.ReplaceAll(s.At, ".", ": ") + ": " + text
}

// Strangers returns the names in a profile's parts and in clients' storms that are of no client or class: such a part
// would have no requests, and such a storm no users.
func Strangers(p Profile, w Workload, clients []Client) (all []Stranger) {
	features := w.Features()
	var tiers, tenants []string
	for i, c := range clients {
		tiers, tenants = append(tiers, c.Tier), append(tenants, c.Tenant)
		if c.Storm != nil {
			all = append(all, stranger(fmt.Sprintf("clients[%d].storm", i), "feature", c.Storm.Feature, features)...)
		}
	}
	for i, part := range p.Plus {
		at := fmt.Sprintf("profile.plus[%d]", i)
		users := slices.Concat(stranger(at, "tier", part.Tier, tiers), stranger(at, "tenant", part.Tenant, tenants))
		all = slices.Concat(all, users, stranger(at, "feature", part.Feature, features))
		both := part.Tier != "" && part.Tenant != "" && len(users) == 0
		if both && !slices.ContainsFunc(clients, func(c Client) bool { return part.has(&c) }) {
			all = append(all, Stranger{At: at, Key: "tenant", Name: part.Tenant, Tier: part.Tier})
		}
	}
	return all
}

// stranger returns a name that is none of those that there are; "" is no name.
func stranger(at, key, name string, have []string) []Stranger {
	if name == "" || slices.Contains(have, name) {
		return nil
	}
	have = slices.Compact(slices.Sorted(slices.Values(have)))
	have = slices.DeleteFunc(have, func(name string) bool { return name == "" })
	return []Stranger{{At: at, Key: key, Name: name, Have: have}}
}

// choices are whose the requests of a profile's base may be, and those of its parts.
func (p *Profile) choices(clients []Client, w Workload, classes []Class) []choice {
	users, kinds := Shares(clients), w.Shares()
	all := []choice{{clients: newWeights(users, nil), classes: newWeights(kinds, nil)}}
	for i := range p.Plus {
		part := &p.Plus[i]
		all = append(all, choice{
			clients: newWeights(users, func(i int) bool { return part.has(&clients[i]) }),
			classes: newWeights(kinds, func(i int) bool { return part.is(&classes[i]) }),
		})
	}
	return all
}

// Converses reports whether a class of w, or its preset, has conversations.
func (w Workload) Converses() bool {
	return slices.ContainsFunc(w.resolve(), func(c Class) bool { return c.Turns != nil })
}

// Labels returns the features and the models that samples of w are labelled with, sorted.
func (w Workload) Labels() (features, models []string) {
	for _, c := range w.resolve() {
		if c.Feature != "" {
			features = append(features, c.Feature)
		}
		models = slices.AppendSeq(models, maps.Keys(c.Models))
	}
	slices.Sort(features)
	slices.Sort(models)
	return slices.Compact(features), slices.Compact(models)
}
