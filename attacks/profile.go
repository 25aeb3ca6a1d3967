package attacks

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A Profile says when requests are due: exactly one of its kinds is set, its base, to which Plus may add.
// Times count from the start of a phase, and every judged phase replays the same schedule. Its zero value
// is not usable.
type Profile struct {
	// Constant sends one request every 1/rate. Optional.
	Constant *Constant `yaml:"constant" json:"constant,omitempty"`
	// Poisson sends at random, as independent users do. Optional.
	Poisson *Poisson `yaml:"poisson" json:"poisson,omitempty"`
	// Gamma sends at random, in bursts or more evenly than Poisson. Optional.
	Gamma *Gamma `yaml:"gamma" json:"gamma,omitempty"`
	// Ramp moves from one rate to others. Optional.
	Ramp *Ramp `yaml:"ramp" json:"ramp,omitempty"`
	// Step jumps from one rate to others. Optional.
	Step *Step `yaml:"step" json:"step,omitempty"`
	// Spike sends for a while, and nothing before and after. Optional.
	Spike *Spike `yaml:"spike" json:"spike,omitempty"`
	// Herd comes back all at once, on new connections, and once. Optional.
	Herd *Herd `yaml:"herd" json:"herd,omitempty"`
	// Sine swings about a rate: a day in minutes. Optional.
	Sine *Sine `yaml:"sine" json:"sine,omitempty"`
	// Concurrency is a closed loop: users who each wait for their answer. Optional, and never with Plus.
	Concurrency *Concurrency `yaml:"concurrency" json:"concurrency,omitempty"`
	// Trace replays a recording. Optional.
	Trace *Trace `yaml:"trace" json:"trace,omitempty"`
	// Plus are added to the base. Each has random numbers of its own: a part changes nothing of the base's
	// requests, neither when they are due nor what they say. Optional.
	Plus []Part `yaml:"plus" json:"plus,omitempty"`
}

// A Part is one more profile on top of a base: one kind, and no parts of its own.
type Part struct {
	Profile
	// During is the phase in which it is there. Optional; default all of them.
	During results.Phase `yaml:"during" json:"during,omitempty"`
	// Tier, Tenant and Feature say whose requests they are: of those clients and classes alone. Optional; default all.
	Tier    string `yaml:"tier" json:"tier,omitempty"`
	Tenant  string `yaml:"tenant" json:"tenant,omitempty"`
	Feature string `yaml:"feature" json:"feature,omitempty"`
}

// ProfileKinds returns the keys of a profile of which exactly one is set.
func ProfileKinds() []string {
	return []string{"constant", "poisson", "gamma", "ramp", "step", "spike", "herd", "sine", "concurrency", "trace"}
}

// A kind is one way for requests to be due.
type kind interface {
	fmt.Stringer
	Validate() []error
	// span is how long it has something new to do. 0: it is the same for ever, or nobody knows.
	span() time.Duration
	// ends reports whether its requests come to an end.
	ends() bool
}

// kinds returns those that are set, and their keys.
func (p Profile) kinds() (set []kind, names []string) {
	add := func(is bool, k kind, name string) {
		if is {
			set, names = append(set, k), append(names, name)
		}
	}
	add(p.Constant != nil, p.Constant, "constant")
	add(p.Poisson != nil, p.Poisson, "poisson")
	add(p.Gamma != nil, p.Gamma, "gamma")
	add(p.Ramp != nil, p.Ramp, "ramp")
	add(p.Step != nil, p.Step, "step")
	add(p.Spike != nil, p.Spike, "spike")
	add(p.Herd != nil, p.Herd, "herd")
	add(p.Sine != nil, p.Sine, "sine")
	add(p.Concurrency != nil, p.Concurrency, "concurrency")
	add(p.Trace != nil, p.Trace, "trace")
	return set, names
}

// base is the one kind that is set; nil: there is none.
func (p Profile) base() kind {
	if set, _ := p.kinds(); len(set) > 0 {
		return set[0]
	}
	return nil
}

