package experiments

import (
	"fmt"
	"time"

	"github.com/failwhale/failwhale/results"
)

// DefaultWarmup opens connections and fills caches of a small stack. A real one may need minutes.
const DefaultWarmup = 3 * time.Second

// PhaseSpec says how long each phase is.
type PhaseSpec struct {
	// Warmup counts nowhere. Optional; default 3s.
	Warmup Length `yaml:"warmup"`
	// Baseline is the stack without harm. Required, and more than 0.
	Baseline Length `yaml:"baseline"`
	// Fault is the stack with it. Required, and more than 0.
	Fault Length `yaml:"fault"`
	// Recovery is the stack after it. Optional; default 0s: no claim about recovery can be made.
	Recovery Length `yaml:"recovery"`
}

// Of returns the length of phase p; the zero Length if p is none.
func (s PhaseSpec) Of(p results.Phase) Length {
	switch p {
	case results.Warmup:
		return s.Warmup
	case results.Baseline:
		return s.Baseline
	case results.Fault:
		return s.Fault
	case results.Recovery:
		return s.Recovery
	default:
		return Length{}
	}
}

// A Length is how long a phase lasts: a time, or until there are enough samples. The zero value is
// a phase that is left out.
type Length struct {
	// For is the scalar form: 15s.
	For time.Duration `yaml:"-"`
	// Until ends the phase when it is reached; a Samples of 0 means that it is not used.
	Until Until `yaml:"until"`
	// Max ends it in any case. Required with Until.
	Max time.Duration `yaml:"max"`
}

// Limit is the longest that the phase can last.
func (l Length) Limit() time.Duration {
	if l.Until.Samples > 0 {
		return l.Max
	}
	return l.For
}

// UnmarshalText reads the scalar form: 15s.
func (l *Length) UnmarshalText(text []byte) error {
	x, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*l = Length{For: x}
	return nil
}

// Validate returns what is wrong with l, or nil.
func (l Length) Validate() []error {
	switch {
	case l.For < 0:
		return []error{fmt.Errorf("%s is negative: write 15s", l.For)}
	case l.Until.Samples > 0 && l.Max <= 0:
		return []error{fmt.Errorf("max %s is no time at all: write 10m", l.Max)}
	}
	return nil
}

// Until is a number of finished requests of one phase: samples{tier="paid"} >= 2000. Those whose users left by plan are
// not among them: success, of which claims need the most, does not count them.
type Until struct {
	// Labels select the requests that count; empty: all.
	Labels results.Labels
	// Samples is how many there must be.
	Samples int
}

// UnmarshalText reads samples{tier="paid"} >= 2000.
func (u *Until) UnmarshalText(text []byte) error {
	x, err := parseUntil(string(text))
	if err != nil {
		return err
	}
	*u = x
	return nil
}

// String gives what UnmarshalText reads.
func (u Until) String() string { return fmt.Sprintf("samples%s >= %d", u.Labels, u.Samples) }
