package experiments

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// AttackOptions are what Attack may be told beside the load.
type AttackOptions struct {
	// Duration is how long load is put on, at most. Required, unless the profile ends by itself or the config says after
	// how many requests.
	Duration time.Duration
	// SLO is what goodput counts by. Optional.
	SLO SLO
	// Sinks take every record beside the judge. Optional.
	Sinks []results.Sink
	// Metrics are pages to read beside the load. Optional.
	Metrics map[string]targets.Metrics
	// Ready is called once it is known that the attack can be run, before anything is sent. Optional.
	Ready func()
	// Progress is called each second. Optional.
	Progress func(Snapshot)
}

// Attack puts load on an endpoint, lets what is under way end, and reports what its users saw, as one
// phase (baseline). It breaks nothing and claims nothing, so Verdict is Undecided: Exit is ExitHeld if the promised load was put on,
// whatever the server said, ExitUndecided if this machine could not, the budget was used up or no request was due,
// ExitInterrupted if ctx ended before. The error is about cfg, whose Clock, Sink and Run it sets.
func Attack(ctx context.Context, cfg attacks.Config, opts AttackOptions) (*results.Report, error) {
	if opts.Duration <= 0 && !cfg.Profile.Ends(results.Baseline) && cfg.Requests == 0 {
		return nil, fmt.Errorf("%s does not end by itself: say for how long", cfg.Profile)
	}
	plan := &Plan{Experiment: "attack", Seed: cfg.Seed, SLO: opts.SLO, Attack: AttackSpec{Profile: cfg.Profile, Workload: cfg.Workload, Clients: cfg.Clients}, Phases: PhaseSpec{Baseline: Length{For: opts.Duration}}}
	r := &Runner{Plan: plan, Progress: opts.Progress}
	clock := results.NewClock()
	cfg.Run = nonceRun("attack", clock.Started())
	x, err := r.aim(clock, cfg, opts.Metrics, opts.Sinks...)
	if err != nil {
		return nil, err
	}
	pages := map[string]targets.Metrics{}
	for name, m := range opts.Metrics { // without what may be secret
		pages[name] = targets.Metrics{URL: bare(m.URL), Labels: m.Labels}
	}
	stack, err := json.Marshal(targets.Handle{Endpoints: map[string]targets.Endpoint{"": {URL: cfg.Endpoint.URL}}, Metrics: pages})
	if err != nil {
		return nil, err
	}
	header := &results.Header{
		Version: results.LogVersion, Started: clock.Started(), Experiment: plan.Experiment, Seed: cfg.Seed, Stack: stack,
	}
	if err = x.rec.Add(results.Record{Header: header}); err != nil {
		return nil, err
	}
	if opts.Ready != nil {
		opts.Ready()
	}
	err = x.play(ctx, func(ctx context.Context) error { return x.load(ctx, opts.Duration) })
	rep := x.judge.Report()
	rep.Verdict = results.Undecided // nothing was claimed
	if rep.Exit == results.ExitHeld {
		rep.Why = "the load was put on as it was due"
		if !slices.ContainsFunc(rep.Phases, func(p results.PhaseStats) bool { return p.Requests+p.Cancelled > 0 }) {
			rep.Exit, rep.Why = results.ExitUndecided, "no request was due: attack for longer, at a higher rate, or with more of the trace"
		}
	}
	return rep, err
}

// load puts load on for a time, or until the schedule is at its end if that is sooner; 0: only that ends it.
func (x *execution) load(ctx context.Context, length time.Duration) error {
	if err := x.enter(results.Baseline, length); err != nil {
		return err
	}
	x.attack.BeginFor(results.Baseline, length)
	end := x.clock.Now() + length
	for !x.attack.Exhausted() {
		wait := tick
		if length > 0 {
			wait = min(tick, end-x.clock.Now())
		}
		if wait <= 0 {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}
