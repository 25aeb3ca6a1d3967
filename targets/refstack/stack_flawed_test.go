package refstack_test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/refstack"
)

// A flawed stack loses what its knobs say, and comes back when the cause is gone.
func TestFlawedStack(t *testing.T) {
	s := startStack(t, targets.Flawed)
	s.complete(s.chat(request{nonce: nonce(1), region: "west", output: 3}), nonce(1), 3)

	undo := s.push(nullPools)
	s.eventually("every region crashes again and again", func() bool {
		crashing := 0
		for name, p := range s.processes() {
			if strings.HasPrefix(name, "region-") && p.Restarts >= 2 {
				crashing++
			}
		}
		return crashing == 3
	})
	if !strings.Contains(s.log.String(), "nil pointer dereference") {
		t.Errorf("the log has no nil pointer dereference:\n%s", s.log)
	}
	if c := s.chat(request{region: "west", output: 3}); c.status != http.StatusBadGateway {
		t.Errorf("chat with every region down = %+v, want 502", c)
	}
	undo()
	for _, region := range []string{"west", "east", "central"} {
		s.eventually("region "+region+" serves again", func() bool { return s.chat(request{region: region, output: 3}).done })
	}

	before := s.count(s.Regions["west"].Touched)
	s.order("kill", "region-west", targets.ProcessHeld)
	for range 3 {
		if c := s.chat(request{region: "west", output: 3}); c.status != http.StatusBadGateway || !strings.Contains(c.failed, "bad_gateway") {
			t.Errorf("chat with the home region dead = %+v, want 502 in OpenAI's words", c)
		}
	}
	if got := s.count(s.Regions["west"].Touched); got < before+3 {
		t.Errorf("requests that met region west's failure = %d, want at least %d", got, before+3)
	}
	// The session store is in the first region: without it there is no chat anywhere.
	s.complete(s.chat(request{region: "central", output: 3}), "", 3)
	s.order("kill", "region-east", targets.ProcessHeld)
	if c := s.chat(request{region: "central", output: 3}); c.status != http.StatusInternalServerError || !strings.Contains(c.failed, "session_store_unavailable") {
		t.Errorf("chat without the session store = %+v, want 500", c)
	}
}

// A GPU locked to 300 MHz slows prefill and decoding as the model says, also through the
// region's restart, and is as before when the lock is gone.
func TestClockLock(t *testing.T) {
	s := startStack(t, targets.Hardened)
	measure := func(n int) (ttft, tpot time.Duration) {
		t.Helper()
		var ttfts, tpots []time.Duration
		for i := range n { // medians: a hiccup of the machine makes a first token late, or a last one
			c := s.chat(request{nonce: nonce(i), region: "west", words: 4000, output: 40})
			s.complete(c, nonce(i), 40)
			ttfts, tpots = append(ttfts, c.ttft), append(tpots, c.tpot)
		}
		slices.Sort(ttfts)
		slices.Sort(tpots)
		return ttfts[n/2], tpots[n/2]
	}
	model := refstack.Llama8BH100()
	ratio := func(load refstack.StepLoad) float64 {
		return float64(model.StepTime(load, 300.0/refstack.NominalMHz)) / float64(model.StepTime(load, 1))
	}
	wantTTFT := ratio(refstack.StepLoad{Tokens: 4000, Pairs: 4000 * 2000})
	wantTPOT := ratio(refstack.StepLoad{Tokens: 1, Context: 4000})

	freeTTFT, freeTPOT := measure(5)
	for i := range 2 {
		s.smi(fmt.Sprintf("west/%d", i), "-lgc", "300,300")
	}
	s.order("kill", "region-west", targets.ProcessHeld)
	if got := s.smi("west/0", "--query-gpu=utilization.gpu,clocks.sm", "--format=csv,noheader,nounits"); got != "0, 300\n" {
		t.Errorf("utilization and clock of a dead region's GPU = %q, want 0, 300", got)
	}
	s.order("start", "region-west", targets.ProcessRunning)
	s.eventually("region west serves its users again", func() bool {
		return s.chat(request{region: "west", output: 1}).region == "west"
	})
	slowTTFT, slowTPOT := measure(5)
	if got := s.smi("west/0", "--query-gpu=clocks.sm", "--format=csv,noheader,nounits"); got != "300\n" {
		t.Errorf("clock under load = %q, want 300", got)
	}
	for _, c := range []struct {
		what       string
		slow, free time.Duration
		want       float64
	}{{"time to first token", slowTTFT, freeTTFT, wantTTFT}, {"time per token", slowTPOT, freeTPOT, wantTPOT}} {
		got := float64(c.slow) / float64(c.free)
		t.Logf("%s at 300 MHz: %v, was %v: %.2f times, the model says %.2f", c.what, c.slow, c.free, got, c.want)
		if got < 0.6*c.want || got > 1.5*c.want {
			t.Errorf("%s at 300 MHz is %.2f times that at full clock, want about %.2f", c.what, got, c.want)
		}
	}
	for i := range 2 {
		s.smi(fmt.Sprintf("west/%d", i), "-rgc")
	}
	s.eventually("the GPU is as fast as before", func() bool {
		ttft, _ := measure(1)
		return ttft < (freeTTFT+slowTTFT)/2
	})
}

// However the supervisor ends, nothing of the stack is left: neither a stopped process nor one that serves.
func TestSupervisorsDeathTakesEverything(t *testing.T) {
	for name, end := range map[string]func(*exec.Cmd, io.Closer) error{
		"kill -9":  func(c *exec.Cmd, _ io.Closer) error { return c.Process.Kill() },
		"lifeline": func(_ *exec.Cmd, l io.Closer) error { return l.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "handle.json")
			self := config(dir).Argv[0]
			cmd := exec.CommandContext(t.Context(), self, "stack", dir, file, "hardened")
			log := &syncBuffer{}
			cmd.Stderr = log
			lifeline, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s := &testStack{T: t, log: log}
			s.eventually("the stack serves", func() bool {
				h, err := targets.ReadHandle(file)
				s.Handle = h
				return err == nil
			})
			s.order("stop", "region-west", targets.ProcessStopped)
			pids := s.processes()
			if err := end(cmd, lifeline); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			if name == "lifeline" && err != nil {
				t.Errorf("the supervisor ended with %v after its lifeline did, want success\n%s", err, log)
			}
			for name, p := range pids {
				s.eventually(name+" is gone", func() bool {
					return !targets.ProcessAlive(targets.ProcessID{PID: p.PID, Start: p.Start})
				})
			}
		})
	}
}
