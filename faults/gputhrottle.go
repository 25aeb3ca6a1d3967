package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// GPUThrottle locks the clocks of a GPU. Either Clock, or Min and Max.
//
// No field of nvidia-smi shows a lock, so it is verified by its effect: under load the clock
// stays at or below it. Without load there is no effect to see; the fault is then in force
// unverified, and its evidence is empty until it was seen.
type GPUThrottle struct {
	// GPU is the role of the GPU. Required.
	GPU string `yaml:"gpu" json:"gpu"`
	// Clock locks it to one frequency, in MHz. Optional.
	Clock int `yaml:"clock" json:"clock,omitempty"`
	// Min locks it to a range together with max, in MHz. Optional.
	Min int `yaml:"min" json:"min,omitempty"`
	// Max is the range's upper end, in MHz. Required with min.
	Max int `yaml:"max" json:"max,omitempty"`
	// AllowShared permits a GPU in MIG mode, where every tenant is slowed down. Optional; default false.
	AllowShared bool `yaml:"allow_shared" json:"allow_shared,omitempty"`

	// LoadedAt is the highest clock in MHz that the GPU had under load when Prepare looked; 0: it had no load.
	LoadedAt int `yaml:"-" json:"clock_before,omitempty"`
	// Seen counts the readings that showed the lock in force, of which one was all Inject needed: the clock
	// was above the lock under load before, and is not now.
	Seen int64 `yaml:"-" json:"seen,omitempty"`
	// Confounded names what else held the clock down in some reading.
	Confounded string `yaml:"-" json:"confounded,omitempty"`
	// Said is what nvidia-smi printed last. Remark is what Note returns.
	Said   string `yaml:"-" json:"said,omitempty"`
	Remark string `yaml:"-" json:"remark,omitempty"`
}

const (
	// clockStep is the distance of NVIDIA's supported clocks: a lock is rounded to one of them.
	clockStep = 15 // MHz
	// gpuPoll is between two readings: nvidia-smi itself takes some of it.
	gpuPoll = 250 * time.Millisecond
	// loadedLimit is how long Prepare waits to see a clock above the lock.
	loadedLimit = 2 * time.Second
	// loadLimit is how long load is waited for, settleLimit how long a loaded clock may take to follow.
	loadLimit   = 3 * time.Second
	settleLimit = 5 * time.Second
)

var (
	_ Fault     = (*GPUThrottle)(nil)
	_ Validator = (*GPUThrottle)(nil)
	_ Noter     = (*GPUThrottle)(nil)
	_ Claimer   = (*GPUThrottle)(nil)
)

// Validate reports what is missing or contradicts itself.
func (f *GPUThrottle) Validate() []error {
	errs := missing("gpu", f.GPU)
	one, two := f.Clock != 0, f.Min != 0 || f.Max != 0
	switch {
	case one == two:
		errs = append(errs, errors.New("write either clock: MHZ, or min: MHZ and max: MHZ"))
	case one && f.Clock < 0:
		errs = append(errs, fmt.Errorf("clock %d isn't a frequency in MHz", f.Clock))
	case two && (f.Min <= 0 || f.Max < f.Min):
		errs = append(errs, fmt.Errorf("min %d and max %d aren't a range in MHz: write both, the smaller first", f.Min, f.Max))
	}
	return errs
}

// Note says how far the last step could be verified.
func (f *GPUThrottle) Note() string { return f.Remark }

func (f *GPUThrottle) clocks() targets.Clocks {
	if f.Clock != 0 {
		return targets.Clocks{Min: f.Clock, Max: f.Clock}
	}
	return targets.Clocks{Min: f.Min, Max: f.Max}
}

