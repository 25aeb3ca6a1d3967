package experiments

import (
	"context"
	"encoding/json"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// Attack puts load on an endpoint for d, lets what is under way end, and reports what its users saw, as one
// phase (baseline). It breaks nothing and claims nothing: Exit is ExitHeld if the promised load was put on,
// whatever the server said, ExitUndecided if this machine could not, ExitInterrupted if ctx ended before. The
// error is about cfg, whose Clock, Sink and Run it sets. progress is called each second; nil: nobody looks.
func Attack(ctx context.Context, cfg attacks.Config, d time.Duration, progress func(Snapshot)) (*results.Report, error) {
	plan := &Plan{Experiment: "attack", Seed: cfg.Seed, Phases: PhaseSpec{Baseline: Length{For: d}}}
	r := &Runner{Plan: plan, Progress: progress}
	clock := results.NewClock()
	cfg.Run = nonceRun("attack", clock.Started())
	x, err := r.aim(clock, cfg)
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
