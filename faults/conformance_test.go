package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/targets"
)

// Every fault keeps the promises of the interface, on each kind of target that it has.
func TestConformance(t *testing.T) {
	for name, setup := range map[string]func(*testing.T) faultstest.Config{
		"region.kill":               regionKill(""),
		"region.kill by stop":       regionKill(faults.Stop),
		"config.push of a field":    configPush(new(`{"pools": [1, 2]}`), setField()),
		"config.push of a document": configPush(new("old\r\n"), whole("")),
		"config.push of the first":  configPush(nil, whole("{}")),
		"config.push into a file":   configFile,
		"gpu.throttle":              gpuThrottle,
		"dependency.latency":        dependencyLatency,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faultstest.Run(t, setup)
		})
	}
}

func regionKill(mode faults.KillMode) func(*testing.T) faultstest.Config {
	return func(t *testing.T) faultstest.Config {
		t.Helper()
		s := faultstest.NewSupervisor(t, "east", "west")
		return faultstest.Config{
			Kind:    "region.kill",
			New:     func() faults.Fault { return &faults.RegionKill{Region: "east", Mode: mode} },
			Handle:  s.Handle(),
			State:   func(*testing.T) string { return s.State("east") + " " + s.State("west") },
			Traffic: func(*testing.T) { s.Request("east") },
			Trouble: func(_ *testing.T, trouble faultstest.Trouble) { s.Trouble(trouble) },
		}
	}
}

func setField() *faults.ConfigPush {
	return &faults.ConfigPush{Store: "router", Set: map[string]any{"pools": nil}}
}

func whole(body string) *faults.ConfigPush { return &faults.ConfigPush{Store: "router", Body: &body} }

func configPush(body *string, f *faults.ConfigPush) func(*testing.T) faultstest.Config {
	return func(t *testing.T) faultstest.Config {
		t.Helper()
		s := faultstest.NewStore(t, body)
		return faultstest.Config{
			Kind:   "config.push",
			New:    func() faults.Fault { return new(*f) },
			Handle: storeHandle(s.Spec()),
			State: func(*testing.T) string {
				body, ok := s.Body()
				return fmt.Sprintf("%q %t", body, ok)
			},
			Traffic: func(*testing.T) { s.Poll() },
			Trouble: func(_ *testing.T, trouble faultstest.Trouble) { s.Trouble(trouble) },
		}
	}
}

// endpoints is the handle of a real stack.
func endpoints(with func(*targets.Handle)) targets.Handle {
	h := targets.Handle{Version: targets.HandleVersion, ID: "endpoints-test"}
	with(&h)
	return h
}

// A file does not count its readers: that the bytes are in force is all its evidence.
func configFile(t *testing.T) faultstest.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "router.json")
	if err := os.WriteFile(path, []byte(`{"pools":[]}`), 0o640); err != nil {
		t.Fatal(err)
	}
	return faultstest.Config{
		Kind:   "config.push",
		New:    func() faults.Fault { return setField() },
		Handle: storeHandle(targets.Store{File: path}),
		State: func(t *testing.T) string {
			t.Helper()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%q %s", text, info.Mode())
		},
		Static: true,
	}
}

func gpuThrottle(t *testing.T) faultstest.Config {
	t.Helper()
	g := faultstest.NewGPU(t, os.Args[0])
	spec := g.Spec(t)
	return faultstest.Config{
		Kind:   "gpu.throttle",
		New:    func() faults.Fault { return &faults.GPUThrottle{GPU: "slow", Clock: 600} },
		Handle: endpoints(func(h *targets.Handle) { h.GPUs = map[string]targets.GPU{"slow": spec} }),
		State:  func(t *testing.T) string { t.Helper(); return g.State(t).Lock.String() },
		// It has load all along: each look is evidence.
		Traffic: func(*testing.T) {},
		Quiet:   2,
		Trouble: func(t *testing.T, trouble faultstest.Trouble) {
			t.Helper()
			mode := map[faultstest.Trouble]string{faultstest.Refuse: "permission", faultstest.Lose: "lost"}[trouble]
			g.Set(t, func(s *faultstest.GPUState) { s.Mode = mode })
		},
	}
}

func dependencyLatency(t *testing.T) faultstest.Config {
	t.Helper()
	l := faultstest.NewLink(t)
	return faultstest.Config{
		Kind: "dependency.latency",
		New: func() faults.Fault {
			return &faults.DependencyLatency{Dependency: "db", Latency: 5 * time.Millisecond, Jitter: time.Millisecond}
		},
		Handle: linkHandle(l.Spec()),
		State: func(*testing.T) string {
			if l.Fault() != "" {
				return "delayed"
			}
			return "passes through"
		},
		Traffic: func(t *testing.T) { t.Helper(); l.Ping(t) },
	}
}
