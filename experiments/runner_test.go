package experiments_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// TestMain lets the test binary be the reaper that a run starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "reaper" {
		if err := faults.ReaperCommand(context.Background(), os.Args[2:], os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A bench is a server whose answers depend on a config file, and all that a run on it needs.
type bench struct {
	dir, config string
	url         string
	kinds       []faults.Kind
	hangs       bool   // the first request, for as long as its client waits
	more        string // endpoints, as lines of YAML
	attack      string // beside the profile
	none        bool   // there is no load, and its page is read
	metrics     bool   // its page is read
	served      atomic.Int64

	good, failed atomic.Int64 // as its page tells
}

// answerTime is what a good answer takes: it bounds what users who wait for theirs send.
const answerTime = 40 * time.Millisecond

const goodConfig = `{"serve": true, "note": "as it was"}`

// newBench serves chats while its config file says so, and answers 500 while not.
func newBench(t *testing.T, more ...faults.Kind) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir(), kinds: append(faults.Kinds(), more...)}
	b.config = filepath.Join(b.dir, "config.json")
	b.write(t, goodConfig)
	var first atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			b.page(w)
			return
		}
		b.served.Add(1)
		if b.hangs && !first.Swap(true) {
			_, _ = io.Copy(io.Discard, r.Body) // only then is the client's end seen
			<-r.Context().Done()
			return
		}
		text, err := os.ReadFile(b.config)
		if err != nil || !strings.Contains(string(text), `"serve": true`) {
			b.failed.Add(1)
			http.Error(w, `{"error": {"message": "bad config", "type": "server_error"}}`, http.StatusInternalServerError)
			return
		}
		b.good.Add(1)
		time.Sleep(answerTime)
		w.Header().Set("Content-Type", "text/event-stream")
		for range 5 {
			fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"finish_reason\":null}]}\n\n")
			_ = http.NewResponseController(w).Flush() // a client that has left is no news
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,\"total_tokens\":14}}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// page is what the server tells of itself, as vLLM does: every request that it served had its first token after 40 ms.
func (b *bench) page(w io.Writer) {
	served, failed := b.good.Load(), b.failed.Load()
	fmt.Fprintf(w, `# TYPE vllm:request_success counter
vllm:request_success_total{finished_reason="stop"} %d
vllm:request_success_total{finished_reason="error"} %d
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total %d
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting %[5]d
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.02"} 0
vllm:time_to_first_token_seconds_bucket{le="0.05"} %[1]d
vllm:time_to_first_token_seconds_bucket{le="+Inf"} %[1]d
vllm:time_to_first_token_seconds_sum %[4]g
vllm:time_to_first_token_seconds_count %[1]d
`, served, failed, 5*served, 0.04*float64(served), min(3, served))
}

