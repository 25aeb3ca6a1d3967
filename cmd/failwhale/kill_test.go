package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// TestKill9 kills a run while each fault is in force: its reaper puts the stack back. Then it kills the run
// and the reaper together: `failwhale revert` does.
func TestKill9(t *testing.T) {
	for _, f := range []struct{ name, fault string }{
		{"region.kill", `region.kill: {region: east, ttl: 90s}`},
		{"region.kill stop", `region.kill: {region: east, mode: stop, ttl: 90s}`},
		{"config.push", `config.push: {store: router_config, set: {pools: null}, ttl: 90s}`},
		{"gpu.throttle", `gpu.throttle: {gpu: east/0, clock: 300, ttl: 90s}`},
		{"dependency.latency", `dependency.latency: {dependency: session_store, latency: 300ms, ttl: 90s}`},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := startStack(t)
			before := s.state(t)
			s.inForce(t, f.fault)
			if during := s.state(t); during == before {
				t.Fatalf("state with %s in force = %s; want it changed", f.fault, during)
			}
			kill(t, s.run.Process.Pid)
			s.returns(t, before)

			s.inForce(t, f.fault)
			reaper := s.reaper(t)
			if err := syscall.Kill(reaper, syscall.SIGSTOP); err != nil { // it must not act on the run's end
				t.Fatal(err)
			}
			kill(t, s.run.Process.Pid)
			kill(t, reaper)
			if during := s.state(t); during == before {
				t.Fatalf("state after kill -9 of run and reaper = %s; want it changed: who undid it?", during)
			}
			if out, err := s.command("revert").CombinedOutput(); err != nil {
				t.Fatalf("failwhale revert: %v\n%s", err, out)
			}
			s.returns(t, before)
		})
	}
}

// A stack is a reference stack in a process of its own, with a state directory for the runs on it.
type stack struct {
	dir, file, journal string
	handle             targets.Handle
	run                *exec.Cmd
}

func startStack(t *testing.T) *stack {
	t.Helper()
	dir := t.TempDir()
	s := &stack{dir: dir, file: filepath.Join(dir, "stack.json"), journal: filepath.Join(dir, "state")}
	s.start(t, "stack", "--resilience", "flawed", "--regions", "east,west", "--write", s.file)
	until(t.Fatalf, "the stack", func() bool { _, err := os.Stat(s.file); return err == nil })
	var err error
	if s.handle, err = targets.ReadHandle(s.file); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stack) command(args ...string) *exec.Cmd {
	cmd := exec.Command("failwhale", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "FAILWHALE_STATE="+s.journal)
	return cmd
}

// start runs failwhale beside the test, and ends it with the test.
func (s *stack) start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	var out bytes.Buffer
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("failwhale %s:\n%s", strings.Join(args, " "), out.String())
		}
	})
	return cmd
}

// inForce starts a run with one fault, and waits until that is in force.
func (s *stack) inForce(t *testing.T, fault string) {
	t.Helper()
	plan := filepath.Join(s.dir, "plan.yaml")
	text := fmt.Sprintf(`
experiment: kill
stack: {reference: {}}
attack: {profile: {constant: {rate: 30/s}}, workload: {prompt_tokens: 400, output_tokens: 20}, clients: [{deadline: 5s}]}
phases: {warmup: 0s, baseline: 3s, fault: 80s}
faults:
  - %s
hypotheses:
  - success >= 50%% during fault
`, fault)
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run = s.start(t, "run", "--stack", s.file, plan)
	until(t.Fatalf, fault+" in force", func() bool { return inJournal(s.journal, "in force") })
}

// reaper finds the process that watches the run: its command line names the journal and the run's process. The one of
// a run before may still be on its way out.
func (s *stack) reaper(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Skip("there is no /proc to find the reaper in")
	}
	own := fmt.Appendf(nil, `"pid":%d,`, s.run.Process.Pid)
	for _, file := range all {
		line, _ := os.ReadFile(file)
		if words := bytes.Split(line, []byte{0}); len(words) > 4 && string(words[1]) == "reaper" && strings.HasPrefix(string(words[2]), s.journal) && bytes.Contains(words[4], own) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the run has no reaper")
	return 0
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill -9 %d: %v", pid, err)
	}
	until(t.Fatalf, "a process's end", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ") // not waited for yet
	})
}

// returns waits until the stack is what it was, and serves.
func (s *stack) returns(t *testing.T, before string) {
	t.Helper()
	var now string
	until(t.Fatalf, "the stack to be as before", func() bool { now = s.state(t); return now == before })
	until(t.Errorf, "every region to serve", func() bool {
		text, _ := os.ReadFile(s.file)
		return served(string(text), 20) == nil
	})
	// Who undoes a fault writes it down after it is done; the next fault must find a journal that is at rest.
	until(t.Fatalf, "a journal with no fault in force", func() bool { return !inJournal(s.journal, "in force") })
}

// state is all of the stack that the faults change: processes, config, locked clocks, links.
func (s *stack) state(t *testing.T) string {
	t.Helper()
	var processes map[string]struct{ State string }
	if err := json.Unmarshal(s.get(t, s.handle.Supervisor.URL+"/v1/processes"), &processes); err != nil {
		t.Fatal(err)
	}
	var proxy struct {
		Links []struct {
			Name  string
			Fault json.RawMessage
		}
	}
	dependency := s.handle.Dependencies["session_store"]
	if err := json.Unmarshal(s.get(t, dependency.Control+"/v1/links"), &proxy); err != nil {
		t.Fatal(err)
	}
	slow := map[string]bool{}
	for _, l := range proxy.Links {
		slow[l.Name] = len(l.Fault) > 0 && string(l.Fault) != "null"
	}
	config := s.get(t, s.handle.Stores["router_config"].URL)
	return fmt.Sprintf("regions %s; links slow %v; config %q; clocks locked to %d MHz",
		processes["region-east"].State, slow, config, s.clocks(t))
}

// clocks is what the driver of region east's first GPU has it locked to; 0 is not locked.
func (s *stack) clocks(t *testing.T) (mhz int) {
	t.Helper()
	smi := s.handle.GPUs["east/0"].SMI
	text, err := os.ReadFile(smi[len(smi)-1])
	if err != nil {
		t.Fatal(err)
	}
	var host struct{ GPUs []struct{ Lock string } }
	if err := json.Unmarshal(text, &host); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(host.GPUs[0].Lock)
	if os.IsNotExist(err) {
		return 0
	}
	var lock struct{ Max int }
	if err = errors.Join(err, json.Unmarshal(text, &lock)); err != nil {
		t.Fatal(err)
	}
	return lock.Max
}

func (s *stack) get(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return text
}
