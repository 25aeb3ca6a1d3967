package faults

import (
	"context"
	"fmt"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// RegionKill takes a region of a stack with a supervisor away.
type RegionKill struct {
	// Region is the role of the region. Required.
	Region string `yaml:"region" json:"region"`
	// Mode is kill (the process dies and is held down: connections are refused) or stop
	// (it is frozen: connections are accepted and hang). Optional; default kill.
	Mode KillMode `yaml:"mode" json:"mode,omitempty"`
	// AllowLast permits it to be the only region that runs. Optional; default false.
	AllowLast bool `yaml:"allow_last" json:"allow_last,omitempty"`

	// Before is how many requests had met a failure of the region when Prepare looked.
	Before int64 `yaml:"-" json:"touched_before,omitempty"`
}

// KillMode says how RegionKill takes a region away. The zero value is Kill.
type KillMode string

// Modes of RegionKill.
const (
	Kill KillMode = "kill"
	Stop KillMode = "stop"
)

// UnmarshalText reads kill or stop.
func (m *KillMode) UnmarshalText(text []byte) error {
	switch v := KillMode(text); v {
	case Kill, Stop:
		*m = v
		return nil
	}
	return fmt.Errorf("mode %q isn't one of [%s %s]", text, Kill, Stop)
}

var (
	_ Fault     = (*RegionKill)(nil)
	_ Validator = (*RegionKill)(nil)
	_ Claimer   = (*RegionKill)(nil)
)

// Validate reports a missing region.
func (f *RegionKill) Validate() []error {
	return missing("region", f.Region)
}

// Prepare checks that the region runs, and that another one does too.
func (f *RegionKill) Prepare(ctx context.Context, s *targets.Stack) error {
	region, err := s.Region(f.Region)
	if err != nil {
		return err
	}
	running := 0
	for _, name := range s.Regions() {
		r, err := s.Region(name)
		if err != nil {
			return err
		}
		p, err := r.State(ctx)
		if err != nil {
			return err
		}
		switch {
		case p.State == targets.ProcessRunning:
			running++
		case name == f.Region:
			return fmt.Errorf("region %s is %s, not running: bring it back first", name, p.State)
		}
	}
	if running == 1 && !f.AllowLast {
		return fmt.Errorf("region %s is the only one that runs: set allow_last: true if that is what should be lost", f.Region)
	}
	count, _, err := region.Touched(ctx)
	f.Before = count.N
	return err
}

// Inject takes the region away and asks the supervisor whether it is.
func (f *RegionKill) Inject(ctx context.Context, s *targets.Stack) error {
	region, err := s.Region(f.Region)
	if err != nil {
		return err
	}
	do, want := region.Kill, targets.ProcessHeld
	if f.Mode == Stop {
		do, want = region.Stop, targets.ProcessStopped
	}
	if _, err := do(ctx); err != nil {
		return err
	}
	p, err := region.State(ctx)
	if err != nil {
		return err
	}
	if p.State != want {
		return fmt.Errorf("region %s is %s after it should have become %s", f.Region, p.State, want)
	}
	return nil
}

// Evidence counts the requests that met the region's failure since Prepare.
func (f *RegionKill) Evidence(ctx context.Context, s *targets.Stack) (results.Evidence, error) {
	region, err := s.Region(f.Region)
	if err != nil {
		return results.Evidence{}, err
	}
	count, counted, err := region.Touched(ctx)
	if err != nil {
		return results.Evidence{}, err
	}
	if counted {
		return results.Evidence{Touched: grown(f.Before, count.N), What: count.What}, nil
	}
	p, err := region.State(ctx)
	if err != nil {
		return results.Evidence{}, err
	}
	e := results.Evidence{What: "regions taken away; the stack does not count the requests that met it"}
	if p.State == targets.ProcessHeld || p.State == targets.ProcessStopped {
		e.Touched = 1
	}
	return e, nil
}

// Resources is the region's process.
func (f *RegionKill) Resources(s *targets.Stack) ([]string, error) {
	region, err := s.Region(f.Region)
	if err != nil {
		return nil, err
	}
	return []string{region.Resource()}, nil
}

// Revert brings the region back and returns once it serves. One that runs may not serve yet.
func (f *RegionKill) Revert(ctx context.Context, s *targets.Stack) (results.Restored, error) {
	region, err := s.Region(f.Region)
	if err != nil {
		return results.RestoredFailed, err
	}
	p, err := region.State(ctx)
	if err != nil {
		return results.RestoredFailed, err
	}
	ran := p.State == targets.ProcessRunning
	if p, err = region.Start(ctx); err != nil {
		return results.RestoredFailed, err
	}
	if ran && p.State == targets.ProcessRunning {
		return results.RestoredUnneed, nil
	}
	if p, err = region.State(ctx); err != nil {
		return results.RestoredFailed, err
	}
	if p.State != targets.ProcessRunning {
		return results.RestoredFailed, fmt.Errorf("region %s is %s after it was started", f.Region, p.State)
	}
	return results.RestoredOK, nil
}
