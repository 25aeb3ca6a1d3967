package experiments

import (
	"context"
	"encoding/json"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// AttackOptions are what Attack may be told beside the load.
type AttackOptions struct {
	// Duration is how long load is put on. Required, unless the profile ends by itself.
	Duration time.Duration
	// SLO is what goodput counts by. Optional.
	SLO SLO
	// Sinks take every record beside the judge. Optional.
	Sinks []results.Sink
	// Metrics are pages to read beside the load. Optional.
	Metrics map[string]targets.Metrics
	// Progress is called each second. Optional.
	Progress func(Snapshot)
}

// Attack puts load on an endpoint, lets what is under way end, and reports what its users saw, as one
// phase (baseline). It breaks nothing and claims nothing: Exit is ExitHeld if the promised load was put on,
// whatever the server said, ExitUndecided if this machine could not, ExitInterrupted if ctx ended before. The
// error is about cfg, whose Clock, Sink and Run it sets.
func Attack(ctx context.Context, cfg attacks.Config, opts AttackOptions) (*results.Report, error) {
	plan := &Plan{Experiment: "attack", Seed: cfg.Seed, SLO: opts.SLO, Phases: PhaseSpec{Baseline: Length{For: opts.Duration}}}
	r := &Runner{Plan: plan, Progress: opts.Progress}
	clock := results.NewClock()
	cfg.Run = nonceRun("attack", clock.Started())
	x, err := r.aim(clock, cfg, opts.Sinks...)
	if err != nil {
		return nil, err
	}
	stack, err := json.Marshal(targets.Handle{Endpoints: map[string]targets.Endpoint{"": {URL: cfg.Endpoint.URL}}})
	if err != nil {
		return nil, err
	}
	header := &results.Header{
		Version: results.LogVersion, Started: clock.Started(), Experiment: plan.Experiment, Seed: cfg.Seed, Stack: stack,
	}
	if err = x.rec.Add(results.Record{Header: header}); err != nil {
		return nil, err
	}
	err = x.play(ctx, func(ctx context.Context) error { return x.phase(ctx, results.Baseline) })
	return x.judge.Report(), err
}
