package experiments

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A load is what a run puts on a stack: an *attacks.Attack, or noLoad.
type load interface {
	Run(ctx context.Context) error
	Begin(p results.Phase)
	BeginFor(p results.Phase, length time.Duration)
	Stop()
	Exhausted() bool
	Live() attacks.Live
	Spent() attacks.Spending
}

// noLoad is that of attack: none.
type noLoad struct{}

// Run returns at once.
func (noLoad) Run(context.Context) error { return nil }

// Begin does nothing.
func (noLoad) Begin(results.Phase) {}

// BeginFor does nothing.
func (noLoad) BeginFor(results.Phase, time.Duration) {}

// Stop does nothing.
func (noLoad) Stop() {}

// Exhausted is true.
func (noLoad) Exhausted() bool { return true }

// Live is nothing.
func (noLoad) Live() attacks.Live { return attacks.Live{} }

// Spent is nothing.
func (noLoad) Spent() attacks.Spending { return attacks.Spending{} }

// readable checks that a stack has the pages of metrics that the plan asks for, which of an attached one is known only
// once it is open.
func (r *Runner) readable(pages map[string]targets.Metrics) error {
	asks := func(c Condition) bool { return c.Metric.Server() }
	needed := r.Plan.Attack.None ||
		slices.ContainsFunc(r.Plan.Hypotheses, func(c Claim) bool { return asks(c.Condition) }) ||
		slices.ContainsFunc(r.Plan.Guards, func(g Guard) bool { return asks(g.Condition) })
	if needed && len(pages) == 0 {
		return errors.New("the stack names no page of its servers' metrics, and the plan asks for what they tell")
	}
	return nil
}
