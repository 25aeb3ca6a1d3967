package attacks

import (
	"errors"
	"iter"
	"maps"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A Portion is those requests of a load that have the same labels.
type Portion struct {
	// Labels are tier, tenant and home of their client, feature and model of their class, as far as it has them; where any
	// class has models, that of the endpoint is the others', if it is known.
	Labels results.Labels
	// Requests, and the tokens of their prompts and answers, on average. Each turn of a conversation is one, whose
	// prompt carries those before it.
	Requests, PromptTokens, OutputTokens float64
	// Begun is how many of Requests are due by the profile, and no later turn of a conversation.
	Begun float64
	// Client is the place of their kind in Config.Clients, and Part that in Profile.Plus, counted from 1; 0 is the base.
	Client, Part int
}

// Features returns the label feature of each class, in order; "" of one that has none. No classes are one.
func (w Workload) Features() []string {
	var names []string
	for _, c := range w.resolve() {
		names = append(names, c.Feature)
	}
	return names
}

// Dialects returns the wire format of each class, in order: its own, or its preset's; "" of one that has the endpoint's.
// No classes are one.
func (w Workload) Dialects() []string {
	var names []string
	for _, c := range w.resolve() {
		names = append(names, c.Dialect)
	}
	return names
}

// portionSample is how many requests are looked at for what those of a class are like: their means are
// known to some 3%.
const portionSample = 2000

// Portions says what the load of cfg comes to within the first length of a phase, on average, before anybody retries,
// hedges or leaves. Of a closed loop nobody knows how many there will be: its portions come to one request.
// An error is of the load, or of a trace that cannot be read.
func (cfg Config) Portions(phase results.Phase, length time.Duration) ([]Portion, error) {
	if err := errors.Join(cfg.checkLoad()...); err != nil {
		return nil, err
	}
	clients := cfg.Clients
	if len(clients) == 0 {
		clients = []Client{{}}
	}
	l, err := newLoad(cfg.Profile, cfg.Workload, clients, cfg.Seed)
	if err != nil {
		return nil, err
	}
	if newTelling(l.classes, clients).model {
		l.model = cfg.Endpoint.Model
	}
	var all []Portion
	for part, p := range cfg.Profile.all(phase) {
		n := 1.0
		if !p.Closed() {
			if n, err = p.Expected(phase, cfg.Seed, length); err != nil {
				return nil, err
			}
		}
		means, err := l.means(phase, part, p)
		if err != nil {
			return nil, err
		}
		all = append(all, l.portions(clients, part, n, means)...)
	}
	return all, nil
}

// A mean is what becomes of one request of a class: so many turns, with so many tokens.
type mean struct{ seen, turns, prompt, output float64 }

// means looks at the first requests of a part of a phase, by their classes.
func (l *load) means(phase results.Phase, part int, p Profile) ([]mean, error) {
	all := make([]mean, len(l.classes))
	shapes := make([]*Shape, 0, portionSample)
	if p.Trace != nil {
		for a, err := range p.Arrivals(phase, l.seed) {
			if err != nil {
				return nil, err
			}
			if a.Shape != nil { // which is the source's to use again
				shapes = append(shapes, &Shape{PromptTokens: a.Shape.PromptTokens, OutputTokens: a.Shape.OutputTokens})
			}
			if len(shapes) == portionSample {
				break
			}
		}
	}
	for k := range uint64(portionSample) {
		from := Arrival{Part: part}
		if len(shapes) > 0 {
			from.Shape = shapes[k%uint64(len(shapes))]
		}
		j := l.job(phase, from, k)
		turns := 1.0
		if t := j.class.Turns; t != nil {
			turns = float64(t.Count.draw(j.rng))
		}
		prompt, output := float64(j.prompt), float64(j.output)
		if j.shape == nil && j.class.Prefix != nil {
			prompt += float64(j.class.Prefix.Tokens)
		}
		m := &all[j.kind]
		m.seen++
		m.turns += turns
		m.output += turns * output
		m.prompt += turns*prompt + turns*(turns-1)/2*(float64(j.prompt)+output) // what was said before
	}
	return all, nil
}

// portions tells apart n requests of a part by who sends them and of which class and model they are.
func (l *load) portions(clients []Client, part int, n float64, means []mean) []Portion {
	var all []Portion
	choice := &l.choices[part]
	for c, clientPart := range choice.clients.parts() {
		for k, classPart := range choice.classes.parts() {
			labels := results.Labels{}
			clients[c].label(labels)
			if feature := l.classes[k].Feature; feature != "" {
				labels["feature"] = feature
			}
			one := means[k].of(n*clientPart*classPart, labels)
			one.Client, one.Part = c, part
			m := &l.moulds[k]
			if len(m.models) == 0 {
				if l.model != "" {
					labels["model"] = l.model
				}
				all = append(all, one)
				continue
			}
			for i, share := range m.model.parts() {
				labels = maps.Clone(labels)
				labels["model"] = m.models[i]
				all = append(all, one.times(share, labels))
			}
		}
	}
	return all
}

// of is what n first requests come to. Where none was seen it is a turn each, of nobody knows how many tokens.
func (m mean) of(n float64, labels results.Labels) Portion {
	if m.seen == 0 {
		return Portion{Labels: labels, Requests: n, Begun: n}
	}
	first := n
	n /= m.seen
	return Portion{Labels: labels, Requests: n * m.turns, PromptTokens: n * m.prompt, OutputTokens: n * m.output, Begun: first}
}

// times is a share of p that has other labels.
func (p Portion) times(share float64, labels results.Labels) Portion {
	p.Labels, p.Requests, p.PromptTokens, p.OutputTokens, p.Begun = labels, p.Requests*share, p.PromptTokens*share, p.OutputTokens*share, p.Begun*share
	return p
}

// parts yields each place and its part of the whole.
func (w weights) parts() iter.Seq2[int, float64] {
	return func(yield func(int, float64) bool) {
		before := 0.0
		for i, place := range w.of {
			if !yield(place, (w.upTo[i]-before)/w.upTo[len(w.upTo)-1]) {
				return
			}
			before = w.upTo[i]
		}
	}
}
