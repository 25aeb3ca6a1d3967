package faults_test

import (
	"testing"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// What cannot be taken away, or must not, is refused before anything is touched.
func TestRegionKillRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault faults.RegionKill
		state string // of west
		want  []string
	}{
		{"unknown region", faults.RegionKill{Region: "north"}, targets.ProcessRunning, []string{`"north"`, "[east west]"}},
		{"no region", faults.RegionKill{}, targets.ProcessRunning, []string{"[east west]"}},
		{"already down", faults.RegionKill{Region: "west"}, targets.ProcessHeld, []string{"west is held", "bring it back"}},
		{"the last", faults.RegionKill{Region: "east"}, targets.ProcessStopped, []string{"only one that runs", "allow_last"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := faultstest.NewSupervisor(t, "east", "west")
			s.SetState("west", tt.state)
			wantError(t, "Prepare()", tt.fault.Prepare(t.Context(), attach(t, s.Handle())), tt.want...)
		})
	}
}

// The last region may be lost where the plan says so.
func TestRegionKillAllowLast(t *testing.T) {
	s := faultstest.NewSupervisor(t, "east")
	f := &faults.RegionKill{Region: "east", AllowLast: true}
	put(t, f, s.Handle())
	must(t, back(t, f, s.Handle(), results.RestoredOK))
}

// A supervisor's word is not enough, neither for the harm nor for its undo.
func TestRegionKillLooks(t *testing.T) {
	s := faultstest.NewSupervisor(t, "east", "west")
	f := &faults.RegionKill{Region: "east"}
	must(t, f.Prepare(t.Context(), attach(t, s.Handle())))
	s.Trouble(faultstest.Ignore)
	wantError(t, "Inject()", f.Inject(t.Context(), attach(t, s.Handle())), "east is running", "held")
	s.SetState("east", targets.ProcessStopped)
	wantError(t, "Revert()", back(t, f, s.Handle(), results.RestoredFailed), "east is stopped after it was started")
	s.Trouble(faultstest.Refuse)
	wantError(t, "Revert()", back(t, f, s.Handle(), results.RestoredFailed), "start region east", "supervisor refuses")
	s.Trouble(faultstest.None)
	s.SetState("east", targets.ProcessRestarting)
	must(t, back(t, f, s.Handle(), results.RestoredOK))
}

// A region that runs may not serve yet: only then is nothing left to undo.
func TestRegionKillWaitsUntilItServes(t *testing.T) {
	s := faultstest.NewSupervisor(t, "east", "west")
	f := &faults.RegionKill{Region: "east"}
	must(t, f.Prepare(t.Context(), attach(t, s.Handle())))
	gate := s.Hang("start done")
	done := make(chan error, 1)
	go func() { done <- back(t, f, s.Handle(), results.RestoredUnneed) }()
	<-gate.Entered // it runs, and was started all the same
	gate.Release()
	must(t, <-done)
}

// A stack that counts nothing still shows that the region is away.
func TestRegionKillWithoutCounter(t *testing.T) {
	s := faultstest.NewSupervisor(t, "east", "west")
	h := s.Handle()
	h.Regions["east"] = targets.Region{Process: "region-east"}
	f := &faults.RegionKill{Region: "east"}
	put(t, f, h)
	for _, want := range []int64{1, 0} {
		e, err := f.Evidence(t.Context(), attach(t, h))
		if err != nil || e.Touched != want {
			t.Errorf("Evidence() = %+v, %v; want %d touched", e, err, want)
		}
		must(t, func() error { _, err := f.Revert(t.Context(), attach(t, h)); return err }())
	}
}

// Only two words are modes.
func TestKillModeText(t *testing.T) {
	var m faults.KillMode
	wantError(t, `UnmarshalText("nuke")`, m.UnmarshalText([]byte("nuke")), `"nuke"`, "[kill stop]")
}