func (b *bench) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) read(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// run executes a plan whose stack is the bench.
func (b *bench) run(ctx context.Context, t *testing.T, rest string, progress func(experiments.Snapshot)) (*results.Report, error) {
	t.Helper()
	more := b.more
	// Users who wait for their answers: for them no machine is too slow.
	attack := fmt.Sprintf("{profile: {concurrency: {users: 3}}, %s}", cmp.Or(b.attack, "clients: [{deadline: 10s}]"))
	if b.none {
		attack = "none"
	}
	if b.metrics || b.none {
		more += fmt.Sprintf("  metrics: {server: {url: %q}}\n", b.url+"/metrics")
	}
	text := fmt.Sprintf(`
experiment: bench
stack:
  endpoints:
    server: {url: %q}
%s
  stores: {config: {file: %q}}
attack: %s
%s`, b.url, more, b.config, attack, rest)
	plan, err := experiments.Load("bench.yaml", []byte(text), experiments.LoadOptions{Kinds: b.kinds})
	if err != nil {
		t.Fatal(err)
	}
	stack, err := targets.Open(ctx, plan.Stack, targets.Launcher{})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := faults.OpenJournal(filepath.Join(b.dir, "journal"), b.kinds[len(faults.Kinds()):]...)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := results.CreateRunDir(filepath.Join(b.dir, "runs"), "bench", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := experiments.Runner{
		Plan: plan, Stack: stack, Journal: journal, Reaper: []string{self, "reaper"}, Dir: dir,
		Environment: map[string]string{}, LookupEnv: os.LookupEnv, Progress: progress,
	}
	return r.Run(ctx)
}

// shortPhases last until there is enough to judge by, however slow the machine.
const shortPhases = "phases: {warmup: 0s, baseline: {until: samples >= 50, max: 1m}, fault: {until: samples >= 50, max: 1m}, recovery: 2s}\n"

// kinds lists the events of a fault, or of the run itself, in order.
func kinds(rep *results.Report) []results.EventKind {
	var all []results.EventKind
	for _, e := range rep.Events {
		all = append(all, e.Kind)
	}
	return all
}

// A fault that breaks the server refutes what it breaks, and is gone after its phase.
func TestRunnerRefutesAndPutsBack(t *testing.T) {
	t.Parallel()
	shown := make(chan struct{}) // that cfg is in force: the phase goes on from there
	b := newBench(t, deeds(func(ctx context.Context) error {
		select {
		case <-shown:
		case <-ctx.Done():
		}
		return ctx.Err()
	}))
	var once sync.Once
	rep, err := b.run(t.Context(), t, shortPhases+`
faults:
  - config.push: {id: cfg, store: config, set: {serve: false}, ttl: 2m}
  - deed: {name: shown, ttl: 2m}
hypotheses: [success >= 90% during fault, recovery(success >= 90%) < 2s]
`, func(s experiments.Snapshot) {
		if slices.Equal(s.Faults, []string{"cfg"}) {
			once.Do(func() { close(shown) })
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitRefuted || rep.Findings[0].Verdict != results.Refuted || rep.Findings[1].Verdict != results.Held {
		t.Errorf("Run() = exit %d, %s: %+v; want 1: the first claim refuted, the second held", rep.Exit, rep.Why, rep.Findings)
	}
	if got := rep.Faults[0]; got.Restored != results.RestoredOK || got.Injected == 0 || got.RevertedAt < got.InForce {
		t.Errorf("fault = %+v; want it injected, then restored", got)
	}
	if got := b.read(t); got != goodConfig {
		t.Errorf("config after the run = %s; want %s", got, goodConfig)
	}
	if rep.Faults[1].Injected == 0 {
		t.Error("no snapshot had cfg alone in force")
	}
}

// A guard ends the run long before its phases would.
func TestRunnerEndsAtAGuard(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rep, err := b.run(t.Context(), t, `
phases: {warmup: 0s, baseline: 2s, fault: 60s, recovery: 60s}
faults: [{config.push: {store: config, set: {serve: false}, ttl: 120s}}]
guards: [success < 50% for 2s]
hypotheses: [success >= 1% during fault]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitRefuted || rep.Duration > 40*time.Second {
		t.Errorf("Run() = exit %d after %s, %s; want 1, ended by the guard", rep.Exit, rep.Duration, rep.Why)
	}
	if got := kinds(rep); !slices.Contains(got, results.EventGuard) || got[len(got)-1] != results.EventEnd {
		t.Errorf("events = %v; want the guard's among them and an end", got)
	}
	if got := b.read(t); got != goodConfig {
		t.Errorf("config after the run = %s; want %s", got, goodConfig)
	}
}

// When the user has had enough, faults are undone and what there is is judged.
func TestRunnerIsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	rep, err := b.run(ctx, t, `
phases: {warmup: 0s, baseline: 2s, fault: 60s}
faults: [{config.push: {store: config, set: {serve: false}, ttl: 120s}}]
hypotheses: [success >= 1% during fault]
`, func(s experiments.Snapshot) {
		if len(s.Faults) > 0 {
			cancel(errors.New("the user has had enough"))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitInterrupted || !strings.Contains(rep.Why, "had enough") {
		t.Errorf("Run() = exit %d, %s; want 130, because the user had enough", rep.Exit, rep.Why)
	}
	if got := b.read(t); got != goodConfig {
		t.Errorf("config after the run = %s; want %s", got, goodConfig)
	}
}

// A deed is no harm of ours: what somebody else does once the faults before it are in force.
type deed struct {
	Name string `yaml:"name" json:"name"`
	do   func(ctx context.Context) error
}

func (*deed) Prepare(context.Context, *targets.Stack) error { return nil }

func (d *deed) Inject(ctx context.Context, _ *targets.Stack) error { return d.do(ctx) }

func (*deed) Evidence(context.Context, *targets.Stack) (results.Evidence, error) {
	return results.Evidence{Touched: 1, What: "deeds done"}, nil
}

func (*deed) Revert(context.Context, *targets.Stack) (results.Restored, error) {
	return results.RestoredUnneed, nil
}

// deeds is the kind of such a fault.
func deeds(do func(ctx context.Context) error) faults.Kind {
	return faults.Kind{Name: "deed", Doc: "is done by somebody else", New: func() faults.Fault { return &deed{do: do} }}
}

// Who mends the config by hand meanwhile keeps the mended one, and is told.
func TestRunnerLeavesAnothersChangeAlone(t *testing.T) {
	t.Parallel()
	var b *bench
	const theirs = `{"serve": true, "note": "mended by hand"}`
	b = newBench(t, deeds(func(context.Context) error {
		return os.WriteFile(b.config, []byte(theirs), 0o600)
	}))
	rep, err := b.run(t.Context(), t, shortPhases+`
faults:
  - config.push: {store: config, set: {serve: false}, ttl: 2m}
  - deed: {name: mended, ttl: 2m}
hypotheses: [success >= 1% during fault]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitHarm || rep.Faults[0].Restored != results.RestoredDrift {
		t.Errorf("Run() = exit %d, %s; want 6: drifted", rep.Exit, rep.Faults[0].Restored)
	}
	if got := b.read(t); got != theirs {
		t.Errorf("config after the run = %s; want %s", got, theirs)
	}
}

// Two faults on one file come off in the order in which only that can work.
func TestRunnerUndoesNewestFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rep, err := b.run(t.Context(), t, shortPhases+`
faults:
  - config.push: {id: first, store: config, set: {note: first}, at: 0s, ttl: 2m}
  - config.push: {id: second, store: config, set: {note: second}, at: 500ms, ttl: 2m}
hypotheses: [success >= 90% during fault]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := rep.Faults[0], rep.Faults[1]
	if rep.Exit != results.ExitHeld || first.RevertedAt < second.RevertedAt {
		t.Errorf("Run() = exit %d, %s; first reverted at %s, second at %s; want 0, and the second first",
			rep.Exit, rep.Why, first.RevertedAt, second.RevertedAt)
	}
	if got := b.read(t); got != goodConfig {
		t.Errorf("config after the run = %s; want %s", got, goodConfig)
	}
}

// Judged by the requests that ended alone, a server on which one hangs is steady.
func TestRunnerInjectsNothingWhereRequestsHang(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hangs = true
	rep, err := b.run(t.Context(), t, `
phases: {warmup: 0s, baseline: 5s, fault: 2s}
faults: [{config.push: {store: config, set: {serve: false}, ttl: 2m}}]
hypotheses: [success >= 90% during fault]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitNotSteady || rep.Faults[0].Injected != 0 || !strings.Contains(rep.Why, "under way") {
		t.Errorf("Run() = exit %d, %s; want 3 because of what hangs, and nothing injected", rep.Exit, rep.Why)
	}
}

// A fragile fault panics when it is injected, and again when it is asked for evidence.
type fragile struct {
	Name string `yaml:"name" json:"name"`
}

func (*fragile) Prepare(context.Context, *targets.Stack) error { return nil }
func (*fragile) Inject(context.Context, *targets.Stack) error  { panic("not with me") }
func (*fragile) Evidence(context.Context, *targets.Stack) (results.Evidence, error) {
	panic("no evidence but this")
}

func (*fragile) Revert(context.Context, *targets.Stack) (results.Restored, error) {
	return results.RestoredUnneed, nil
}

// A panic is passed on after the undo of what is in force.
func TestRunnerUndoesBeforeItPanics(t *testing.T) {
	t.Parallel()
	b := newBench(t, faults.Kind{Name: "fragile", Doc: "panics", New: func() faults.Fault { return new(fragile) }})
	defer func() {
		if v := recover(); v == nil {
			t.Error("Run() returned; want the panic passed on")
		}
		if got := b.read(t); got != goodConfig {
			t.Errorf("config after the panic = %s; want %s", got, goodConfig)
		}
	}()
	_, err := b.run(t.Context(), t, shortPhases+`
faults:
  - config.push: {store: config, set: {serve: false}, ttl: 2m}
  - fragile: {name: x, at: 500ms, ttl: 2m}
hypotheses: [success >= 1% during fault]
`, nil)
	t.Error(err)
}

// A run that never began leaves no log: that of nothing would be one that its writer was torn from.
func TestRunnerThatCannotBeginLeavesNoLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.attack = "clients: [{key: '${NO_SUCH_VARIABLE}'}]"
	rep, err := b.run(t.Context(), t, shortPhases+"hypotheses: [success >= 90% during fault]\n", nil)
	if rep != nil || !errors.Is(err, experiments.ErrSetup) {
		t.Errorf("Run() = %+v, %v; want no report, and ErrSetup", rep, err)
	}
	if logs, err := filepath.Glob(filepath.Join(b.dir, "runs", "*", filepath.Base(results.RunDir("").Log()))); err != nil || len(logs) > 0 {
		t.Errorf("Run() left %v, %v; want no log", logs, err)
	}
}
