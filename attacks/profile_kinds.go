package attacks

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// A paced kind sends at a rate: its requests are those of a process that has one a second on average, at a
// clock that runs as fast as the rate is high.
type paced interface {
	kind
	curve() curve
	// gaps returns the distances of that process, of mean 1; nil: they are all 1.
	gaps(*rand.Rand) func() float64
}

var (
	_ paced = (*Constant)(nil)
	_ paced = (*Poisson)(nil)
	_ paced = (*Gamma)(nil)
	_ paced = (*Ramp)(nil)
	_ paced = (*Step)(nil)
	_ paced = (*Spike)(nil)
	_ paced = (*Herd)(nil)
	_ paced = (*Sine)(nil)
	_ kind  = (*Concurrency)(nil)
	_ kind  = (*Trace)(nil)
)

// Constant is an open loop with equal gaps: request k is due at k/rate, the
// first one at once. Nothing about it is random.
type Constant struct {
	// Rate of requests. Required.
	Rate Rate `yaml:"rate" json:"rate"`
}

// Validate returns what is wrong with c, or nil.
func (c Constant) Validate() []error { return c.Rate.check() }

// String says it in words.
func (c Constant) String() string                 { return c.Rate.String() + " constant" }
func (c Constant) span() time.Duration            { return 0 }
func (c Constant) ends() bool                     { return false }
func (c Constant) curve() curve                   { return flat(c.Rate) }
func (c Constant) gaps(*rand.Rand) func() float64 { return nil }

// Poisson is an open loop with exponentially distributed gaps of mean 1/rate.
type Poisson struct {
	// Rate is the mean rate of requests. Required.
	Rate Rate `yaml:"rate" json:"rate"`
}

// Validate returns what is wrong with p, or nil.
func (p Poisson) Validate() []error { return p.Rate.check() }

// String says it in words.
func (p Poisson) String() string                     { return p.Rate.String() + " poisson" }
func (p Poisson) span() time.Duration                { return 0 }
func (p Poisson) ends() bool                         { return false }
func (p Poisson) curve() curve                       { return flat(p.Rate) }
func (p Poisson) gaps(rng *rand.Rand) func() float64 { return rng.ExpFloat64 }

// Gamma is an open loop whose gaps are gamma-distributed: with a coefficient of variation of 1 it is Poisson,
// above that requests come in bursts, below it they come more evenly.
type Gamma struct {
	// Rate is the mean rate of requests. Required.
	Rate Rate `yaml:"rate" json:"rate"`
	// CV is the standard deviation of the gaps, in mean gaps. Required.
	CV float64 `yaml:"cv" json:"cv"`
}

// maxCV: beyond, hours pass between bursts of thousands, and no run sees the mean.
const maxCV = 100

// Validate returns what is wrong with g, or nil.
func (g Gamma) Validate() []error {
	errs := g.Rate.check()
	if !(g.CV > 0 && g.CV <= maxCV) {
		errs = append(errs, fmt.Errorf("cv %v is not over 0 and up to %d: write 2 for bursts, 0.5 for fewer than chance has; for none write constant", g.CV, maxCV))
	}
	return errs
}

// String says it in words.
func (g Gamma) String() string {
	return g.Rate.String() + " gamma, cv " + strconv.FormatFloat(g.CV, 'g', -1, 64)
}
func (g Gamma) span() time.Duration                { return 0 }
func (g Gamma) ends() bool                         { return false }
func (g Gamma) curve() curve                       { return flat(g.Rate) }
func (g Gamma) gaps(rng *rand.Rand) func() float64 { return gammaGaps(rng, 1/(g.CV*g.CV)) }

