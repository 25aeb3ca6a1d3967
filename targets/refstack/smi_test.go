package refstack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/failwhale/failwhale/targets/refstack"
)

const (
	uuid0 = "GPU-00000000-1111-2222-3333-444444444444"
	uuid1 = "GPU-11111111-2222-3333-4444-555555555555"
)

// A gpuHost is a host file with two GPUs whose region answers with status, or with nothing.
func gpuHost(t *testing.T, status string) (file string, locks [2]string) {
	t.Helper()
	dir := t.TempDir()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, status)
	}))
	url := srv.URL
	if status == "" {
		srv.Close()
	} else {
		t.Cleanup(srv.Close)
	}
	type gpu struct{ UUID, Bus, Lock string }
	var gpus []gpu
	for i, uuid := range []string{uuid0, uuid1} {
		locks[i] = filepath.Join(dir, fmt.Sprintf("lock%d", i))
		gpus = append(gpus, gpu{uuid, fmt.Sprintf("00000000:%d7:00.0", i), locks[i]})
	}
	text, err := json.Marshal(map[string]any{"region": "east", "status": url, "gpus": gpus})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "host.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, locks
}

// Every verb, in nvidia-smi's own words and with its exit codes.
func TestSMI(t *testing.T) {
	const busy = `[{"utilization":87,"sm":1980},{"utilization":0,"sm":345}]`
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"list": {
			[]string{"-L"},
			0,
			"GPU 0: NVIDIA H100 80GB HBM3 (UUID: " + uuid0 + ")\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: " + uuid1 + ")\n",
		},
		"lock a range": {
			[]string{"-i", uuid0, "-lgc", "300,1200"},
			0,
			"GPU clocks set to \"(gpuClkMin 300, gpuClkMax 1200)\" for GPU 00000000:07:00.0\nAll done.\n",
		},
		"lock to one, by index": {
			[]string{"-i", "1", "-lgc", "1000"},
			0,
			"GPU clocks set to \"(gpuClkMin 1000, gpuClkMax 1000)\" for GPU 00000000:17:00.0\nAll done.\n",
		},
		"lock all, long form": {
			[]string{"--lock-gpu-clocks=600,600"},
			0,
			"GPU clocks set to \"(gpuClkMin 600, gpuClkMax 600)\" for GPU 00000000:07:00.0\n" +
				"GPU clocks set to \"(gpuClkMin 600, gpuClkMax 600)\" for GPU 00000000:17:00.0\nAll done.\n",
		},
		"reset":              {[]string{"-i", uuid0, "-rgc"}, 0, "All done.\n"},
		"lock out of range":  {[]string{"-i", "0", "-lgc", "300,5000"}, 2, ""},
		"lock upside down":   {[]string{"-i", "0", "-lgc", "900,300"}, 2, ""},
		"lock malformed":     {[]string{"-i", "0", "-lgc", "fast"}, 2, ""},
		"lock half symbolic": {[]string{"-i", "0", "-lgc", "tdp,300"}, 2, ""},
		"unknown GPU":        {[]string{"-i", "GPU-nobody", "-rgc"}, 6, "No devices were found\n"},
		"unknown field": {
			[]string{"--query-gpu=uuid,nonsense", "--format=csv"},
			2,
			"Field \"nonsense\" is not a valid field to query.\n",
		},
		"query": {
			[]string{"-i", uuid0, "--query-gpu=uuid,clocks.sm,clocks.max.sm,utilization.gpu,mig.mode.current,clocks_throttle_reasons.active", "--format=csv"},
			0,
			"uuid, clocks.current.sm [MHz], clocks.max.sm [MHz], utilization.gpu [%], mig.mode.current, clocks_event_reasons.active\n" +
				uuid0 + ", 1980 MHz, 1980 MHz, 87 %, Disabled, 0x0000000000000000\n",
		},
		"query bare": {
			[]string{"--query-gpu=index,clocks.sm", "--format=csv,noheader,nounits"},
			0,
			"0, 1980\n1, 345\n",
		},
		"query without a format": {[]string{"--query-gpu=uuid"}, 2, ""},
		"nothing to do":          {nil, 2, ""},
		"unknown option":         {[]string{"-pl", "300"}, 2, ""},
		"value missing":          {[]string{"-i"}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file, _ := gpuHost(t, busy)
			var out bytes.Buffer
			code := refstack.SMI(t.Context(), append([]string{"--host", file}, c.args...), &out)
			if code != c.code || out.Len() == 0 || c.want != "" && out.String() != c.want {
				t.Errorf("SMI(%q) = %d and\n%s\nwant %d and\n%s", c.args, code, &out, c.code, c.want)
			}
		})
	}
}

// Without a host file there is no driver.
func TestSMIWithoutDriver(t *testing.T) {
	for _, args := range [][]string{{"-L"}, {"--host", filepath.Join(t.TempDir(), "none"), "-L"}} {
		var out bytes.Buffer
		if code := refstack.SMI(t.Context(), args, &out); code != 9 {
			t.Errorf("SMI(%q) = %d and %q, want 9", args, code, &out)
		}
	}
}

// Where the region's process is gone the GPUs are idle, at a clock that no lock shows in; a lock
// that was refused leaves the one before it.
func TestSMIIdle(t *testing.T) {
	file, locks := gpuHost(t, "")
	query := func() string {
		var out bytes.Buffer
		args := []string{"--host", file, "-i", uuid0, "--query-gpu=utilization.gpu,clocks.sm,power.draw", "--format=csv,noheader,nounits"}
		if code := refstack.SMI(t.Context(), args, &out); code != 0 {
			t.Fatalf("SMI(%q) = %d and %q, want 0", args, code, &out)
		}
		return out.String()
	}
	set := func(want int, args ...string) {
		t.Helper()
		if code := refstack.SMI(t.Context(), append([]string{"--host", file, "-i", uuid0}, args...), &bytes.Buffer{}); code != want {
			t.Fatalf("SMI(%q) = %d, want %d", args, code, want)
		}
	}
	idle := regexp.MustCompile(`^0, 345, \d+\.\d\d\n$`)
	if got := query(); !idle.MatchString(got) {
		t.Errorf("unlocked and idle = %q, want %s", got, idle)
	}
	set(0, "-lgc", "1000,1007")
	if got := query(); !idle.MatchString(got) {
		t.Errorf("locked and idle = %q, want %s", got, idle)
	}
	set(2, "-lgc", "9999")
	text, err := os.ReadFile(locks[0])
	if err != nil || string(text) != `{"min":990,"max":1005}` { // snapped down to steps of 15 from 210
		t.Errorf("lock file = %q (%v), want the lock that was set, snapped to steps", text, err)
	}
	if _, err := os.Stat(locks[1]); !os.IsNotExist(err) {
		t.Errorf("the other GPU's lock file: %v, want none", err)
	}
}
