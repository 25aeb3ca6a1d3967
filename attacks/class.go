package attacks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
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
	named, _ := preset(c.Preset)
	p := named.class
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
	if c.Turns == nil && len(c.Golden) == 0 {
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
	case !c.named():
		return ChatShort
	case c.Preset != "":
		return c.Preset
	}
	return c.Feature
}

// named reports whether c's preset is written, or is its feature's.
func (c Class) named() bool {
	_, known := preset(c.Feature)
	return c.Preset != "" || known
}

// hasLengths reports whether any of c's lengths is written.
func (c Class) hasLengths() bool {
	return c.PromptTokens != (Length{}) || c.OutputTokens != (Length{}) || c.LengthsFrom != ""
}

// wordless returns what is wrong with c, or nil, where the answers of its dialect are in one piece: no model answers a
// question there, nor repeats an id, and a conversation would have nothing to go on with. Of a sound not even the
// prompt's words are sent.
func (c *Class) wordless(d targets.Dialect) (errs []error) {
	if d.Framing() != targets.Whole {
		return nil
	}
	for _, f := range []struct {
		key string
		is  bool
	}{{"golden", len(c.Golden) > 0}, {"canary", c.Canary}, {"turns", c.Turns != nil}} {
		if f.is {
			errs = append(errs, fmt.Errorf("%s needs a model that answers in words, and %s is not about one: remove it, or write another dialect, such as openai-chat",
				f.key, d.Name()))
		}
	}
	return errs
}

// A mould is what is the same for all requests of a class, and is not theirs to say.
type mould struct {
	traced  bool // where a trace knows the lengths, they are the trace's
	lengths lengths
	models  []string
	model   weights // of models
	tools   []targets.Tool
}

func newMould(c Class) mould {
	m := mould{traced: c.Preset == "" && !c.hasLengths()}
	names, parts := c.models()
	m.models, m.model = names, newWeights(parts, nil)
	if p, _ := preset(c.presetName()); p.tools {
		m.tools = toolbox()
	}
	return m
}

// models are those of c by their names, and the part of its requests that each has.
func (c Class) models() (names []string, parts []float64) {
	names = slices.Sorted(maps.Keys(c.Models))
	shares := make([]Share, len(names))
	for i, name := range names {
		shares[i] = c.Models[name]
	}
	return names, partsOf(shares)
}

// goldenTokens is what a golden prompt's answer may have, unless its class says a number: an answer that is cut is
// not what is asked for.
const goldenTokens = 256

// cast decides about a request what its class leaves open. Each of its decisions but for the lengths has a random
// number of its own: a class that gets one more has the others as they were.
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
	if len(m.lengths) > 0 {
		j.prompt, j.output = m.lengths.draw(j.rng)
	} else {
		j.prompt, j.output = j.class.PromptTokens.draw(j.rng), j.class.OutputTokens.draw(j.rng)
	}
	if j.golden != nil && j.class.OutputTokens.Fixed == 0 {
		j.output = max(j.output, goldenTokens)
	}
}

// unit is a number of the request's own from 0 up to 1, for one decision.
func (j *job) unit(stream uint64) float64 { return float64(mix(j.seed, stream)>>11) / (1 << 53) }

// question is what a request asks, without its messages.
func (a *Attack) question(j *job) targets.Prompt {
	ask := targets.Prompt{Model: cmp.Or(j.model, a.doors[0].model), MaxTokens: j.output, Tools: a.load.moulds[j.kind].tools}
	if j.golden != nil {
		ask.Temperature = new(float64)
	}
	return ask
}

// labelClass says on a sample of which class it is, and which model it asked for at the door that served.
func (a *Attack) labelClass(s *results.Sample, t *turn, d *door) {
	c := &a.load.classes[t.class]
	if c.Feature != "" {
		s.Labels["feature"] = c.Feature
	}
	if model := a.modelAt(t, d); a.telling.model && model != "" {
		s.Labels["model"] = model
	}
}

// telling says which labels samples have, all of them: those of some would be parts of the whole that look like all.
type telling struct {
	model    bool // a class has several
	endpoint bool // a client fails over
}

func newTelling(classes []Class, clients []Client) telling {
	return telling{
		model:    slices.ContainsFunc(classes, func(c Class) bool { return len(c.Models) > 0 }),
		endpoint: slices.ContainsFunc(clients, func(c Client) bool { return c.Failover != nil }),
	}
}

// addCounters makes those of all models that are asked for, where there is a tokenizer.
func (a *Attack) addCounters() {
	add := func(model string) {
		if c := newCounter(model); c != nil {
			a.counters[model] = c
		}
	}
	for _, d := range a.doors {
		add(d.model)
	}
	for _, m := range a.load.moulds {
		for _, model := range m.models {
			add(model)
		}
	}
}
