package experiments

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A supply is how many requests there will be in a phase for something to be told by.
type supply struct {
	// mean is their number on average, least what is left of it but for bad luck: two standard deviations fewer.
	mean, least float64
	// late are on average still under way when the phase ends, and not among them.
	late float64
	// variance is that of their number.
	variance float64
	// of is the value of a worst(…) that has the fewest; "" of other claims.
	of string
	// until says that the phase ends by a number of samples, and not by its time.
	until bool
}

// supply is what a condition will be judged by in a phase. known is false where nobody can tell.
func (c *checker) supply(cond Condition, p results.Phase) (least supply, known bool) {
	if c.plan.Attack.Profile.Closed() || c.portions(p) == nil {
		return supply{}, false
	}
	least = c.among(cond, cond.Metric.Labels, p)
	if cond.Worst == "" || cond.Worst == "region" && c.plan.Stack.Reference != nil {
		return least, true // its regions have equal parts: see spread
	}
	for _, value := range c.known()[cond.Worst] {
		labels := results.Labels{cond.Worst: value}
		maps.Copy(labels, cond.Metric.Labels)
		if some := c.among(cond, labels, p); some.least < least.least {
			some.of = value
			least = some
		}
	}
	return least, true
}

// among is what labels select of a phase, which may end sooner than it could.
func (c *checker) among(cond Condition, labels results.Labels, p results.Phase) supply {
	all := c.within(cond, labels, p)
	until := c.plan.Phases.Of(p).Until
	if until.Samples == 0 {
		return all
	}
	finished := Condition{Metric: Metric{Name: "success"}} // is what until counts
	counted, n := c.within(finished, until.Labels, p), float64(until.Samples)
	if !(counted.mean > 0) {
		return all
	}
	both := supply{}
	if merged, ok := merge(labels, until.Labels); ok {
		both = c.within(cond, merged, p)
	}
	in, beside := min(1, both.mean/counted.mean), max(0, all.mean-both.mean)/counted.mean
	sooner := supply{mean: n * (in + beside), variance: n * (in*(1-in) + beside), until: true}
	sooner.least = max(0, sooner.mean-2*math.Sqrt(sooner.variance))
	if counted.least < n && all.least < sooner.least {
		return all // for it may take its longest
	}
	return sooner
}

// merge is what two selections have in common; ok is false if that is nothing.
func merge(a, b results.Labels) (both results.Labels, ok bool) {
	both = results.Labels{}
	maps.Copy(both, a)
	for name, value := range b {
		if had, some := both[name]; some && had != value {
			return nil, false
		}
		both[name] = value
	}
	return both, true
}

// within is what labels select of a phase that lasts as long as it may.
func (c *checker) within(cond Condition, labels results.Labels, p results.Phase) supply {
	var s supply
	all, ours, spread := c.portions(p), c.ours(labels, p), c.spread(cond, labels)
	for part := range len(c.plan.Attack.Profile.Plus) + 1 {
		due, begun, told := 0.0, 0.0, 0.0
		for _, one := range all {
			if one.Part != part {
				continue
			}
			due += one.Begun
			if one.Labels.Match(ours) {
				n, late := c.told(cond, one, p)
				begun, told = begun+one.Begun*spread, told+n*spread
				s.variance += n * (1 - n/max(one.Requests, 1e-9)) * spread // who leaves is drawn
				s.mean, s.late = s.mean+(n-late)*spread, s.late+late*spread
			}
		}
		if begun > 0 { // each brings as many as a conversation has turns, and as do not leave
			q := min(1, begun/due)
			s.variance += told / begun * told * (1 - q + q*c.profile(part).Scatter())
		}
	}
	if s.mean > 0 {
		s.variance *= s.mean / (s.mean + s.late)
	}
	s.least = max(0, s.mean-2*math.Sqrt(s.variance))
	return s
}