// Prepare checks that the GPU is there, that its undo is known, and that nobody else shares it.
func (f *GPUThrottle) Prepare(ctx context.Context, s *targets.Stack) error {
	if err := errors.Join(f.Validate()...); err != nil {
		return err
	}
	gpu, err := s.GPU(f.GPU)
	if err != nil {
		return err
	}
	if _, err := gpu.Operator(); err != nil {
		return err
	}
	r, err := gpu.Read(ctx)
	if err != nil {
		return err
	}
	if r.MIG && !f.AllowShared {
		return fmt.Errorf("gpu %s is in MIG mode: the clocks of all its tenants would be locked; set allow_shared: true if they may be", f.GPU)
	}
	if most := f.clocks().Max; r.MaxSM > 0 && most >= r.MaxSM {
		return fmt.Errorf("gpu %s reaches %d MHz at most: a lock at %d MHz throttles nothing", f.GPU, r.MaxSM, most)
	}
	f.LoadedAt, f.Seen, f.Confounded, f.Remark = 0, 0, "", ""
	if !r.Persistence {
		f.Remark = "persistence mode is off: if the GPU falls idle, its driver may unload and drop the lock"
	}
	_, _, err = watch(ctx, gpu, loadedLimit, loadedLimit, func(r targets.GPUReading) bool {
		if r.Utilization > 0 {
			f.LoadedAt = max(f.LoadedAt, r.SM)
		}
		return f.above()
	})
	return err
}

// bar is the highest clock that a lock in force allows.
func (f *GPUThrottle) bar() int { return f.clocks().Max + clockStep }

// above reports whether the clock was above the lock under load before it was locked.
func (f *GPUThrottle) above() bool { return f.LoadedAt > f.bar() }

// before says why a low clock proves nothing; "": it does.
func (f *GPUThrottle) before() string {
	switch {
	case f.above():
		return ""
	case f.LoadedAt > 0:
		return fmt.Sprintf("it ran at %d MHz under load before it was locked", f.LoadedAt)
	}
	return "its clock under load before it was locked is not known"
}

// Resources is the GPU.
func (f *GPUThrottle) Resources(s *targets.Stack) ([]string, error) {
	gpu, err := s.GPU(f.GPU)
	if err != nil {
		return nil, err
	}
	return []string{gpu.Resource()}, nil
}

// Inject locks the clocks and watches until the lock shows, or no load comes that could show it.
func (f *GPUThrottle) Inject(ctx context.Context, s *targets.Stack) error {
	gpu, err := s.GPU(f.GPU)
	if err != nil {
		return err
	}
	if f.Said, err = gpu.Lock(ctx, f.clocks()); err != nil {
		return err
	}
	last, loaded, err := watch(ctx, gpu, loadLimit, settleLimit, f.observe)
	switch {
	case err != nil:
		return err
	case f.Seen > 0:
		return nil
	case f.Confounded != "":
		f.Remark = join(f.Remark, "in force as nvidia-smi says, not verified: confounded by "+f.Confounded)
		return nil
	case loaded && last.SM <= f.bar() && !f.above():
		f.Remark = join(f.Remark, fmt.Sprintf("in force as nvidia-smi says, not verified: the GPU runs at %d MHz, and %s", last.SM, f.before()))
		return nil
	case loaded:
		return fmt.Errorf("gpu %s runs at %d MHz under load, above its lock at %s: it is not in force", f.GPU, last.SM, f.clocks())
	}
	f.Remark = join(f.Remark, "in force as nvidia-smi says, not verified: the GPU has no load")
	return nil
}

// observe notes what a reading shows of the lock, and reports whether the clock is within it under load.
func (f *GPUThrottle) observe(r targets.GPUReading) bool {
	if r.Utilization == 0 || r.SM > f.bar() {
		return false
	}
	if len(r.Slowdowns) > 0 {
		f.Confounded = strings.Join(r.Slowdowns, ", ")
		return true // whatever holds it down, it is below: but no evidence
	}
	if f.above() {
		f.Seen++
	}
	return true
}

