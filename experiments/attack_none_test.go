package experiments_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failwhale/failwhale/results"
)

// public sends the requests of others, of whom failwhale knows nothing, until the test ends.
func (b *bench) public(t *testing.T, every time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var users sync.WaitGroup
	users.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/v1/chat/completions", strings.NewReader("{}"))
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil { // else the test is over
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	})
	t.Cleanup(func() { stop(); users.Wait() })
}

const serverClaims = `
faults: [{config.push: {id: cfg, store: config, set: {serve: false}, ttl: 30s}}]
hypotheses:
  - server.success >= 90% during fault
  - p90(server.ttft) < 50ms during baseline
  - server.requests_per_second >= 50% of baseline during fault
  - max(server.waiting) <= 3 during fault
  - recovery(server.success >= 90%) < 2s
`

// Without a load of ours, what the servers tell of others' requests refutes and holds claims.
func TestAttackNoneIsJudgedByServers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.none = true
	b.public(t, 10*time.Millisecond)
	rep, err := b.run(t.Context(), t, "phases: {warmup: 1s, baseline: 4s, fault: 4s, recovery: 5s}\n"+serverClaims, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitRefuted {
		t.Errorf("Run() = exit %d, %s; want 1", rep.Exit, rep.Why)
	}
	for i, want := range []results.Verdict{results.Refuted, results.Held, results.Held, results.Held, results.Held} {
		if f := rep.Findings[i]; f.Verdict != want {
			t.Errorf("%s: %s, %s (%s); want %s", f.Claim, f.Verdict, f.Observed, f.Why, want)
		}
	}
	if f := rep.Findings[0]; f.N < 100 || !strings.Contains(f.Why, "as the servers count") {
		t.Errorf("finding of success = %+v; want over a hundred requests, counted by the server", f)
	}
	if got := b.read(t); got != goodConfig {
		t.Errorf("config after the run = %s; want %s", got, goodConfig)
	}
}

// Where nobody sends anything, nothing holds and nothing is refuted.
func TestAttackNoneIsUndecidedWithoutTraffic(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.none = true
	rep, err := b.run(t.Context(), t, "phases: {warmup: 0s, baseline: 3s, fault: 3s, recovery: 3s}\n"+
		strings.Replace(serverClaims, "  - server.success >= 90% during fault\n", "", 1)+
		"  - server.success >= 90% during recovery\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	// max(server.waiting) must hold in baseline first, and does not: nobody was there.
	if rep.Exit != results.ExitNotSteady {
		t.Errorf("Run() = exit %d, %s; want 3", rep.Exit, rep.Why)
	}
	for _, f := range rep.Findings {
		if f.Verdict != results.Undecided {
			t.Errorf("%s: %s, %s (%s); want undecided", f.Claim, f.Verdict, f.Observed, f.Why)
		}
	}
}

// A guard looks at what servers tell each second.
func TestAttackNoneEndsAtAGuardOfServers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.none = true
	b.public(t, 10*time.Millisecond)
	rep, err := b.run(t.Context(), t, `
phases: {warmup: 0s, baseline: 3s, fault: 60s}
faults: [{config.push: {store: config, set: {serve: false}, ttl: 120s}}]
guards: [server.error_rate > 50% for 2s]
hypotheses: [server.success >= 1% during baseline]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitRefuted || rep.Duration > 40*time.Second || rep.Findings[1].Verdict != results.Refuted {
		t.Errorf("Run() = exit %d after %s, %s; want 1, ended by the guard", rep.Exit, rep.Duration, rep.Why)
	}
}

// Claims about servers stand beside claims about our own requests.
func TestServersAreJudgedBesideOurLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.metrics = true
	rep, err := b.run(t.Context(), t, "phases: {warmup: 0s, baseline: 4s, fault: 4s}\n"+`
hypotheses:
  - success >= 90% during fault
  - server.success >= 90% during fault
  - mean(server.ttft) <= 150% of baseline during fault
guards: [server.error_rate > 50% for 2s]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitHeld {
		t.Errorf("Run() = exit %d, %s: %+v; want 0", rep.Exit, rep.Why, rep.Findings)
	}
}
