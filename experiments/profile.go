package experiments

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// ParseProfile reads a profile as an experiment file has it: {poisson: {rate: 100/s}}. Name is where the text
// is from, for messages; an error is Problems.
func ParseProfile(name, text string) (attacks.Profile, error) {
	d := newDecoder(name)
	var p attacks.Profile
	if root := d.parse([]byte(text)); root != nil {
		d.value(root, "", reflect.ValueOf(&p).Elem())
	}
	if len(d.problems) > 0 {
		return attacks.Profile{}, d.problems.sort()
	}
	return p, nil
}

// ParseWorkload reads a workload as ParseProfile does a profile: a preset's name, or {prompt_tokens: 200, output_tokens: 50}.
func ParseWorkload(name, text string) (attacks.Workload, error) {
	d := newDecoder(name)
	var w attacks.Workload
	if root := d.parse([]byte(text)); root != nil {
		d.value(root, "", reflect.ValueOf(&w).Elem())
	}
	if len(d.problems) > 0 {
		return attacks.Workload{}, d.problems.sort()
	}
	return w, nil
}

// ParseClient reads one client as ParseProfile does a profile: {retries: 2, hedge: 1s}.
func ParseClient(name, text string) (attacks.Client, error) {
	d := newDecoder(name)
	var c attacks.Client
	switch root := d.parse([]byte(text)); {
	case root == nil:
	case root.Kind == yaml.SequenceNode:
		d.problem(root, "", "is a list, and an attack has one kind of client: write that one without [ and ], or an experiment, whose attack.clients takes several")
	default:
		d.value(root, "", reflect.ValueOf(&c).Elem())
	}
	if len(d.problems) > 0 {
		return attacks.Client{}, d.problems.sort()
	}
	return c, nil
}

// restShare: what is left of a phase after a trace's last request is worth a word if it is more than such a part of it.
const restShare = 20

func newDecoder(file string) *decoder {
	return &decoder{file: file, at: map[string]*yaml.Node{}, active: map[*yaml.Node]bool{}, shapes: shapes()}
}

// comings checks that the base and each part of the profile come within a phase that has them, and warns of what
// of them does not.
func (c *checker) comings() {
	profile := c.plan.Attack.Profile
	if c.plan.Attack.None {
		return
	}
	if !c.fine("attack.profile") || !c.fine("phases") {
		base := profile.Spike != nil || profile.Step != nil || profile.Ramp != nil
		c.skipped = c.skipped || base || len(profile.Plus) > 0
		return
	}
	all := append([]attacks.Part{{Profile: profile}}, profile.Plus...)
	for i, part := range all {
		path := "attack.profile"
		if i > 0 {
			path = fmt.Sprintf("attack.profile.plus[%d]", i-1)
		}
		longest := c.longest(part.During)
		missed := part.Missed(longest)
		switch begins := part.Begins(); {
		case longest == 0:
			c.atPath(path, "never comes: there is no %[1]s phase: write phases.%[1]s: 15s", part.During)
		case begins >= longest:
			c.atPath(path, "never comes: it starts at %s and the longest phase that has it lasts %s", begins, longest)
		case missed != "":
			c.warn(path, "%s, and the longest phase that has it lasts %s", missed, longest)
		}
	}
}

// longest is the longest that a phase can last; "": that the longest of all can.
func (c *checker) longest(during results.Phase) (longest time.Duration) {
	if during != "" {
		return c.plan.Phases.Of(during).Limit()
	}
	for _, p := range append(results.JudgedPhases(), results.Warmup) {
		longest = max(longest, c.plan.Phases.Of(p).Limit())
	}
	return longest
}

// trace notes what is wrong with a trace. Where the plan is read it may be missing: it must be there for the run.
func (c *checker) trace(path string, err error) {
	var missing *fs.PathError
	switch {
	case err == nil:
	case errors.As(err, &missing):
		c.warn(path, "%s", err)
	default:
		c.atPath(path, "%s", err)
	}
}

// traces checks those that can be read here, and warns of others, and of a base's that is over well before a phase is.
// It reads as much of that as the longest phase will.
func (c *checker) traces() {
	if !c.fine("attack.profile") || !c.fine("phases") {
		c.skipped = c.skipped || c.plan.Attack.Profile.Trace != nil
		return
	}
	for i, part := range c.plan.Attack.Profile.Plus {
		if part.Trace == nil {
			continue
		}
		for _, err := range part.Arrivals(results.Baseline, c.plan.Seed) {
			c.trace(fmt.Sprintf("attack.profile.plus[%d].trace.file", i), err)
			break
		}
	}
	trace := attacks.Profile{Trace: c.plan.Attack.Profile.Trace}
	if trace.Trace == nil {
		return
	}
	var longest, last time.Duration
	for _, p := range results.JudgedPhases() {
		longest = max(longest, c.plan.Phases.Of(p).Limit())
	}
	for a, err := range trace.Arrivals(results.Baseline, c.plan.Seed) {
		if err != nil {
			c.trace("attack.profile.trace.file", err)
			return
		}
		if last = a.At; last >= longest {
			return
		}
	}
	for _, p := range results.JudgedPhases() {
		if limit := c.plan.Phases.Of(p).Limit(); limit-last > limit/restShare {
			c.warn("phases."+string(p), "lasts %s, and the trace is over after %s: nothing of it is sent in the rest of the phase", limit, last)
		}
	}
}
