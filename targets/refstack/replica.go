package refstack

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxCatchUp is how late a step may end and still count from when it was due.
// A later one (the machine stood still, or the process was stopped) is not made
// up for: a GPU does not work ahead after a pause.
const maxCatchUp = 250 * time.Millisecond

// A replica drives one engine with the real clock: one goroutine, one timer.
type replica struct {
	id      int
	name    string       // east/0
	mhz     atomic.Int64 // the SM clock under load
	kick    chan struct{}
	stepped func() // called after each step, without a lock
	iter    func(tokens int)

	mu     sync.Mutex
	engine *Engine
	busy   time.Duration // spent in steps that ended
	began  time.Time     // of the step under way; zero: idle
}

func newReplica(id int, name string, model Model) *replica {
	r := &replica{
		id: id, name: name, kick: make(chan struct{}, 1), engine: NewEngine(model, EngineLimits{}),
		stepped: func() {}, iter: func(int) {},
	}
	r.mhz.Store(NominalMHz)
	return r
}

// run steps the engine until ctx ends. A step is due its length after the
// previous one was due, not after the timer fired: lateness of this process
// does not make the modelled GPU slower.
func (r *replica) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	due := time.Now()
	for {
		d, ok := r.begin(due)
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-r.kick:
				due = time.Now()
				continue
			}
		}
		due = due.Add(d)
		late := time.Since(due)
		if late > maxCatchUp {
			due = due.Add(late)
		}
		if late < 0 {
			timer.Reset(-late)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		} else if ctx.Err() != nil {
			return
		}
		r.end(d)
	}
}

func (r *replica) begin(now time.Time) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.engine.Begin(float64(r.mhz.Load()) / NominalMHz)
	if ok {
		r.began = now
	} else {
		r.began = time.Time{}
	}
	return d, ok
}

func (r *replica) end(d time.Duration) {
	r.mu.Lock()
	tokens := r.engine.End()
	r.busy += d
	r.began = time.Time{}
	r.mu.Unlock()
	r.iter(tokens)
	r.stepped()
}

// add hands the engine a sequence; s.OnToken is called under the replica's lock.
func (r *replica) add(s *Sequence) error {
	r.mu.Lock()
	err := r.engine.Add(s)
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
	return err
}

func (r *replica) cancel(s *Sequence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine.Cancel(s)
}

func (r *replica) stats() EngineStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine.Stats()
}

// busyTime is how long the engine has been stepping, up to now.
func (r *replica) busyTime(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() || now.Before(r.began) {
		return r.busy
	}
	return r.busy + now.Sub(r.began)
}
