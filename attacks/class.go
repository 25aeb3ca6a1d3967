package attacks

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// resolve gives the classes with what they leave out: that of their presets. There is always one.
func (w Workload) resolve() []Class {
	if len(w) == 0 {
		w = Workload{{}}
	}
	all := make([]Class, len(w))
	for i, c := range w {
		all[i] = c.resolved(len(w) == 1)
	}
	return all
}

// resolved is c with its preset's part in it. A class alone needs no label.
func (c Class) resolved(alone bool) Class {
	if !alone && c.Feature == "" && (c.Preset != "" || !c.hasLengths()) {
		c.Feature = c.presetName()
	}
	c.Preset = c.presetName()
	p, _ := preset(c.Preset)
	if c.LengthsFrom == "" {
		if c.PromptTokens == (Length{}) {
			c.PromptTokens = p.PromptTokens
		}
		if c.OutputTokens == (Length{}) {
			c.OutputTokens = p.OutputTokens
		}
	}
	if c.Prefix == nil {
		c.Prefix = p.Prefix
	}
	if c.Turns == nil {
		c.Turns = p.Turns
	}
	if c.Dialect == "" {
		c.Dialect = p.Dialect
	}
	return c
}

// presetName is the preset of c, whether it is written or not.
func (c Class) presetName() string {
	switch {
	case c.Preset != "":
		return c.Preset
	case slices.Contains(WorkloadPresets(), c.Feature):
		return c.Feature
	}
	return ChatShort
}

// hasLengths reports whether any of c's lengths is written.
func (c Class) hasLengths() bool {
	return c.PromptTokens != (Length{}) || c.OutputTokens != (Length{}) || c.LengthsFrom != ""
}

// A mould is what is the same for all requests of a class, and is not theirs to say.
type mould struct {
	traced bool // where a trace knows the lengths, they are the trace's
	models []string
	model  weights // of models
}

func newMould(c Class) mould {
	m := mould{traced: c.Preset == "" && !c.hasLengths()}
	shares := make([]Share, 0, len(c.Models))
	for name := range c.Models {
		m.models = append(m.models, name)
	}
	slices.SortFunc(m.models, strings.Compare)
	for _, name := range m.models {
		shares = append(shares, c.Models[name])
	}
	m.model = newWeights(partsOf(shares), nil)
	return m
}

// cast decides about a request what its class leaves open. Each of its decisions has a random number of its own:
// a class that gets one more has the others as they were.
func (m *mould) cast(j *job) {
	if len(m.models) > 0 {
		j.model = m.models[m.model.pick(j.unit(modelStream))]
	}
	if p := j.class.Prefix; p != nil && p.Groups > 1 {
		j.group = int(j.unit(groupStream) * float64(p.Groups))
	}
	if n := len(j.class.Golden); n > 0 {
		j.golden = &j.class.Golden[int(j.unit(goldenStream)*float64(n))]
	}
}

// lengths draws how many tokens a request has and asks for.
func (m *mould) lengths(c *Class, rng *rand.Rand) (prompt, output int) {
	return c.PromptTokens.draw(rng), c.OutputTokens.draw(rng)
}

// unit is a number of the request's own from 0 up to 1, for one decision.
func (j *job) unit(stream uint64) float64 { return float64(mix(j.seed, stream)>>11) / (1 << 53) }