// Ramp is an open loop whose rate moves evenly from one to the next, and stays at the last. Its requests are
// as random as those of Poisson.
type Ramp struct {
	// From is the rate at the start. Optional; default none.
	From Rate `yaml:"from" json:"from"`
	// To is the rate that it comes to, Over how long that takes. Required without Stages.
	To   Rate          `yaml:"to" json:"to,omitempty"`
	Over time.Duration `yaml:"over" json:"over,omitempty"`
	// Stages are several ramps, one after the other. Optional, instead of To and Over.
	Stages []Stage `yaml:"stages" json:"stages,omitempty"`
	// Even spaces requests evenly for the rate of the moment, instead of at random. Optional.
	Even bool `yaml:"even" json:"even,omitempty"`
}

// A Stage is a part of a ramp. With an Over of 0 the rate jumps.
type Stage struct {
	// To is the rate that it comes to. Required.
	To Rate `yaml:"to" json:"to"`
	// Over is how long that takes. Optional; default no time.
	Over time.Duration `yaml:"over" json:"over"`
}

// Validate returns what is wrong with r, or nil.
func (r Ramp) Validate() []error {
	errs := []error{r.From.bound("from"), r.To.bound("to")}
	busy := r.From > 0 || r.To > 0
	switch {
	case len(r.Stages) > 0 && (r.To != 0 || r.Over != 0):
		errs = append(errs, errors.New("stages and to, over are two ways to say it: keep one"))
	case len(r.Stages) == 0 && r.Over <= 0:
		errs = append(errs, errors.New("over is no time at all: write over: 30s"))
	}
	for i, s := range r.Stages {
		errs = append(errs, s.To.bound(fmt.Sprintf("stages[%d].to", i)))
		if s.Over < 0 {
			errs = append(errs, fmt.Errorf("stages[%d].over %s is negative: write 30s", i, s.Over))
		}
		busy = busy || s.To > 0
	}
	if !busy {
		errs = append(errs, errors.New("has no rate: write {from: 10/s, to: 100/s, over: 30s}"))
	}
	return some(errs)
}

func (r Ramp) stages() []Stage {
	if len(r.Stages) > 0 {
		return r.Stages
	}
	return []Stage{{To: r.To, Over: r.Over}}
}

// String says it in words.
func (r Ramp) String() string {
	var b strings.Builder
	b.WriteString(r.From.String())
	for i, s := range r.stages() {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " to %s over %s", s.To, s.Over)
	}
	return b.String() + evenly(r.Even)
}

func (r Ramp) span() (d time.Duration) {
	for _, s := range r.stages() {
		d += s.Over
	}
	return d
}

func (r Ramp) ends() bool {
	all := r.stages()
	return all[len(all)-1].To == 0
}

func (r Ramp) curve() curve {
	c, rate := &pieces{}, r.From
	for _, s := range r.stages() {
		c.add(rate, s.To, s.Over)
		rate = s.To
	}
	return c.stay(rate)
}

func (r Ramp) gaps(rng *rand.Rand) func() float64 { return poissonUnless(r.Even, rng) }

// Step is an open loop whose rate jumps, and stays at the last. Its requests are as random as those of Poisson.
type Step struct {
	// Steps are the rates, in order. Required.
	Steps []Level `yaml:"steps" json:"steps"`
	// Even spaces requests evenly, instead of at random. Optional.
	Even bool `yaml:"even" json:"even,omitempty"`
}

// A Level is a rate that is kept for a time.
type Level struct {
	// Rate of requests; 0/s is a pause. Required.
	Rate Rate `yaml:"rate" json:"rate"`
	// For is how long. Required, but of the last one.
	For time.Duration `yaml:"for" json:"for,omitempty"`
}

// Validate returns what is wrong with s, or nil.
func (s Step) Validate() []error {
	var errs []error
	busy := false
	for i, l := range s.Steps {
		errs = append(errs, l.Rate.bound(fmt.Sprintf("steps[%d].rate", i)))
		if l.For < 0 || l.For == 0 && i < len(s.Steps)-1 {
			errs = append(errs, fmt.Errorf("steps[%d].for is no time at all: write for: 30s", i))
		}
		busy = busy || l.Rate > 0
	}
	if !busy {
		errs = append(errs, errors.New("has no rate: write {steps: [{rate: 10/s, for: 30s}, {rate: 100/s}]}"))
	}
	return some(errs)
}

