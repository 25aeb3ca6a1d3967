package faults

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/wire"
)

// DependencyLatency delays the bytes between a stack and one of its dependencies,
// on connections that are open as well as on new ones. Each chunk is shifted by
// Latency ± Jitter from its arrival; the order is kept. The jitter's numbers are seeded by
// the dependency's name: the same in each run. It is held by a lease: the
// proxy ends it by itself when nobody renews it.
type DependencyLatency struct {
	// Dependency is the role of the dependency. Required.
	Dependency string `yaml:"dependency" json:"dependency"`
	// Latency is added to every chunk. Required.
	Latency time.Duration `yaml:"latency" json:"latency"`
	// Jitter varies it, evenly, by up to this much either way; at most latency. Optional; default none.
	Jitter time.Duration `yaml:"jitter" json:"jitter,omitempty"`
	// Direction is down (answers), up (requests) or both, each with the full latency. Optional; default down.
	Direction wire.Direction `yaml:"direction" json:"direction,omitempty"`

	// Holder is the id under which the proxy knows this fault.
	Holder string `yaml:"-" json:"holder,omitempty"`
	// Before is how many chunks each link had delayed when Prepare looked.
	Before map[string]int64 `yaml:"-" json:"delayed_before,omitempty"`
}

// lease is what a run that dies leaves behind at most; it is renewed each third of it.
const lease = 5 * time.Second

var (
	_ Fault     = (*DependencyLatency)(nil)
	_ Validator = (*DependencyLatency)(nil)
	_ Renewer   = (*DependencyLatency)(nil)
	_ Claimer   = (*DependencyLatency)(nil)
)

// Validate reports what is missing or out of range.
func (f *DependencyLatency) Validate() []error {
	errs := missing("dependency", f.Dependency)
	if f.Latency <= 0 {
		errs = append(errs, fmt.Errorf("latency is %s: write how much later each chunk is to arrive, as in latency: 200ms", f.Latency))
	}
	if f.Jitter < 0 || (f.Jitter > f.Latency && f.Latency > 0) {
		errs = append(errs, fmt.Errorf("jitter %s isn't between 0 and the latency of %s", f.Jitter, f.Latency))
	}
	return errs
}

// Prepare checks that the proxy has the links and that nobody else's fault is on one.
func (f *DependencyLatency) Prepare(ctx context.Context, s *targets.Stack) error {
	if err := errors.Join(f.Validate()...); err != nil {
		return err
	}
	links, err := f.links(ctx, s)
	if err != nil {
		return err
	}
	f.Holder, f.Before = rand.Text(), map[string]int64{}
	for _, l := range links {
		if l.Fault != nil {
			return fmt.Errorf("dependency %s: link %s is delayed already, by %q: end that first", f.Dependency, l.Name, l.Fault.Fault.ID)
		}
		f.Before[l.Name] = l.Up.Delayed + l.Down.Delayed
	}
	return nil
}

// Inject puts the delay on every link and reads it back.
func (f *DependencyLatency) Inject(ctx context.Context, s *targets.Stack) error {
	d, err := s.Dependency(f.Dependency)
	if err != nil {
		return err
	}
	if err := d.Set(ctx, f.fault(false)); err != nil {
		return err
	}
	links, err := d.Links(ctx)
	if err != nil {
		return err
	}
	for _, l := range links {
		if !f.holds(l) {
			return fmt.Errorf("dependency %s: link %s is not delayed after the proxy said that it was", f.Dependency, l.Name)
		}
	}
	return nil
}

// Renew extends the lease. A lease that has run out is an error: the delay was gone for a while.
func (f *DependencyLatency) Renew(ctx context.Context, s *targets.Stack) error {
	d, err := s.Dependency(f.Dependency)
	if err != nil {
		return err
	}
	return d.Set(ctx, f.fault(true))
}

// Period leaves room for two renewals to fail.
func (f *DependencyLatency) Period() time.Duration { return lease / 3 }

// Evidence counts the chunks that were delayed since Prepare.
func (f *DependencyLatency) Evidence(ctx context.Context, s *targets.Stack) (results.Evidence, error) {
	links, err := f.links(ctx, s)
	e := results.Evidence{What: "chunks delayed by the proxy"}
	for _, l := range links {
		e.Touched += grown(f.Before[l.Name], l.Up.Delayed+l.Down.Delayed)
	}
	return e, err
}

// Resources are the proxy's links.
func (f *DependencyLatency) Resources(s *targets.Stack) ([]string, error) {
	d, err := s.Dependency(f.Dependency)
	if err != nil {
		return nil, err
	}
	return d.Resources(), nil
}

// Revert ends the delay on every link and looks whether it has.
func (f *DependencyLatency) Revert(ctx context.Context, s *targets.Stack) (results.Restored, error) {
	if f.Holder == "" { // Prepare did not come to it, so Inject never ran
		return results.RestoredUnneed, nil
	}
	links, err := f.links(ctx, s)
	if err != nil {
		return results.RestoredFailed, err
	}
	if !f.holdsAny(links) {
		return results.RestoredUnneed, nil
	}
	d, err := s.Dependency(f.Dependency)
	if err != nil {
		return results.RestoredFailed, err
	}
	// A link that another fault holds by now is not ours any more.
	failed := d.Clear(ctx, f.Holder)
	if links, err = d.Links(ctx); err != nil {
		return results.RestoredFailed, errors.Join(failed, err)
	}
	if f.holdsAny(links) {
		return results.RestoredFailed, errors.Join(failed, fmt.Errorf("dependency %s: a link is still delayed", f.Dependency))
	}
	return results.RestoredOK, nil
}

func (f *DependencyLatency) links(ctx context.Context, s *targets.Stack) ([]wire.State, error) {
	d, err := s.Dependency(f.Dependency)
	if err != nil {
		return nil, err
	}
	return d.Links(ctx)
}

func (f *DependencyLatency) fault(renew bool) wire.Fault {
	return wire.Fault{
		ID: f.Holder, Lease: lease, Renew: renew,
		Latency: f.Latency, Jitter: f.Jitter, Direction: f.Direction, Seed: f.seed(),
	}
}

// seed of the jitter: faults of two dependencies do not waver in step, and one wavers in each run alike.
func (f *DependencyLatency) seed() uint64 {
	sum := sha256.Sum256([]byte(f.Dependency))
	return binary.BigEndian.Uint64(sum[:8])
}

func (f *DependencyLatency) holds(l wire.State) bool {
	return l.Fault != nil && l.Fault.Fault.ID == f.Holder
}

func (f *DependencyLatency) holdsAny(links []wire.State) bool {
	return slices.ContainsFunc(links, f.holds)
}