// watch reads the GPU until done says so: at most for idle while it never has load, and for
// busy once it had. It returns the last reading and whether there was load.
func watch(ctx context.Context, gpu *targets.GPUControl, idle, busy time.Duration, done func(targets.GPUReading) bool) (last targets.GPUReading, loaded bool, err error) {
	tick := time.NewTicker(gpuPoll)
	defer tick.Stop()
	for start := time.Now(); ; {
		if last, err = gpu.Read(ctx); err != nil {
			return last, loaded, err
		}
		loaded = loaded || last.Utilization > 0
		waited := time.Since(start)
		if done(last) || (!loaded && waited >= idle) || waited >= busy {
			return last, loaded, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last, loaded, ctx.Err()
		}
	}
}

// Evidence takes one more reading, and counts those that have shown the lock in force.
func (f *GPUThrottle) Evidence(ctx context.Context, s *targets.Stack) (results.Evidence, error) {
	gpu, err := s.GPU(f.GPU)
	if err != nil {
		return results.Evidence{}, err
	}
	r, err := gpu.Read(ctx)
	if err != nil {
		return results.Evidence{}, err
	}
	f.observe(r)
	e := results.Evidence{Touched: f.Seen, What: fmt.Sprintf("readings under load with the clock within the lock at %s", f.clocks())}
	if why := f.before(); why != "" {
		e.What += "; none of them counts: " + why
	}
	if f.Confounded != "" {
		e.What += ", others confounded by " + f.Confounded
	}
	return e, nil
}

// Revert gives the clocks back to the driver, or to the lock that the operator had, and
// looks whether a loaded clock rises again.
func (f *GPUThrottle) Revert(ctx context.Context, s *targets.Stack) (results.Restored, error) {
	f.Remark = ""
	gpu, err := s.GPU(f.GPU)
	if err != nil {
		return results.RestoredFailed, err
	}
	operator, err := gpu.Operator()
	if err != nil {
		return results.RestoredFailed, err
	}
	if operator == (targets.Clocks{}) {
		f.Said, err = gpu.Unlock(ctx)
	} else {
		f.Said, err = gpu.Lock(ctx, operator)
	}
	if err != nil {
		return results.RestoredFailed, err
	}
	return f.verifyUndone(ctx, gpu, operator)
}

func (f *GPUThrottle) verifyUndone(ctx context.Context, gpu *targets.GPUControl, operator targets.Clocks) (results.Restored, error) {
	bar := f.bar()
	if operator != (targets.Clocks{}) && operator.Max <= bar {
		f.Remark = fmt.Sprintf("locked again at the operator's %s, not verified: that is no higher than the fault's lock", operator)
		return results.RestoredOK, nil
	}
	risen := false
	last, loaded, err := watch(ctx, gpu, loadLimit, settleLimit, func(r targets.GPUReading) bool {
		risen = r.SM > bar
		return risen || (r.Utilization > 0 && len(r.Slowdowns) > 0)
	})
	switch {
	case err != nil:
		f.Remark = fmt.Sprintf("undone as nvidia-smi says, not verified: %v", err)
	case risen:
	case !loaded:
		f.Remark = "undone as nvidia-smi says, not verified: the GPU has no load"
	case len(last.Slowdowns) > 0:
		f.Remark = fmt.Sprintf("undone as nvidia-smi says, not verified: %s holds the clock at %d MHz", strings.Join(last.Slowdowns, ", "), last.SM)
	case f.above():
		return results.RestoredFailed, fmt.Errorf("gpu %s still runs at %d MHz under load, where it ran at %d MHz before it was locked", f.GPU, last.SM, f.LoadedAt)
	default:
		f.Remark = fmt.Sprintf("undone as nvidia-smi says, not verified: the clock stays at %d MHz under load, and what it was before is not known", last.SM)
	}
	return results.RestoredOK, nil
}

// join puts remarks together.
func join(remarks ...string) string {
	return strings.Join(slices.DeleteFunc(remarks, func(r string) bool { return r == "" }), "; ")
}
