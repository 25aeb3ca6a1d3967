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

// missing returns what of the clients and classes that p is for there is not, or nil.
func (p *Part) missing(w Workload, clients []Client) (errs []error) {
	var tiers, tenants []string
	for _, c := range clients {
		tiers, tenants = append(tiers, c.Tier), append(tenants, c.Tenant)
	}
	for _, f := range []struct {
		key, is string
		of      []string
		who     string
	}{{"tier", p.Tier, tiers, "client"}, {"tenant", p.Tenant, tenants, "client"}, {"feature", p.Feature, w.Features(), "class of the workload"}} {
		errs = append(errs, isOneOf(f.key, f.is, f.of, f.who)...)
	}
	if len(errs) == 0 && len(clients) > 0 && !slices.ContainsFunc(clients, func(c Client) bool { return p.has(&c) }) {
		errs = append(errs, fmt.Errorf("tenant %q has no client of the tier %q: add one, or leave out one of the two", p.Tenant, p.Tier))
	}
	return errs
}

// isOneOf returns that a label is of nobody.
func isOneOf(key, is string, of []string, who string) []error {
	if is == "" || slices.Contains(of, is) {
		return nil
	}
	slices.Sort(of)
	of = slices.DeleteFunc(slices.Compact(of), func(name string) bool { return name == "" })
	if len(of) == 0 {
		return []error{fmt.Errorf("%s %q is of no %s: none has one", key, is, who)}
	}
	return []error{fmt.Errorf("%s %q isn't one of [%s]", key, is, strings.Join(of, " "))}
}

// checkUsers returns what of the clients and classes there is not that others of the load are about.
func (cfg *Config) checkUsers() []error {
	var errs []error
	for i := range cfg.Profile.Plus {
		errs = append(errs, prefixed(fmt.Sprintf("profile: plus[%d]", i), cfg.Profile.Plus[i].missing(cfg.Workload, cfg.Clients))...)
	}
	for i := range cfg.Clients {
		errs = append(errs, prefixed(fmt.Sprintf("clients[%d]", i), cfg.Clients[i].Storm.missing(cfg.Workload))...)
	}
	return errs
}

// missing returns that s is about a class that w has not, or nil.
func (s *Storm) missing(w Workload) []error {
	if s == nil {
		return nil
	}
	return prefixed("storm", isOneOf("feature", s.Feature, w.Features(), "class of the workload"))
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
