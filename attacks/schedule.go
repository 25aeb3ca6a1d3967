package attacks

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A source gives the arrivals of one phase, in order, one at a time.
type source interface {
	// next returns the next one; false: there is none, or err says why.
	next() (a Arrival, ok bool, err error)
	// close gives back what it holds. Nothing is asked of it after.
	close()
}

// A schedule is a profile that has looked into its traces: where each begins.
type schedule struct {
	profile Profile
	marks   map[*Trace]mark
}

// newSchedule fails if p is not valid, or if a trace cannot be read, is none, or has nothing to replay.
func newSchedule(p Profile) (*schedule, error) {
	s := &schedule{profile: p, marks: map[*Trace]mark{}}
	errs := p.Validate()
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, t := range p.traces() {
		m, err := t.find()
		s.marks[t] = m
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// traces are those of the base and of the parts.
func (p Profile) traces() (all []*Trace) {
	if p.Trace != nil {
		all = append(all, p.Trace)
	}
	for _, part := range p.Plus {
		all = append(all, part.traces()...)
	}
	return all
}

// source begins the schedule of a phase. A closed loop has none.
func (s *schedule) source(phase results.Phase, seed uint64) (source, error) {
	m := &merged{}
	for place, one := range s.profile.all(phase) {
		rng := scheduleRand(seed, phase, place)
		var src source
		switch k := one.base().(type) {
		case paced:
			src = newRenewals(k, rng)
		case *Trace:
			replay, err := k.replay(s.marks[k], rng)
			if err != nil {
				m.close()
				return nil, err
			}
			src = replay
		default:
			continue
		}
		m.sources, m.places = append(m.sources, src), append(m.places, place)
	}
	if len(m.sources) == 1 && m.places[0] == 0 {
		return m.sources[0], nil
	}
	return m, nil
}

// merged gives the arrivals of several sources in order; at the same time, in theirs.
type merged struct {
	sources []source
	places  []int     // in the profile
	heads   []Arrival // of each source, its next
	over    []bool    // of each source: it has no more
	taken   int       // the source whose head was given last, and is replaced only when the next is asked for
}

func (m *merged) next() (Arrival, bool, error) {
	if m.heads == nil {
		m.heads, m.over = make([]Arrival, len(m.sources)), make([]bool, len(m.sources))
		for i := range m.sources {
			if err := m.draw(i); err != nil {
				return Arrival{}, false, err
			}
		}
	} else if err := m.draw(m.taken); err != nil {
		return Arrival{}, false, err
	}
	first := -1
	for i := range m.heads {
		if !m.over[i] && (first < 0 || m.heads[i].At < m.heads[first].At) {
			first = i
		}
	}
	if first < 0 {
		return Arrival{}, false, nil
	}
	m.taken = first
	return m.heads[first], true, nil
}

func (m *merged) draw(i int) error {
	if m.over[i] {
		return nil
	}
	a, ok, err := m.sources[i].next()
	a.Part = m.places[i]
	m.heads[i], m.over[i] = a, !ok
	return err
}

func (m *merged) close() {
	for _, src := range m.sources {
		src.close()
	}
}

// A load decides all about a request but its words.
type load struct {
	seed     uint64
	schedule *schedule
	classes  []Class // with their presets' parts
	moulds   []mould // of classes
	choices  []choice
	model    string // what classes without models of their own are labelled with; "": nothing
}

// A choice is whose the requests of the profile's base may be, or of one of its parts.
type choice struct{ clients, classes weights }

// newLoad reads the beginnings of the profile's traces, and those of the workload.
func newLoad(p Profile, w Workload, clients []Client, seed uint64) (load, error) {
	l := load{seed: seed, classes: w.resolve()}
	if len(w) == 0 {
		w = Workload{{}}
	}
	for _, c := range w {
		l.moulds = append(l.moulds, newMould(c))
	}
	l.choices = p.choices(clients, w, l.classes)
	missing := l.fill()
	var err error
	l.schedule, err = newSchedule(p)
	return l, errors.Join(prefix("profile", err), missing)
}

// A job is one request before it is written.
type job struct {
	seed           uint64     // of what is random about it: equal in every judged phase
	rng            *rand.Rand // made of it, for lengths and words
	client         int
	kind           int     // the place of its class
	class          *Class  // with its preset's part
	model          string  // "": that of the endpoint
	group          int     // of those that share a prefix
	golden         *Golden // what it asks instead of words of ours; nil: nothing
	prompt, output int     // tokens
	shape          *Shape  // what a trace says of it; nil: the class says it
}

// job decides about the request that is number k of its part of a phase.
func (l *load) job(phase results.Phase, from Arrival, k uint64) job {
	j := job{seed: mix(mix(partSeed(l.seed, phase, from.Part), turnStream), k)}
	j.rng = rand.New(rand.NewPCG(j.seed, turnStream))
	choice := &l.choices[from.Part]
	j.client = choice.clients.pick(j.rng.Float64())
	j.kind = choice.classes.pick(j.unit(classStream))
	j.class = &l.classes[j.kind]
	m := &l.moulds[j.kind]
	m.cast(&j)
	if from.Shape != nil && m.traced {
		j.shape, j.prompt, j.output = from.Shape, from.Shape.PromptTokens, from.Shape.OutputTokens
	}
	return j
}

// A Request is one request of a schedule, as it would be sent.
type Request struct {
	// Due counts from the start of the phase.
	Due time.Duration
	// PromptTokens and OutputTokens are its length and what it asks for.
	PromptTokens, OutputTokens int
	// Blocks and BlockTokens are those of its Shape, where that decides what the prompt says. They are valid until
	// the next request is asked for.
	Blocks      []uint64
	BlockTokens int
	// Tier is that of its client, Feature that of its class, and Model the one that its class chose. Each may be "".
	Tier, Feature, Model string
	// Group is the one of its class's prefixes that it has, counted from 1. 0: it has none.
	Group int
}

// Schedule yields the requests that an attack with the profile, workload, clients and seed of cfg would send in a
// phase, and sends none; of a conversation the first: when the others are due is for the answers to say. Most schedules
// do not end. An error, of the load or of a trace, is the last of them.
func (cfg Config) Schedule(phase results.Phase) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		errs := cfg.checkLoad()
		if cfg.Profile.Closed() {
			errs = append(errs, fmt.Errorf("profile: a %s has no schedule: who sends next depends on the answers", cfg.Profile))
		}
		if err := errors.Join(errs...); err != nil {
			yield(Request{}, err)
			return
		}
		clients := cfg.Clients
		if len(clients) == 0 {
			clients = []Client{{}}
		}
		l, err := newLoad(cfg.Profile, cfg.Workload, clients, cfg.Seed)
		if err != nil {
			yield(Request{}, err)
			return
		}
		places, n := make([]uint64, 1+len(cfg.Profile.Plus)), int64(0)
		for from, err := range l.schedule.arrivals(phase, cfg.Seed) {
			if err != nil {
				yield(Request{}, err)
				return
			}
			if n++; cfg.Requests > 0 && n > cfg.Requests {
				return
			}
			j := l.job(phase, from, places[from.Part])
			places[from.Part]++
			r := Request{
				Due: from.At, PromptTokens: j.prompt, OutputTokens: j.output,
				Tier: clients[j.client].Tier, Feature: j.class.Feature, Model: j.model,
			}
			if j.class.Prefix != nil {
				r.Group = j.group + 1
			}
			if j.shape != nil {
				r.Blocks, r.BlockTokens = j.shape.Blocks, j.shape.BlockTokens
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// arrivals yields what the source of a phase gives.
func (s *schedule) arrivals(phase results.Phase, seed uint64) iter.Seq2[Arrival, error] {
	return func(yield func(Arrival, error) bool) {
		src, err := s.source(phase, seed)
		if err != nil {
			yield(Arrival{}, err)
			return
		}
		defer src.close()
		for {
			a, ok, err := src.next()
			if err != nil {
				yield(Arrival{}, err)
				return
			}
			if !ok || !yield(a, nil) {
				return
			}
		}
	}
}
