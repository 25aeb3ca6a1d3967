package faults_test

import (
	"os"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// gpu returns a scripted GPU and its handle, as its operator describes it.
func gpu(t *testing.T, clocks string, with func(*faultstest.GPUState)) (*faultstest.GPU, targets.Handle) {
	t.Helper()
	g := faultstest.NewGPU(t, os.Args[0])
	if with != nil {
		g.Set(t, with)
	}
	spec := g.Spec(t)
	spec.Clocks = clocks
	return g, endpoints(func(h *targets.Handle) { h.GPUs = map[string]targets.GPU{"slow": spec} })
}

func throttle() *faults.GPUThrottle { return &faults.GPUThrottle{GPU: "slow", Clock: 600} }

// What cannot be undone, or would harm others, is refused before the first command.
func TestGPUThrottleRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  *faults.GPUThrottle
		clocks string
		with   func(*faultstest.GPUState)
		want   []string
	}{
		{"no parameters", &faults.GPUThrottle{}, "unlocked", nil, []string{"gpu is missing", "either clock"}},
		{"clock and range", &faults.GPUThrottle{GPU: "slow", Clock: 1, Min: 1, Max: 2}, "unlocked", nil, []string{"either clock"}},
		{"half a range", &faults.GPUThrottle{GPU: "slow", Max: 900}, "unlocked", nil, []string{"min 0 and max 900"}},
		{"undo unknown", throttle(), "", nil, []string{"cannot be read back", "clocks: unlocked"}},
		{"undo unreadable", throttle(), "fast", nil, []string{`"fast"`, "MIN,MAX"}},
		{"shared", throttle(), "unlocked", func(s *faultstest.GPUState) { s.MIG = true }, []string{"MIG", "allow_shared"}},
		{"no throttle", &faults.GPUThrottle{GPU: "slow", Clock: 1980}, "unlocked", nil, []string{"1980 MHz at most"}},
		{"no driver", throttle(), "unlocked", func(s *faultstest.GPUState) { s.Mode = "driver" }, []string{"exit 9", "driver is not loaded"}},
		{"unknown GPU", throttle(), "unlocked", func(s *faultstest.GPUState) { s.UUID = "GPU-other" }, []string{"unknown GPU", "nvidia-smi -L"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, h := gpu(t, tt.clocks, nil)
			if tt.with != nil {
				g.Set(t, tt.with)
			}
			wantError(t, "Prepare()", tt.fault.Prepare(t.Context(), attach(t, h)), tt.want...)
		})
	}
}

// Tenants may be slowed down where the plan says so.
func TestGPUThrottleAllowShared(t *testing.T) {
	_, h := gpu(t, "unlocked", func(s *faultstest.GPUState) { s.MIG = true })
	f := throttle()
	f.AllowShared = true
	put(t, f, h)
	must(t, back(t, f, h, results.RestoredOK))
}

// nvidia-smi's exit code says little: its text, and the clock, decide.
func TestGPUThrottleNotInForce(t *testing.T) {
	for _, tt := range []struct {
		name string
		with func(*faultstest.GPUState)
		want []string
	}{
		{"no permission, said on stdout", func(s *faultstest.GPUState) { s.Mode = "permission" }, []string{"exit 4", "SYS_ADMIN", "does not have permission"}},
		{"unsupported, with exit 0", func(s *faultstest.GPUState) { s.Mode = "unsupported" }, []string{"exit 0", "does not support"}},
		{"without effect", func(s *faultstest.GPUState) { s.Stuck, s.Clock = true, 1980 }, []string{"1980 MHz under load", "not in force"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, h := gpu(t, "unlocked", nil)
			f := throttle()
			must(t, f.Prepare(t.Context(), attach(t, h)))
			g.Set(t, tt.with)
			wantError(t, "Inject()", f.Inject(t.Context(), attach(t, h)), tt.want...)
		})
	}
}

// Without load a lock does not show, neither when it comes nor when it goes.
func TestGPUThrottleWithoutLoad(t *testing.T) {
	t.Parallel()
	g, h := gpu(t, "unlocked", func(s *faultstest.GPUState) { s.Utilization = 0 })
	f := throttle()
	put(t, f, h)
	note(t, f, "in force as nvidia-smi says", "no load")
	evidence := func(want int64) {
		t.Helper()
		if e, err := f.Evidence(t.Context(), attach(t, h)); err != nil || e.Touched != want {
			t.Errorf("Evidence() = %+v, %v; want %d", e, err, want)
		}
	}
	evidence(0)
	g.Set(t, func(s *faultstest.GPUState) { s.Utilization = 50 })
	evidence(0) // it may have been as low before
	g.Set(t, func(s *faultstest.GPUState) { s.Utilization = 0 })
	must(t, back(t, f, h, results.RestoredOK))
	note(t, f, "undone as nvidia-smi says", "no load")
}

