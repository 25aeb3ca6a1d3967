package targets_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// says returns a GPU whose nvidia-smi prints text and exits with code, whatever it is asked.
func says(t *testing.T, text, code string) *targets.GPUControl {
	t.Helper()
	file := filepath.Join(t.TempDir(), "said")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	g, err := attach(t, handle(func(h *targets.Handle) {
		h.GPUs = map[string]targets.GPU{"g": {UUID: "GPU-1", SMI: []string{"sh", "-c", `cat "$0"; exit "$1"`, file, code}}}
	})).GPU("g")
	must(t, err)
	return g
}

// Tables as real drivers print them: other orders, other names, warnings around them.
func TestGPURead(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       targets.GPUReading
	}{
		{
			"reordered and renamed",
			"utilization.gpu [%], clocks.current.sm [MHz], uuid, clocks.max.sm [MHz], mig.mode.current, persistence_mode, clocks_event_reasons.active\n" +
				"97 %, 1230 MHz, GPU-1, 1980 MHz, [N/A], Enabled, 0x0000000000000004\n",
			targets.GPUReading{UUID: "GPU-1", SM: 1230, MaxSM: 1980, Utilization: 97, Persistence: true, Slowdowns: []string{"sw_power_cap"}},
		},
		{
			"two GPUs and a warning",
			"uuid, clocks.sm [MHz], utilization.gpu [%], mig.mode.current, persistence_mode\n" +
				"GPU-0, 300 MHz, 0 %, Disabled, Enabled\nGPU-1, 345 MHz, 0 %, Enabled, Disabled\n" +
				"WARNING: infoROM is corrupted at gpu 0000:07:00.0\n",
			targets.GPUReading{UUID: "GPU-1", SM: 345, MIG: true},
		},
		{
			"an old driver, heat",
			"uuid, clocks.current.sm [MHz], clocks.max.sm [MHz], utilization.gpu [%], clocks_throttle_reasons.active\n" +
				"GPU-1, 900 MHz, [N/A], 5 %, 0x0000000000000068\n",
			targets.GPUReading{UUID: "GPU-1", SM: 900, Utilization: 5, Persistence: true, Slowdowns: []string{"hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown"}},
		},
	} {
		got, err := says(t, tt.text, "0").Read(t.Context())
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: Read() = %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// What cannot be read is an error that quotes what was printed.
func TestGPUReadErrors(t *testing.T) {
	for _, tt := range []struct {
		name, text, code string
		want             []string
	}{
		{"no table", "hello\n", "0", []string{"no header", "hello"}},
		{"another GPU", "uuid, clocks.sm [MHz], utilization.gpu [%]\nGPU-2, 1 MHz, 1 %\n", "0", []string{"no GPU GPU-1"}},
		{"no clock", "uuid, clocks.sm [MHz], utilization.gpu [%]\nGPU-1, [N/A], 1 %\n", "0", []string{"[N/A]", "clocks.sm", "cannot be told"}},
		{"a field that it must know", "Field \"clocks.sm\" is not a valid field to query.\n", "2", []string{"exit 2", "clocks.sm"}},
		{"lost", "Unable to determine the device handle for GPU0000:07:00.0: GPU is lost.  Reboot the system to recover this GPU\n", "15", []string{"lost", "reset"}},
	} {
		_, err := says(t, tt.text, tt.code).Read(t.Context())
		wantError(t, tt.name+": Read()", err, append(tt.want, "gpu g")...)
	}
}

// Success has to be said, whatever the exit code.
func TestGPUSuccessIsSaid(t *testing.T) {
	silent := says(t, "", "0")
	_, err := silent.Lock(t.Context(), targets.Clocks{Min: 1, Max: 2})
	wantError(t, "Lock()", err, "does not say that it set")
	_, err = silent.Unlock(t.Context())
	wantError(t, "Unlock()", err, "does not say that it is done")
	loud := says(t, "GPU clocks set to \"(gpuClkMin 1000, gpuClkMax 1000)\" for GPU 00000000:07:00.0\nAll done.\n", "0")
	if _, err := loud.Lock(t.Context(), targets.Clocks{Min: 1000, Max: 1000}); err != nil {
		t.Errorf("Lock() = %v, want nil", err)
	}
	if _, err := loud.Unlock(t.Context()); err != nil {
		t.Errorf("Unlock() = %v, want nil", err)
	}
}

// A lock cannot be read back, so its operator has to say.
func TestGPUOperator(t *testing.T) {
	for clocks, want := range map[string]targets.Clocks{"unlocked": {}, "210,1980": {Min: 210, Max: 1980}, " 210 , 1980 ": {Min: 210, Max: 1980}} {
		g := gpuOf(t, clocks, false)
		if got, err := g.Operator(); err != nil || got != want {
			t.Errorf("Operator() with clocks %q = %v, %v; want %v", clocks, got, err, want)
		}
	}
	for _, clocks := range []string{"", "fast", "1980", "1980,210", "0,0", "-1,5"} {
		if got, err := gpuOf(t, clocks, false).Operator(); err == nil {
			t.Errorf("Operator() with clocks %q = %v, nil; want an error", clocks, got)
		}
	}
	if got, err := gpuOf(t, "", true).Operator(); err != nil || got != (targets.Clocks{}) {
		t.Errorf("Operator() of a reference stack = %v, %v; want unlocked", got, err)
	}
}

func gpuOf(t *testing.T, clocks string, reference bool) *targets.GPUControl {
	t.Helper()
	g, err := attach(t, handle(func(h *targets.Handle) {
		h.GPUs = map[string]targets.GPU{"g": {UUID: "GPU-1", Clocks: clocks}}
		if reference {
			h.Reference = new(targets.Reference)
		}
	})).GPU("g")
	must(t, err)
	return g
}
