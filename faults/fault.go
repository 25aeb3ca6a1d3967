package faults

import (
	"context"
	"reflect"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A Fault is one harm and its undo: a plain struct. Fields with a yaml tag are
// its parameters; fields marked yaml:"-" are what its methods noted. Its JSON is
// its part of the journal entry, so every note is in it, and nothing secret.
// A parameter called region, store, dependency or gpu is the name of such a role
// of the stack: whoever reads a plan checks it without knowing the kind.
//
// Only a Journal calls Inject. The methods of one value are never called at the
// same time, with the exception of Renew.
type Fault interface {
	// Prepare checks that the harm can be done and undone, and notes what Revert
	// needs. It changes nothing. Prepare may be called again, and notes anew.
	Prepare(ctx context.Context, s *targets.Stack) error
	// Inject does the harm and returns once it is in force and has been seen to be.
	Inject(ctx context.Context, s *targets.Stack) error
	// Evidence says what the fault has touched so far. None: the experiment is undecided.
	Evidence(ctx context.Context, s *targets.Stack) (results.Evidence, error)
	// Revert puts things back and checks that they are. It is idempotent, works
	// from any process, and succeeds if Inject failed, ran half-way, or never ran.
	// The error says why it came to RestoredDrift or RestoredFailed, and is nil otherwise.
	Revert(ctx context.Context, s *targets.Stack) (results.Restored, error)
}

// A Validator is a Fault that can say what is wrong with its parameters without
// a stack. Validate returns every mistake, with what to write instead; nil: none.
type Validator interface{ Validate() []error }

// A Renewer is a Fault that lapses at its target unless its holder renews it:
// the target's own protection against a holder that died. The journal calls
// Renew each Period from Inject to Revert, on a copy of the fault as its entry
// has it. Renew never brings back what has lapsed or was reverted: that is an error, wire.ErrLapsed.
type Renewer interface {
	Renew(ctx context.Context, s *targets.Stack) error
	Period() time.Duration
}

// A Claimer is a Fault that can name what it changes, in words that are the same for whoever changes
// the same thing through another stack: a file, a GPU, a proxy's link. While it is open, no other run
// may change one of them, or the undo of the first would put back, and that of the second keep,
// what the other had pushed. Resources is called after Prepare.
type Claimer interface {
	Resources(s *targets.Stack) ([]string, error)
}

// A Noter is a Fault that has something to say about its last step which is no
// error: how far an undo could be verified. Note returns a sentence without a
// full stop, or "".
type Noter interface{ Note() string }

// A Foreseer is a Fault that can tell by a stack's description alone, as far as this machine knows it, what would
// keep it from being injected now. Foresee changes nothing and asks nobody else. Nil: nothing that can be seen from here.
type Foreseer interface {
	Foresee(spec targets.Spec) error
}

// A Kind is one kind of fault: its name in experiment files, what it does in a
// sentence, and a constructor that returns it with its defaults filled in.
type Kind struct {
	Name, Doc string
	New       func() Fault
}

// Parameters returns the names of the kind's parameters, in the order of their declaration.
func (k Kind) Parameters() []string {
	var names []string
	for f := range reflect.TypeOf(k.New()).Elem().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// Kinds returns every kind of fault, ordered by name. A new fault is one file, one test and
// one line here.
func Kinds() []Kind {
	return []Kind{
		{"config.push", "writes a bad config into a store, all at once", func() Fault { return new(ConfigPush) }},
		{"dependency.latency", "delays what passes between the stack and something that it calls", func() Fault { return new(DependencyLatency) }},
		{"gpu.throttle", "locks a GPU's clocks at a low frequency", func() Fault { return new(GPUThrottle) }},
		{"region.kill", "takes a region away: killed and held down, or stopped so that it hangs", func() Fault { return new(RegionKill) }},
	}
}