// Validate returns what is wrong with p, or nil. It reads no file.
func (p Profile) Validate() []error {
	set, names := p.kinds()
	switch {
	case len(set) == 0:
		return []error{errors.New("has no kind: write {poisson: {rate: 100/s}}, or constant, ramp, trace …")}
	case len(set) > 1:
		return []error{fmt.Errorf("has %s: keep one, and move the others to plus", strings.Join(names, " and "))}
	}
	var errs []error
	for _, err := range set[0].Validate() {
		errs = append(errs, prefix(names[0], err))
	}
	if p.Concurrency != nil && len(p.Plus) > 0 {
		errs = append(errs, errors.New("plus cannot be added to concurrency: users who wait for their answers have no schedule; take an open loop for both"))
	}
	for i, part := range p.Plus {
		for _, err := range part.Validate() {
			errs = append(errs, fmt.Errorf("plus[%d]: %w", i, err))
		}
	}
	return errs
}

// Validate returns what is wrong with p, or nil.
func (p Part) Validate() []error {
	errs := p.Profile.Validate()
	if len(p.Plus) > 0 {
		errs = append(errs, errors.New("plus stands within a part: move it up, to the profile's own plus"))
	}
	if p.Concurrency != nil {
		errs = append(errs, errors.New("concurrency cannot be a part: users who wait for their answers have no schedule; take an open loop, such as {spike: {rate: 100/s, for: 5s}}"))
	}
	switch p.During {
	case "", results.Warmup, results.Baseline, results.Fault, results.Recovery:
	default:
		errs = append(errs, fmt.Errorf("during %q isn't one of [%s %s %s %s]", string(p.During),
			results.Warmup, results.Baseline, results.Fault, results.Recovery))
	}
	return errs
}

// in reports whether the part is there in a phase.
func (p Part) in(phase results.Phase) bool { return p.During == "" || p.During == phase }

// String says it in words: "100/s poisson + 500/s spike at 5s for 2s of tier free during fault".
func (p Profile) String() string {
	base := p.base()
	if base == nil {
		return "no load"
	}
	var b strings.Builder
	b.WriteString(base.String())
	for _, part := range p.Plus {
		b.WriteString(" + " + part.String())
		for _, of := range [...]struct{ label, is string }{{"tier", part.Tier}, {"tenant", part.Tenant}, {"feature", part.Feature}} {
			if of.is != "" {
				fmt.Fprintf(&b, " of %s %s", of.label, of.is)
			}
		}
		if part.During != "" {
			b.WriteString(" during " + string(part.During))
		}
	}
	return b.String()
}

// Closed reports whether p is a closed loop: then nothing is due before an answer has come.
func (p Profile) Closed() bool { return p.Concurrency != nil }

// Ends reports whether the requests of a phase come to an end by themselves, however long the phase is.
func (p Profile) Ends(phase results.Phase) bool {
	base := p.base()
	if base == nil || !base.ends() {
		return false
	}
	for _, part := range p.Plus {
		if part.in(phase) && !part.Ends(phase) {
			return false
		}
	}
	return true
}

// Span is how long a phase has something new in it: a ramp's stages, a sine's period, the end of a spike. 0: it
// is the same from first to last, or only the trace's file knows.
func (p Profile) Span(phase results.Phase) time.Duration {
	var span time.Duration
	if base := p.base(); base != nil {
		span = base.span()
	}
	for _, part := range p.Plus {
		if part.in(phase) {
			span = max(span, part.Span(phase))
		}
	}
	return span
}

// Begins is how long p's base waits before anything of it can be due: until a spike, or through a pause. Of a
// trace only its file knows: it is 0.
func (p Profile) Begins() time.Duration {
	paced, ok := p.base().(paced)
	if !ok {
		return 0
	}
	at := paced.curve().when(0)
	if !(at < float64(forever)) {
		return forever
	}
	return time.Duration(at)
}

// Missed says what a phase of a length has no time for of p's base: "is cut off: it lasts until 12s". "": nothing.
func (p Profile) Missed(length time.Duration) string {
	switch k := p.base().(type) {
	case *Spike, *Herd:
		if k.span() > length {
			return fmt.Sprintf("is cut off: it lasts until %s", k.span())
		}
	case *Step:
		if end := k.span(); end > length || k.Steps[len(k.Steps)-1].For == 0 && end == length {
			return fmt.Sprintf("is cut off: its steps take %s", end)
		}
	case *Ramp:
		if k.span() > length {
			at, to := k.at(length)
			return fmt.Sprintf("comes to %.3g/s on its way to %s: it takes %s", float64(at), to, k.span())
		}
	}
	return ""
}

