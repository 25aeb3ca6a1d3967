package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A Runner executes one plan. All its fields but Progress are required.
type Runner struct {
	Plan *Plan
	// Overrides are the command line's settings that Plan has taken already; the log keeps them.
	Overrides map[string]string
	// Stack is open, and stays the caller's to close.
	Stack *targets.Stack
	// Journal is the only door to Inject. The runner owns its entries, not the journal.
	Journal *faults.Journal
	// Reaper is the argv that starts the process which undoes the faults if this one dies.
	Reaper []string
	// Dir is where the run is written.
	Dir results.RunDir
	// Environment describes the machine and program.
	Environment map[string]string
	// LookupEnv resolves ${ENV} references in keys and headers.
	LookupEnv func(string) (string, bool)
	// Progress is called each second from one goroutine. Optional.
	Progress func(Snapshot)
}

// ErrSetup says that a plan is valid and cannot be run here as it is: a variable that it refers to is not set,
// or it does not say which of the stack's endpoints it means. The user can mend that.
var ErrSetup = errors.New("cannot be run as it is")

// ErrHarm says that an undo failed, or found something that it must not touch, where the log could not be told.
var ErrHarm = errors.New("harm may remain")

// Ways for a run to end before its time that the log tells of already when they come up.
var (
	errGuard  = errors.New("a guard was breached")
	errBudget = errors.New("the budget was used up")
	errFault  = errors.New("a fault could not be put in force")
	errGate   = errors.New("the baseline is not steady")
)

// errPanic is why a run ends that its own code brought down.
var errPanic = errors.New("failwhale panicked")

// Run executes the plan and judges the log that it wrote. When ctx ends, the load stops, faults are
// reverted and what there is is judged; faults are reverted on every other way out as well, a panic
// included. An error beside a report is about the run's own machinery: the journal, the log, the reaper.
// An error without one means that nothing was begun.
func (r *Runner) Run(ctx context.Context) (*results.Report, error) {
	if err := os.WriteFile(r.Dir.Plan(), []byte(r.Plan.Source), 0o644); err != nil {
		return nil, fmt.Errorf("write plan: %w", err)
	}
	env, err := json.MarshalIndent(r.Environment, "", "  ")
	if err == nil {
		err = os.WriteFile(r.Dir.Environment(), append(env, '\n'), 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("write environment: %w", err)
	}
	begun, err := r.execute(ctx)
	if !begun {
		return nil, err
	}
	rep, judged := r.judge()
	return rep, errors.Join(err, judged)
}

// execute holds the stack for the run, has a reaper stand by, and plays the experiment into the log.
func (r *Runner) execute(ctx context.Context) (begun bool, err error) {
	lock, err := r.Journal.Lock(ctx, r.Stack.Handle(), r.run())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	var reaper *faults.Reaper
	if len(r.Plan.Faults) > 0 {
		if reaper, err = r.Journal.StartReaper(ctx, r.Reaper, r.run()); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, reaper.Close(context.WithoutCancel(ctx))) }()
	}
	log, err := results.CreateLog(r.Dir.Log())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	x, err := r.begin(log)
	if err == nil {
		err = log.Sync() // from its first moment on the run can be judged, however it ends
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(r.Dir.Log())) // which would be that of a run, and have nothing in it
	}
	x.reaper = reaper
	return true, x.play(ctx, x.script)
}

// run names the run, in the journal and to people.
func (r *Runner) run() string { return filepath.Base(string(r.Dir)) }

// judge judges the log as anybody would later, and writes the report beside it.
func (r *Runner) judge() (*results.Report, error) {
	rep, err := JudgeLog(results.ReadLog(r.Dir.Log()))
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	text, err := os.Create(r.Dir.Text())
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	err = errors.Join(rep.WriteTable(text, results.TableOptions{}), text.Close())
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	file, err := os.Create(r.Dir.Report())
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	if err = errors.Join(rep.WriteJSON(file), file.Close()); err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	return rep, nil
}