// A clock that was no higher before shows no lock.
func TestGPUThrottleLowBefore(t *testing.T) {
	t.Parallel()
	_, h := gpu(t, "unlocked", func(s *faultstest.GPUState) { s.Stuck, s.Clock = true, 590 })
	f := throttle()
	put(t, f, h)
	note(t, f, "not verified", "590 MHz under load before")
	e, err := f.Evidence(t.Context(), attach(t, h))
	if err != nil || e.Touched != 0 || !strings.Contains(e.What, "590 MHz") {
		t.Errorf("Evidence() = %+v, %v; want none, and why", e, err)
	}
	must(t, back(t, f, h, results.RestoredOK))
}

// Prepare waits for a moment for load: between two batches there is none.
func TestGPUThrottleWaitsForLoad(t *testing.T) {
	t.Parallel()
	g, h := gpu(t, "unlocked", func(s *faultstest.GPUState) { s.Idle = 3 })
	f := throttle()
	put(t, f, h)
	if f.LoadedAt != 1980 || f.Seen == 0 {
		t.Errorf("clock before = %d, seen %d times; want 1980, and seen", f.LoadedAt, f.Seen)
	}
	if left := g.State(t).Idle; left != 0 {
		t.Errorf("%d idle readings are left, want none", left)
	}
	must(t, back(t, f, h, results.RestoredOK))
}

// Heat holds a clock down as a lock does: what is seen then proves nothing.
func TestGPUThrottleConfounded(t *testing.T) {
	g, h := gpu(t, "unlocked", func(s *faultstest.GPUState) { s.Reasons = 0x48 })
	f := throttle()
	put(t, f, h)
	note(t, f, "confounded by hw_slowdown, hw_thermal_slowdown")
	e, err := f.Evidence(t.Context(), attach(t, h))
	if err != nil || e.Touched != 0 {
		t.Errorf("Evidence() under heat = %+v, %v; want none", e, err)
	}
	g.Set(t, func(s *faultstest.GPUState) { s.Stuck, s.Clock = true, 500 })
	must(t, back(t, f, h, results.RestoredOK))
	note(t, f, "not verified", "hw_thermal_slowdown", "500 MHz")
}

// An operator's own lock comes back, not the driver's freedom.
func TestGPUThrottleBringsBackTheOperatorsLock(t *testing.T) {
	for clocks, want := range map[string]targets.Clocks{"210, 1200": {Min: 210, Max: 1200}, "300,500": {Min: 300, Max: 500}} {
		g, h := gpu(t, clocks, nil)
		f := &faults.GPUThrottle{GPU: "slow", Min: 300, Max: 600}
		put(t, f, h)
		must(t, back(t, f, h, results.RestoredOK))
		if got := g.State(t).Lock; got != want {
			t.Errorf("clocks %q: after Revert the lock is %s, want %s", clocks, got, want)
		}
		if want.Max < 600 {
			note(t, f, "no higher than the fault's lock")
		}
	}
}

// An undo whose effect does not show, where it did before, is none.
func TestGPUThrottleUndoWithoutEffect(t *testing.T) {
	t.Parallel()
	g, h := gpu(t, "unlocked", nil)
	f := throttle()
	put(t, f, h)
	g.Set(t, func(s *faultstest.GPUState) { s.Stuck, s.Clock = true, 600 })
	wantError(t, "Revert()", back(t, f, h, results.RestoredFailed), "600 MHz under load", "1980 MHz before")
}

// Old drivers call a field otherwise and do not know another.
func TestGPUThrottleOldDriver(t *testing.T) {
	g, h := gpu(t, "unlocked", func(s *faultstest.GPUState) { s.Old, s.Reasons = true, 0x8 })
	f := throttle()
	put(t, f, h)
	note(t, f, "hw_slowdown")
	g.Set(t, func(s *faultstest.GPUState) { s.Reasons = 0 })
	must(t, back(t, f, h, results.RestoredOK))
}