// at is the rate at a time within the ramp, and the one that it is on its way to.
func (r Ramp) at(t time.Duration) (rate, to Rate) {
	rate = r.From
	for _, s := range r.stages() {
		if t < s.Over {
			return rate + (s.To-rate)*Rate(float64(t)/float64(s.Over)), s.To
		}
		rate, t = s.To, t-s.Over
	}
	return rate, rate
}

// An Arrival is one request that is due.
type Arrival struct {
	// At counts from the start of the phase.
	At time.Duration
	// Part is the place in Plus of the part that it is of, counted from 1. 0: the base.
	Part int
	// Shape is what a trace knows of the request. It is valid until the next arrival is asked for. Nil: nothing is known.
	Shape *Shape
}

// A Shape is what a recording says about one request.
type Shape struct {
	// PromptTokens is the length of the whole prompt, OutputTokens that of the answer; both are 1 or more.
	PromptTokens, OutputTokens int
	// Blocks name the pieces that the prompt begins with, each of BlockTokens tokens: prompts that begin with
	// the same blocks begin with the same text. Optional.
	Blocks      []uint64
	BlockTokens int
}

// Arrivals yields the requests of a phase in the order in which they are due. They are drawn as they are asked
// for, and equal seeds give equal arrivals; all judged phases have the same, and the warm-up has others. An
// error, which only a trace has, is the last of them. A closed loop has none.
func (p Profile) Arrivals(phase results.Phase, seed uint64) iter.Seq2[Arrival, error] {
	return func(yield func(Arrival, error) bool) {
		s, err := newSchedule(p)
		if err != nil {
			yield(Arrival{}, err)
			return
		}
		s.arrivals(phase, seed)(yield)
	}
}

// Expected is how many requests are due within the first length of a phase, on average; of a trace, as its file
// has it, which is read as far as that. Of a closed loop nobody knows: it is 0.
func (p Profile) Expected(phase results.Phase, seed uint64, length time.Duration) (float64, error) {
	var n float64
	for _, one := range p.all(phase) {
		switch k := one.base().(type) {
		case paced:
			n += k.curve().total(float64(length))
		case *Trace:
			for a, err := range one.Arrivals(phase, seed) {
				if err != nil {
					return n, err
				}
				if a.At >= length {
					break
				}
				n++
			}
		}
	}
	return n, nil
}

// Scatter is the variance of how many requests of p's base are due within a time, per request that is expected: 0 where
// nothing is random, and also of a trace, which is the same each time; 1 of poisson; a gamma's squared cv.
func (p Profile) Scatter() float64 {
	switch k := p.base().(type) {
	case *Gamma:
		return k.CV * k.CV
	case paced:
		if k.gaps(rand.New(rand.NewPCG(0, 0))) != nil {
			return 1
		}
	}
	return 0
}

// at is the base, or the part with that place in Plus.
func (p *Profile) at(part int) *Profile {
	if part == 0 {
		return p
	}
	return &p.Plus[part-1].Profile
}

// all gives the base and the parts of a phase, each alone, by their places.
func (p Profile) all(phase results.Phase) iter.Seq2[int, Profile] {
	return func(yield func(int, Profile) bool) {
		base := p
		base.Plus = nil
		if !yield(0, base) {
			return
		}
		for i, part := range p.Plus {
			if part.in(phase) && !yield(i+1, part.Profile) {
				return
			}
		}
	}
}

// Independent streams of random numbers, so that a change to what one of them
// decides leaves the others as they were.
const (
	scheduleStream = iota + 1
	turnStream
	jitterStream
	warmupStream
	partStream
	blockStream
	classStream
	modelStream
	groupStream
	goldenStream
	lengthStream
	departStream
	userStream
	prefixStream
	conversationStream
	thinkStream
)

// partSeed is the seed of a phase's base, or of a part of it. It is one for all phases that are judged, so that
// they do the same work, and another one for the warm-up, which must not warm just that.
func partSeed(seed uint64, phase results.Phase, part int) uint64 {
	if phase == results.Warmup {
		seed = mix(seed, warmupStream)
	}
	if part > 0 {
		seed = mix(mix(seed, partStream), uint64(part))
	}
	return seed
}

func scheduleRand(seed uint64, phase results.Phase, part int) *rand.Rand {
	return rand.New(rand.NewPCG(partSeed(seed, phase, part), scheduleStream))
}