// An execution is one run in progress.
type execution struct {
	*Runner
	clock  results.Clock
	rec    *results.Recorder
	judge  *Judge
	recent *recent
	attack load
	beside *readings
	reaper *faults.Reaper // nil: the plan has no faults

	mu    sync.Mutex    // guards what the watcher shows
	now   results.Phase // the phase
	ends  time.Duration // of the phase, at the latest
	doing string        // something beside the phase's own business
	armed []*armed      // not reverted yet, oldest first
	broke bool          // the log has it that the budget was used up
}

// begin makes ready what play needs, and writes the log's header.
func (r *Runner) begin(log results.Sink) (*execution, error) {
	clock := results.NewClock()
	header, err := r.header(clock)
	if err != nil {
		return nil, err
	}
	pages := r.Stack.Handle().Metrics
	cfg, err := r.config(clock)
	if err == nil {
		err = r.readable(pages)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	x, err := r.aim(clock, cfg, pages, log)
	if err != nil {
		return nil, err
	}
	return x, x.rec.Add(results.Record{Header: header})
}

// config is what the plan's attack puts on the stack's endpoints.
func (r *Runner) config(clock results.Clock) (attacks.Config, error) {
	a := r.Plan.Attack
	if a.None {
		return attacks.Config{LookupEnv: r.LookupEnv}, nil
	}
	name, endpoint, err := r.Stack.Endpoint(a.Endpoint)
	others := maps.Clone(r.Stack.Handle().Endpoints)
	delete(others, name)
	return attacks.Config{
		Endpoint: endpoint, Name: name, Others: others,
		Profile: a.Profile, Workload: a.Workload, Clients: a.Clients, Budget: a.Budget,
		Seed: r.Plan.Seed, Run: nonceRun(r.run(), clock.Started()), LookupEnv: r.LookupEnv,
	}, err
}

// aim joins an attack with those who look at it, the log, the judge and the progress line, and with what is read
// beside it.
func (r *Runner) aim(clock results.Clock, cfg attacks.Config, pages map[string]targets.Metrics, logs ...results.Sink) (*execution, error) {
	x := &execution{Runner: r, clock: clock, judge: NewJudge(r.Plan), recent: &recent{}, doing: Preparing}
	sinks := append(logs, x.judge)
	if r.Progress != nil {
		sinks = append(sinks, x.recent)
	}
	x.rec = results.NewRecorder(clock, sinks...)
	cfg.Clock, cfg.Sink = clock, x.rec
	x.attack = noLoad{}
	if !r.Plan.Attack.None {
		attack, err := attacks.New(cfg)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSetup, err)
		}
		x.attack = attack
	}
	var err error
	x.beside, err = newReadings(pages, clock, x.rec, cfg.LookupEnv)
	return x, err
}

func (r *Runner) header(clock results.Clock) (*results.Header, error) {
	stack, err := json.Marshal(r.Stack.Handle())
	if err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	return &results.Header{
		Version: results.LogVersion, Started: clock.Started(), Experiment: r.Plan.Experiment, Plan: r.Plan.Source,
		Overrides: r.Overrides, Seed: r.Plan.Seed, Environment: r.Environment, Stack: stack,
	}, nil
}

// nonceRun tells this run's nonces from those of every other, in eight hex digits.
func nonceRun(name string, started time.Time) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d", name, started.UnixNano())
	return fmt.Sprintf("%08x", h.Sum32())
}

