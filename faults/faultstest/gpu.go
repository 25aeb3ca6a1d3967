package faultstest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// A GPU is the state of a scripted nvidia-smi, in a file that its processes share. Its words are
// those of recorded sessions with real ones.
type GPU struct {
	file string
	argv []string
}

// GPUState is what the script plays.
type GPUState struct {
	UUID string
	// Utilization in %; without load the clock idles.
	Utilization int
	// Idle is how many more readings show no load, whatever Utilization is.
	Idle int
	// Max is the clock under load without a lock, in MHz.
	Max int
	// Lock is what -lgc has set; zero: none.
	Lock targets.Clocks
	// Mode is how commands end: "" works; permission, unsupported, driver, lost (done, and exit 255).
	Mode string
	// Stuck: a lock, or its end, has no effect on the clock.
	Stuck bool
	// Clock is what a stuck clock is, in MHz.
	Clock int
	// Reasons is clocks_event_reasons.active.
	Reasons uint64
	MIG     bool
	// Old: a driver that knows clocks_throttle_reasons only, and no persistence_mode.
	Old bool
}

// SMICommand is the argument by which a test binary's TestMain knows that it is nvidia-smi: it
// then calls SMI with the arguments after it.
const SMICommand = "faultstest-nvidia-smi"

// NewGPU returns a GPU under load. program is the test binary, whose TestMain handles SMICommand.
func NewGPU(t *testing.T, program string) *GPU {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gpu.json")
	// A binary with the race detector sleeps for a second before it exits, unless told not to.
	g := &GPU{file: file, argv: []string{"env", "GORACE=atexit_sleep_ms=0", program, SMICommand, file}}
	g.Set(t, func(s *GPUState) {
		*s = GPUState{UUID: "GPU-5c7c1a2e-0000-4b4b-9a70-1b1f0c2d3e4f", Utilization: 90, Max: 1980}
	})
	return g
}

// Spec binds the GPU to a role. Its operator has not locked it.
func (g *GPU) Spec(t *testing.T) targets.GPU {
	t.Helper()
	return targets.GPU{UUID: g.State(t).UUID, SMI: g.argv, Clocks: targets.Unlocked}
}

// State reads what the script plays.
func (g *GPU) State(t *testing.T) GPUState {
	t.Helper()
	s, err := readGPU(g.file)
	must(t, err)
	return s
}

// Set changes what the script plays.
func (g *GPU) Set(t *testing.T, change func(*GPUState)) {
	t.Helper()
	s, err := readGPU(g.file)
	if !errors.Is(err, fs.ErrNotExist) {
		must(t, err)
	}
	change(&s)
	must(t, writeGPU(g.file, s))
}

func readGPU(file string) (s GPUState, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

// writeGPU replaces the file at once: another process may read it.
func writeGPU(file string, s GPUState) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return err
}
