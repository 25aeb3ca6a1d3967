package attacks

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// A Profile says when requests are due: exactly one of its fields is set. Its
// zero value is not usable.
type Profile struct {
	// Constant sends one request every 1/rate. Optional.
	Constant *Constant `yaml:"constant" json:"constant,omitempty"`
	// Poisson sends at random, as independent users do. Optional.
	Poisson *Poisson `yaml:"poisson" json:"poisson,omitempty"`
}

// Constant is an open loop with equal gaps: request k is due at k/rate, the
// first one at once. Nothing about it is random.
type Constant struct {
	// Rate of requests. Required.
	Rate Rate `yaml:"rate" json:"rate"`
}

// Poisson is an open loop with exponentially distributed gaps of mean 1/rate.
type Poisson struct {
	// Rate is the mean rate of requests. Required.
	Rate Rate `yaml:"rate" json:"rate"`
}

// Due yields the due times of an endless attack, counted from its start, in
// order. They are drawn as they are asked for: equal rngs give equal times.
func (p Profile) Due(rng *rand.Rand) iter.Seq[time.Duration] {
	switch {
	case p.Constant != nil:
		return p.Constant.due()
	case p.Poisson != nil:
		return p.Poisson.due(rng)
	}
	return func(func(time.Duration) bool) {}
}

func (c Constant) due() iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		// Computed from k and not summed up: rounding never adds up to a drift.
		for k := 0; yield(time.Duration(math.Round(float64(k) * float64(time.Second) / float64(c.Rate)))); k++ {
		}
	}
}

func (p Poisson) due(rng *rand.Rand) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		at := rng.ExpFloat64() / float64(p.Rate)
		for yield(time.Duration(at * float64(time.Second))) {
			at += rng.ExpFloat64() / float64(p.Rate)
		}
	}
}

// Rate is the mean rate of the profile, 0 if there is none.
func (p Profile) Rate() Rate {
	switch {
	case p.Constant != nil:
		return p.Constant.Rate
	case p.Poisson != nil:
		return p.Poisson.Rate
	}
	return 0
}

// Validate returns what is wrong with p, or nil.
func (p Profile) Validate() []error {
	var errs []error
	switch {
	case p.Constant != nil && p.Poisson != nil:
		errs = append(errs, errors.New("has both constant and poisson: keep one"))
	case p.Constant == nil && p.Poisson == nil:
		errs = append(errs, errors.New("has no kind: write {poisson: {rate: 100/s}} or {constant: {rate: 100/s}}"))
	case p.Rate() <= 0:
		errs = append(errs, errors.New("has no rate: write {rate: 100/s}"))
	}
	return errs
}

// A Rate counts requests per second. Its zero value means not set.
type Rate float64

// maxRate is where one process on one machine is no longer an honest generator.
const maxRate Rate = 1e6

// UnmarshalText reads "100/s", "0.5/s", "6000/m" or "20/h".
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, found := strings.Cut(strings.TrimSpace(string(text)), "/")
	seconds, known := map[string]float64{"s": 1, "m": 60, "min": 60, "h": 3600}[strings.TrimSpace(unit)]
	if !found || !known {
		return fmt.Errorf("rate %q has no unit: write %s/s, or a number with /s, /m or /h", text, orExample(number, "100"))
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return fmt.Errorf("rate %q has no number before the slash: write 100/s", text)
	}
	if v := Rate(n / seconds); v > 0 && v <= maxRate {
		*r = v
		return nil
	}
	return fmt.Errorf("rate %q is not between 0 and %g/s: write 100/s", text, float64(maxRate))
}

// MarshalText writes what UnmarshalText reads.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String gives the rate per second: "100/s".
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s" }

// orExample returns number if it is one, so that an error can show the mended text.
func orExample(number, example string) string {
	number = strings.TrimSpace(number)
	if _, err := strconv.ParseFloat(number, 64); err != nil {
		return example
	}
	return number
}

// String says it in words: "100/s poisson".
func (p Profile) String() string {
	switch {
	case p.Constant != nil:
		return p.Constant.Rate.String() + " constant"
	case p.Poisson != nil:
		return p.Poisson.Rate.String() + " poisson"
	}
	return "no load"
}