// told is how many of a portion are counted by a condition's metric, and how many of these are under way for longer than
// the phase lasts: those of the baseline are the fault's, or come too late for the gate.
func (c *checker) told(cond Condition, one attacks.Portion, p results.Phase) (n, late float64) {
	client := &c.plan.Attack.Clients[one.Client]
	tokens := one.OutputTokens / max(one.Requests, 1e-9)
	takes := c.takes(one, tokens)
	n = one.Requests
	if x := client.Cancel; x != nil && slices.Contains([]string{"success", "error_rate", "leaks", "e2e", "e2e_sent"}, cond.Metric.Name) {
		leave := x.BeforeFirstByte || x.AfterTokens > 0 && float64(x.AfterTokens) < tokens || x.After > 0 && x.After < takes
		if share := float64(x.Share); leave && share < 1 && share > 0 {
			n *= 1 - share
		} else if leave {
			n = 0
		}
	}
	if length := c.plan.Phases.Of(p).Limit(); p == results.Baseline && length > 0 {
		late = n * min(1, takes.Seconds()/length.Seconds())
	}
	return n, late
}

// What answers take: the time of a token of the reference stack's model in one stream, and the bytes of one token in a
// stream of OpenAI's format as it was measured there, by which a slow reader has them wherever they come from.
const (
	referenceToken = 8 * time.Millisecond
	streamedBytes  = 200
)

// takes is about how long answers of so many tokens do, where that is known; else 0.
func (c *checker) takes(one attacks.Portion, tokens float64) time.Duration {
	if c.inOnePiece(one.Labels) {
		return 0
	}
	seconds := 0.0
	if c.plan.Stack.Reference != nil {
		seconds = tokens * referenceToken.Seconds()
	}
	if read := float64(c.plan.Attack.Clients[one.Client].Read); read > 0 {
		seconds = max(seconds, tokens*streamedBytes/read)
	}
	return time.Duration(seconds * float64(time.Second))
}

// profile is the one whose place in the load is part.
func (c *checker) profile(part int) attacks.Profile {
	if part == 0 {
		return c.plan.Attack.Profile
	}
	return c.plan.Attack.Profile.Plus[part-1].Profile
}

// spread is the part that one region of the reference stack has of what a condition is about.
func (c *checker) spread(cond Condition, labels results.Labels) float64 {
	if c.plan.Stack.Reference == nil {
		return 1
	}
	if region, one := labels["region"]; one && slices.Contains(c.regions(), region) || cond.Worst == "region" {
		return 1 / float64(len(c.regions()))
	}
	return 1
}

// ours leaves of labels those that the load gives its requests, as far as the plan tells.
func (c *checker) ours(labels results.Labels, p results.Phase) results.Labels {
	all, known, ours := c.portions(p), c.known(), maps.Clone(labels)
	maps.DeleteFunc(ours, func(name, value string) bool {
		if !slices.Contains(usersLabels(), name) {
			return true
		}
		values, some := known[name]
		return some && values == nil && !slices.ContainsFunc(all, func(p attacks.Portion) bool { return p.Labels[name] == value })
	})
	return ours
}

// portions are those of a phase's requests, or nil where nobody knows.
func (c *checker) portions(p results.Phase) []attacks.Portion {
	if all, known := c.loads[p]; known {
		return all
	}
	cfg := attacks.Config{
		Profile: c.plan.Attack.Profile, Workload: c.plan.Attack.Workload, Clients: c.plan.Attack.Clients, Seed: c.plan.Seed,
		Endpoint: targets.Endpoint{Model: c.frontModel()},
	}
	all, err := cfg.Portions(p, c.plan.Phases.Of(p).Limit())
	if err != nil {
		all = nil
	}
	c.loads[p] = all
	return all
}

// lengthFor is how long a phase had to be for need samples, but for bad luck; 0: it would not help. It solves
// a·x² − 2·c·x = need + late for x, the root of the length, where a is what comes in a second and c² its variance.
func (s supply) lengthFor(need int, length time.Duration) time.Duration {
	seconds := length.Seconds()
	a, c := (s.mean+s.late)/seconds, math.Sqrt(s.variance/seconds)
	if !(a > 0) {
		return 0
	}
	x := (c + math.Sqrt(c*c+a*(float64(need)+s.late))) / a
	return time.Duration(math.Ceil(x*x-1e-6)) * time.Second
}

// short writes a time in whole seconds, or in minutes once there are some.
func short(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0fs", math.Ceil(d.Seconds()))
	}
	return fmt.Sprintf("%.0fm", math.Ceil(d.Minutes()))
}
