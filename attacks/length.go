package attacks

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// A Length is a distribution of lengths in tokens: always the same, even between two, or lognormal by two of its
// quantiles. In a file a number, {min, max} or {p50, p90}, the last with a min or a max if need be: what is drawn
// beyond them is as long as they are. Its zero value is not set.
type Length struct {
	Fixed int `yaml:"-" json:"fixed,omitempty"`
	Min   int `yaml:"min" json:"min,omitempty"`
	P50   int `yaml:"p50" json:"p50,omitempty"`
	P90   int `yaml:"p90" json:"p90,omitempty"`
	Max   int `yaml:"max" json:"max,omitempty"`
}

// A Think is a distribution of times: always the same, even between two, or lognormal by two of its quantiles. In a
// file 5s, {min, max} or {p50, p90}, the last with a min or a max if need be. Its zero value is no time.
type Think struct {
	Fixed time.Duration `yaml:"-" json:"fixed,omitempty"`
	Min   time.Duration `yaml:"min" json:"min,omitempty"`
	P50   time.Duration `yaml:"p50" json:"p50,omitempty"`
	P90   time.Duration `yaml:"p90" json:"p90,omitempty"`
	Max   time.Duration `yaml:"max" json:"max,omitempty"`
}

const (
	// maxTokens bounds lengths: the longest context windows in service.
	maxTokens = 2_000_000
	// maxThink bounds times: a phase is over by then.
	maxThink = 24 * time.Hour
)

// UnmarshalText reads a number of tokens.
func (l *Length) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxTokens {
		return fmt.Errorf("%s is not between 1 and %d: write 50, {min: 20, max: 200} or {p50: 129, p90: 424}", text, maxTokens)
	}
	*l = Length{Fixed: n}
	return nil
}

// UnmarshalText reads a duration.
func (t *Think) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 || d > maxThink {
		return fmt.Errorf("%s is not between 0s and %s: write 5s, {min: 1s, max: 9s} or {p50: 5s, p90: 20s}", text, maxThink)
	}
	*t = Think{Fixed: d}
	return nil
}

// Validate returns what is wrong with l, or nil.
func (l Length) Validate() []error {
	if l == (Length{}) {
		return []error{errors.New("says nothing: write 50, {min: 20, max: 200} or {p50: 129, p90: 424}")}
	}
	return spread[int](l).validate(maxTokens)
}

// Validate returns what is wrong with t, or nil.
func (t Think) Validate() []error { return spread[time.Duration](t).validate(maxThink) }

// draw gives one length. It draws a number only where there is something to decide.
func (l Length) draw(rng *rand.Rand) int { return max(1, spread[int](l).draw(rng, maxTokens)) }

// draw gives one time.
func (t Think) draw(rng *rand.Rand) time.Duration {
	return max(0, spread[time.Duration](t).draw(rng, maxThink))
}

// A spread is what a Length and a Think have in common.
type spread[T int | time.Duration] struct{ Fixed, Min, P50, P90, Max T }

// validate returns what is wrong with s, each time beginning with the key that it is about.
func (s spread[T]) validate(most T) (errs []error) {
	for _, f := range []struct {
		name string
		x    T
	}{{"min", s.Min}, {"p50", s.P50}, {"p90", s.P90}, {"max", s.Max}} {
		if f.x < 0 || f.x > most {
			errs = append(errs, fmt.Errorf("%s %v is not between %v and %v", f.name, f.x, min(T(1), most), most))
		}
	}
	if errs != nil {
		return errs
	}
	rest := s
	rest.Fixed = 0
	switch {
	case s.Fixed < 0 || s.Fixed > most:
		return []error{fmt.Errorf("fixed %v is not between %v and %v", s.Fixed, T(0), most)}
	case s.Fixed > 0 && rest != spread[T]{}:
		return []error{errors.New("fixed stands beside a distribution: keep one")}
	case rest == spread[T]{}:
		return nil
	case s.P50 == 0 && s.P90 == 0:
		return s.between()
	}
	return s.quantiles()
}

// between looks at an even distribution.
func (s spread[T]) between() []error {
	switch {
	case s.Min == 0:
		return []error{fmt.Errorf("min is missing beside max %v: write {min: %v, max: %v}", s.Max, (s.Max+1)/2, s.Max)}
	case s.Max == 0:
		return []error{fmt.Errorf("max is missing beside min %v: write {min: %v, max: %v}", s.Min, s.Min, 2*s.Min)}
	case s.Max < s.Min:
		return []error{fmt.Errorf("max %v is below min %v: swap them", s.Max, s.Min)}
	}
	return nil
}

// quantiles looks at a lognormal distribution: bounds that hide its quantiles would make them untrue.
func (s spread[T]) quantiles() []error {
	switch {
	case s.P90 == 0:
		return []error{fmt.Errorf("p90 is missing beside p50 %v: write {p50: %v, p90: %v}, or %v alone", s.P50, s.P50, 3*s.P50, s.P50)}
	case s.P50 == 0:
		return []error{fmt.Errorf("p50 is missing beside p90 %v: write {p50: %v, p90: %v}", s.P90, (s.P90+2)/3, s.P90)}
	case s.P90 < s.P50:
		return []error{fmt.Errorf("p90 %v is below p50 %v: swap them", s.P90, s.P50)}
	case s.Max > 0 && s.Max < s.P90:
		return []error{fmt.Errorf("max %v is below p90 %v: raise it, or lower p90", s.Max, s.P90)}
	case s.Min > s.P50:
		return []error{fmt.Errorf("min %v is over p50 %v: lower it, or raise p50", s.Min, s.P50)}
	}
	return nil
}

// z90 is the standard normal distribution's 90th percentile.
const z90 = 1.2815515655446004

// draw gives one value, at most most.
func (s spread[T]) draw(rng *rand.Rand, most T) T {
	switch {
	case s.P50 == 0 && s.Max == 0:
		return s.Fixed
	case s.P50 == 0:
		return s.Min + T(rng.Int64N(int64(s.Max-s.Min)+1))
	}
	if s.Max > 0 {
		most = s.Max
	}
	p50 := float64(s.P50)
	sigma := math.Log(float64(s.P90)/p50) / z90
	return max(s.Min, T(math.Round(min(float64(most), p50*math.Exp(sigma*rng.NormFloat64())))))
}