// String says it in words.
func (s Step) String() string {
	var parts []string
	for i, l := range s.Steps {
		text := l.Rate.String()
		if i < len(s.Steps)-1 {
			text += " for " + l.For.String()
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", then ") + evenly(s.Even)
}

func (s Step) span() (d time.Duration) {
	for _, l := range s.Steps {
		d += l.For
	}
	return d
}

func (s Step) ends() bool { return s.last() == 0 }

// last is the rate that it stays at.
func (s Step) last() Rate {
	if len(s.Steps) == 0 {
		return 0
	}
	return s.Steps[len(s.Steps)-1].Rate
}

func (s Step) curve() curve {
	c := &pieces{}
	for _, l := range s.Steps {
		c.add(l.Rate, l.Rate, l.For)
	}
	return c.stay(s.last())
}

func (s Step) gaps(rng *rand.Rand) func() float64 { return poissonUnless(s.Even, rng) }

// Spike is an open loop for a while, with nothing before and nothing after. Its requests are as random as those
// of Poisson.
type Spike struct {
	// Rate of requests. Required.
	Rate Rate `yaml:"rate" json:"rate"`
	// At is when it begins. Optional; default at once.
	At time.Duration `yaml:"at" json:"at"`
	// For is how long it lasts. Required.
	For time.Duration `yaml:"for" json:"for"`
	// Even spaces requests evenly, instead of at random. Optional.
	Even bool `yaml:"even" json:"even,omitempty"`
}

// Validate returns what is wrong with s, or nil.
func (s Spike) Validate() []error {
	errs := s.Rate.check()
	if s.At < 0 {
		errs = append(errs, fmt.Errorf("at %s is negative: write 5s", s.At))
	}
	if s.For <= 0 {
		errs = append(errs, errors.New("for is no time at all: write for: 5s"))
	}
	return errs
}

// String says it in words.
func (s Spike) String() string {
	return fmt.Sprintf("%s spike at %s for %s", s.Rate, s.At, s.For) + evenly(s.Even)
}
func (s Spike) span() time.Duration { return s.At + s.For }
func (s Spike) ends() bool          { return true }

func (s Spike) curve() curve {
	c := &pieces{}
	c.add(0, 0, s.At)
	c.add(s.Rate, s.Rate, s.For)
	return c.stay(0)
}

func (s Spike) gaps(rng *rand.Rand) func() float64 { return poissonUnless(s.Even, rng) }

// Herd is so many users who come back at once, as they do after an outage: each sends one request, on a connection
// of its own that was not there before. They come evenly spaced.
type Herd struct {
	// Users is how many they are. Required.
	Users int `yaml:"users" json:"users"`
	// At is when the first one comes. Optional; default at once.
	At time.Duration `yaml:"at" json:"at,omitempty"`
	// Within is how long they all take. Optional; default 1s.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

// herdWithin: who waits for a service to come back finds out within a health check's or a client's usual second.
const herdWithin = time.Second

// Validate returns what is wrong with h, or nil.
func (h Herd) Validate() []error {
	var errs []error
	if h.Users < 1 || h.Users > maxUsers {
		errs = append(errs, fmt.Errorf("users %d is not between 1 and %d: write 500", h.Users, maxUsers))
	}
	if h.At < 0 {
		errs = append(errs, fmt.Errorf("at %s is negative: write 5s", h.At))
	}
	if h.Within < 0 {
		errs = append(errs, fmt.Errorf("within %s is negative: write 1s", h.Within))
	}
	return errs
}

func (h Herd) within() time.Duration { return cmp.Or(h.Within, herdWithin) }

// String says it in words.
func (h Herd) String() string {
	return fmt.Sprintf("herd of %d users at %s within %s", h.Users, h.At, h.within())
}
func (h Herd) span() time.Duration            { return h.At + h.within() }
func (h Herd) ends() bool                     { return true }
func (h Herd) gaps(*rand.Rand) func() float64 { return nil }

func (h Herd) curve() curve {
	rate := Rate(float64(h.Users) / h.within().Seconds())
	c := &pieces{}
	c.add(0, 0, h.At)
	c.add(rate, rate, h.within())
	return c.stay(0)
}

// Sine is an open loop whose rate swings about a mean, upwards first: a day in minutes. Its requests are as
// random as those of Poisson.
type Sine struct {
	// Rate is the mean rate of requests. Required.
	Rate Rate `yaml:"rate" json:"rate"`
	// Amplitude is how far the rate swings from the mean, at most the mean. Required.
	Amplitude Rate `yaml:"amplitude" json:"amplitude"`
	// Period is the time from one peak to the next. Required.
	Period time.Duration `yaml:"period" json:"period"`
	// Even spaces requests evenly for the rate of the moment, instead of at random. Optional.
	Even bool `yaml:"even" json:"even,omitempty"`
}

// Validate returns what is wrong with s, or nil.
func (s Sine) Validate() []error {
	errs := s.Rate.check()
	if !(s.Amplitude > 0 && s.Amplitude <= s.Rate) {
		errs = append(errs, fmt.Errorf("amplitude %s is not over 0 and up to the mean rate, %s", s.Amplitude, s.Rate))
	}
	if s.Period <= 0 {
		errs = append(errs, errors.New("period is no time at all: write period: 2m"))
	}
	return errs
}

// String says it in words.
func (s Sine) String() string {
	return fmt.Sprintf("%s ± %s sine of %s", s.Rate, s.Amplitude, s.Period) + evenly(s.Even)
}
func (s Sine) span() time.Duration                { return s.Period }
func (s Sine) ends() bool                         { return false }
func (s Sine) curve() curve                       { return newWave(s) }
func (s Sine) gaps(rng *rand.Rand) func() float64 { return poissonUnless(s.Even, rng) }

// Concurrency is a closed loop: so many users, each of whom sends its next request when its last one has ended,
// or, if that one failed, no sooner than 100 ms after it was sent.
// What waits for a slow server is not counted against it: a request is due when it is sent.
type Concurrency struct {
	// Users is how many requests are under way at a time. Required.
	Users int `yaml:"users" json:"users"`
	// Ramp is the time, from the start of each phase, over which they arrive. Optional; default all at once.
	Ramp time.Duration `yaml:"ramp" json:"ramp,omitempty"`
}

// failedPause is how long a user takes, at the least, over a request that fails. Without it twenty users of a port that
// refuses them sent 28,000 requests a second: that measures refusals, and drowns what others were served.
const failedPause = 100 * time.Millisecond

// maxUsers is beyond the streams that one machine can hold.
const maxUsers = 100_000

// Validate returns what is wrong with c, or nil.
func (c Concurrency) Validate() []error {
	var errs []error
	if c.Users < 1 || c.Users > maxUsers {
		errs = append(errs, fmt.Errorf("users %d is not between 1 and %d: write 50", c.Users, maxUsers))
	}
	if c.Ramp < 0 {
		errs = append(errs, fmt.Errorf("ramp %s is negative: write 10s", c.Ramp))
	}
	return errs
}

// String says it in words.
func (c Concurrency) String() string {
	text := fmt.Sprintf("closed loop of %d users", c.Users)
	if c.Ramp > 0 {
		text += fmt.Sprintf(" over %s", c.Ramp)
	}
	return text
}
func (c Concurrency) span() time.Duration { return 0 }
func (c Concurrency) ends() bool          { return false }

// from is when, in a phase, there are more than so many users.
func (c Concurrency) from(users int) time.Duration {
	return time.Duration(float64(c.Ramp) * float64(users) / float64(c.Users))
}

// evenly ends a description.
func evenly(even bool) string {
	if even {
		return ", evenly"
	}
	return ""
}

// some leaves out what is nil.
func some(errs []error) (found []error) {
	for _, err := range errs {
		if err != nil {
			found = append(found, err)
		}
	}
	return found
}
