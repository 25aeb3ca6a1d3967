package experiments

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

const (
	// tick is how often conditions are looked at: guards, a phase's until, a fault's time to live.
	tick = 200 * time.Millisecond
	// evidenceEvery is how often a fault in force is asked what it has touched.
	evidenceEvery = time.Second
)

// enter tells the log and the watcher that a phase begins.
func (x *execution) enter(phase results.Phase, limit time.Duration) error {
	x.mu.Lock()
	x.now, x.ends, x.doing = phase, x.clock.Now()+limit, ""
	x.mu.Unlock()
	x.beside.servers.Nudge()
	return x.tell(results.Event{Kind: results.EventPhase, Phase: phase})
}

// phase begins a phase and waits until it has lasted.
func (x *execution) phase(ctx context.Context, phase results.Phase) error {
	length := x.Plan.Phases.Of(phase)
	if length.Limit() == 0 {
		return nil
	}
	if err := x.enter(phase, length.Limit()); err != nil {
		return err
	}
	x.attack.BeginFor(phase, length.Limit())
	end := x.clock.Now() + length.Limit()
	for now := x.clock.Now(); now < end && !x.judge.Reached(phase); now = x.clock.Now() {
		if err := sleep(ctx, min(tick, end-now)); err != nil {
			return err
		}
	}
	return nil
}

// faultPhase injects each fault when it is due, reverts it at its time to live or at the end, newest
// first. Time spent injecting does not count: each fault is in force for as long as the plan says.
func (x *execution) faultPhase(ctx context.Context) error {
	length := x.Plan.Phases.Fault
	if err := x.enter(results.Fault, length.Limit()); err != nil {
		return err
	}
	x.attack.Begin(results.Fault) // until the last revert, however long that takes
	start := x.clock.Now()
	pending := slices.Clone(x.Plan.Faults)
	slices.SortStableFunc(pending, func(a, b FaultPlan) int { return int(a.At - b.At) })
	asked := start
	for {
		now := x.clock.Now()
		switch {
		case len(pending) > 0 && now-start >= pending[0].At:
			if err := x.inject(ctx, pending[0]); err != nil {
				return err
			}
			took := x.clock.Now() - now
			start += took
			x.mu.Lock()
			x.ends += took
			x.mu.Unlock()
			pending = pending[1:]
		case now-start >= length.Limit() || len(pending) == 0 && x.judge.Reached(results.Fault):
			return x.revertAll(ctx)
		case now-asked >= evidenceEvery:
			asked = now
			if err := x.inspect(ctx); err != nil {
				return err
			}
		default:
			next := start + length.Limit()
			if len(pending) > 0 {
				next = min(next, start+pending[0].At)
			}
			if err := sleep(ctx, min(tick, next-now)); err != nil {
				return err
			}
		}
	}
}

// endLoad lets what is under way drain to its own deadlines, unless ctx ends; told: the log has it why.
func (x *execution) endLoad(ctx context.Context, attack <-chan struct{}, cut func(), told bool) error {
	x.attack.Stop()
	x.busy(Draining)
	err := x.tell(results.Event{Kind: results.EventLoadEnd})
	x.beside.servers.Nudge()
	select {
	case <-attack:
	case <-ctx.Done():
		if !told {
			err = errors.Join(err, x.explain(ctx, ctx.Err()))
		}
		cut()
		<-attack
	}
	return errors.Join(err, x.balance(nil))
}

// balance tells the log, once, that the attack's budget was used up, and abort, if not nil, that the phases are over: there
// is no load any more. What is under way comes to its end.
func (x *execution) balance(abort context.CancelCauseFunc) error {
	spent := x.attack.Spent().Spent
	x.mu.Lock()
	known := x.broke
	x.broke = spent != ""
	x.mu.Unlock()
	if known || spent == "" {
		return nil
	}
	err := x.tell(results.Event{Kind: results.EventBudget, Detail: spent})
	if abort != nil {
		abort(errBudget)
	}
	return err
}

// watch looks at guards and shows how it goes, until ctx ends.
func (x *execution) watch(ctx context.Context, abort context.CancelCauseFunc) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	shows, stop := x.show()
	defer stop()
	var died <-chan struct{}
	if x.reaper != nil {
		died = x.reaper.Died()
	}
	shown, tokens, guarded := x.clock.Now(), int64(0), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-died:
			died = nil
			abort(errors.New("the reaper died: nobody would undo the faults of this run if it died too"))
		case <-ticker.C:
		}
		now := x.clock.Now()
		if x.Stack != nil && x.Stack.Gone() {
			abort(errors.New(stackEnded + " in the middle of the run"))
		}
		if err := x.balance(abort); err != nil {
			abort(err)
		}
		if finding, breached := x.judge.Breached(now); breached && !guarded {
			tell := x.tell(results.Event{Kind: results.EventGuard, Claim: finding.Claim, Detail: finding.Why})
			abort(errors.Join(errGuard, tell))
			guarded = true
		}
		if shows != nil && now-shown >= time.Second-tick/2 {
			live := x.attack.Live()
			s := x.snapshot(now)
			s.InFlight = int(live.InFlight)
			s.TokensPerSecond = float64(live.Tokens-tokens) / (now - shown).Seconds()
			shown, tokens = now, live.Tokens
			select {
			case shows <- s:
			default: // the terminal is slower than we are, or stopped
			}
		}
	}
}

// show gives Progress a goroutine of its own: a terminal that blocks must not keep guards from being looked at.
// Nil: nobody looks. stop ends it, after what it is showing.
func (x *execution) show() (shows chan<- Snapshot, stop func()) {
	if x.Progress == nil {
		return nil, func() {}
	}
	c, done := make(chan Snapshot, 1), make(chan struct{})
	go func() {
		defer close(done)
		for s := range c {
			x.Progress(s)
		}
	}()
	return c, func() {
		close(c)
		<-done
	}
}

// busy says what the run does beside the phase's own business; "": nothing.
func (x *execution) busy(doing string) {
	x.mu.Lock()
	x.doing = doing
	x.mu.Unlock()
}

func (x *execution) snapshot(now time.Duration) Snapshot {
	x.mu.Lock()
	s := Snapshot{Phase: x.now, Doing: x.doing, NoLoad: x.Plan.Attack.None}
	if x.Plan.Phases.Of(x.now).Until.Samples == 0 {
		s.Left = max(0, x.ends-now)
	}
	for _, a := range x.armed {
		if a.inForce {
			s.Faults = append(s.Faults, a.id)
		}
	}
	x.mu.Unlock()
	x.recent.fill(&s, now)
	return s
}

// sleep waits for d, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