// play runs a script under load and, on every way out, puts things back before anything else. Its error is
// only what keeps the log from telling the story.
func (x *execution) play(ctx context.Context, script func(context.Context) error) (err error) {
	background := context.WithoutCancel(ctx)
	phases, abort := context.WithCancelCause(ctx)
	load, cut := context.WithCancel(background)
	watching, stopWatching := context.WithCancel(background)
	attacked, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(attacked)
		defer recovered(abort)
		if err := x.attack.Run(load); err != nil {
			abort(fmt.Errorf("attack: %w", err))
		}
	}()
	go func() {
		defer close(watched)
		defer recovered(abort)
		x.watch(watching, abort)
	}()
	x.beside.start(background, abort)
	why := errPanic
	defer func() {
		err = errors.Join(err, x.revertAll(phases))
		if why == nil { // the watcher's or the attack's, if any
			why = context.Cause(phases)
		}
		err = errors.Join(err, x.balance(nil)) // it may have been used up since the watcher looked
		early := why != nil && !errors.Is(why, errGate) && !errors.Is(why, errBudget)
		if early {
			err = errors.Join(err, x.explain(ctx, why))
			cut()
		}
		err = errors.Join(err, x.endLoad(ctx, attacked, cut, early))
		x.beside.end()
		stopWatching()
		<-watched
		abort(nil)
		cut()
		err = errors.Join(err, x.tell(results.Event{Kind: results.EventEnd}))
	}()
	why = script(phases)
	return nil
}

// recovered turns a panic of a goroutine into the end of the run: what is in force is undone first.
func recovered(abort context.CancelCauseFunc) {
	if v := recover(); v != nil {
		abort(fmt.Errorf("%w: %v\n%s", errPanic, v, debug.Stack()))
	}
}

// script is an experiment, from top to bottom. It returns why it did not come to its end.
func (x *execution) script(ctx context.Context) error {
	if err := x.preflight(ctx); err != nil {
		return err
	}
	if err := x.phase(ctx, results.Warmup); err != nil {
		return err
	}
	if err := x.phase(ctx, results.Baseline); err != nil {
		return err
	}
	if err := x.gate(); err != nil {
		return err
	}
	if err := x.faultPhase(ctx); err != nil {
		return err
	}
	return x.phase(ctx, results.Recovery)
}

// gate keeps the faults from a stack that does not even hold its hypotheses without them, and from one of which
// this machine cannot tell.
func (x *execution) gate() error {
	if late := x.judge.GeneratorBound(); late != "" {
		return errors.New(late)
	}
	event := results.Event{Kind: results.EventGate, Detail: x.hanging()}
	if unsteady := x.judge.Gate(); len(unsteady) > 0 {
		f := unsteady[0]
		event.Claim, event.Detail = f.Claim, fmt.Sprintf("%s in baseline: %s", f.Verdict, f.Why)
	}
	if event.Detail == "" {
		return nil
	}
	return errors.Join(errGate, x.tell(event))
}

// A request hangs if it has been under way for this many times as long as those took, on average, that were
// served, and for longer than a healthy server pauses. By those that ended alone, a stack of which a third hangs
// would be steady.
const (
	hangTimes = 10
	hangLeast = 3 * time.Second
)

// hanging says that the baseline has requests that will not end, or "".
func (x *execution) hanging() string {
	oldest := x.attack.Live().Oldest
	for _, p := range x.judge.Report().Phases {
		usual := time.Duration(float64(p.E2E.Mean) * float64(time.Second))
		if p.Phase == results.Baseline && p.E2E.N > 0 && oldest > max(hangLeast, hangTimes*usual) {
			return fmt.Sprintf("a request has been under way for %s, and those that were served took %s", oldest.Round(time.Millisecond), p.E2E.Mean)
		}
	}
	return ""
}

// explain writes down why a run ended early, unless its log says so already.
func (x *execution) explain(ctx context.Context, why error) error {
	switch {
	case errors.Is(why, errGuard), errors.Is(why, errFault):
		return nil
	case ctx.Err() != nil:
		return x.tell(results.Event{Kind: results.EventInterrupt, Detail: context.Cause(ctx).Error()})
	default:
		return x.tell(results.Event{Kind: results.EventError, Detail: why.Error()})
	}
}

// tell writes an event.
func (x *execution) tell(e results.Event) error {
	_, err := x.rec.Event(e)
	return err
}
