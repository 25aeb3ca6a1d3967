package calibrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/perfect"
)

// A Level is what was measured at one number of streams.
type Level struct {
	// Streams at a time, as asked for, and InFlight, as it was on average.
	Streams  int     `json:"streams"`
	InFlight float64 `json:"in_flight"`
	// ChunksPerSecond that came while it was measured.
	ChunksPerSecond float64 `json:"chunks_per_second"`
	// Requests that were sent while it was measured, and those of them that were not served whole.
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// TTFT, ITL, Delay, Lag and ServerLate are as in Join.
	TTFT       results.Quantiles `json:"ttft_error"`
	ITL        results.Quantiles `json:"itl_error"`
	Delay      results.Quantiles `json:"delivery_delay"`
	Lag        results.Quantiles `json:"lag"`
	ServerLate results.Quantiles `json:"server_late"`
	// Cores is how much of this process's CPU was used, 1 for one core; ChunksPerCPUSecond what came for it.
	Cores              float64 `json:"cores"`
	ChunksPerCPUSecond float64 `json:"chunks_per_cpu_second"`
	// ServerCores is what the server used.
	ServerCores float64 `json:"server_cores"`
	// OtherCores is about what all other processes of the machine used, where the system says it.
	OtherCores float64 `json:"other_cores"`
	// ResidentPerStream is how much more memory was resident than before, in bytes a stream. With few streams
	// it is mostly what any attack needs. The samples that calibrate keeps are a part of it.
	ResidentPerStream int64 `json:"resident_per_stream_bytes"`
	// GC are the pauses of this process's garbage collector.
	GC results.Quantiles `json:"gc_pauses"`
	// Within: all requests were served whole, and the errors are within the budget. Else Why says what was not.
	Within bool   `json:"within_budget"`
	Why    string `json:"why,omitempty"`
}

// settle is how long a level is given beyond an answer's time until as many streams end as begin.
const settle = 500 * time.Millisecond

func (c *Config) mean() time.Duration { return c.Timing.Mean(c.Tokens) }

// levelTakes is about how long a level takes.
func (c *Config) levelTakes() time.Duration { return 2*c.mean() + settle + c.Measure }

// level runs so many streams at a time: as many requests a second as make that number at the server's speed.
func level(ctx context.Context, cfg Config, streams int) (*Level, error) {
	at := &bench{cfg: cfg, rate: attacks.Rate(float64(streams) / cfg.mean().Seconds()), prompt: 64}
	if err := at.open(ctx); err != nil {
		return nil, err
	}
	defer at.close()
	before, err := resident()
	if err != nil {
		return nil, err
	}
	at.attack.Begin(results.Warmup) // the same load: no connection is new, and no stream alone, when it counts
	at.start(ctx)
	if err := at.wait(ctx, cfg.mean()+settle, nil); err != nil {
		return nil, err
	}
	used, err := at.collect(ctx)
	if err != nil {
		return nil, err
	}
	window := at.watch()
	at.attack.Begin(results.Baseline)
	if err := at.wait(ctx, cfg.Measure, window.look); err != nil {
		return nil, err
	}
	l := window.close()
	at.attack.Stop()
	until, err := at.collect(ctx)
	if err != nil {
		return nil, err
	}
	if err := at.drain(ctx); err != nil {
		return nil, err
	}
	if _, err := at.collect(ctx); err != nil {
		return nil, err
	}
	join := Join{Origin: at.base.Of(at.clock.Started()), From: window.from, To: window.to, Interval: cfg.Timing.Interval}
	join.Add(at.samples, at.answers)
	l.ServerCores = (until - used).Seconds() / window.length().Seconds()
	l.OtherCores = max(0, l.OtherCores-l.ServerCores)
	l.Streams = streams
	l.ResidentPerStream = max(0, window.resident-before) / int64(streams)
	l.fill(&join)
	l.judge(cfg.Budget, &join)
	return l, nil
}

func (l *Level) fill(j *Join) {
	l.Requests, l.Failed = j.Requests, j.Failed
	l.TTFT, l.ITL, l.Delay = j.TTFT.Quantiles(), j.ITL.Quantiles(), j.Delay.Quantiles()
	l.Lag, l.ServerLate = j.Lag.Quantiles(), j.Late.Quantiles()
}

// leastInFlight is the part of the streams that must have run at a time for the level to be that level.
const leastInFlight = 0.9

func (l *Level) judge(b Budget, j *Join) {
	switch {
	case j.Failed > 0:
		l.Why = fmt.Sprintf("%d of %d requests failed: %s", j.Failed, j.Requests, j.Why)
	case l.TTFT.N == 0 || l.ITL.N == 0:
		l.Why = "nothing was measured: measure longer"
	case l.InFlight < leastInFlight*float64(l.Streams):
		l.Why = fmt.Sprintf("only %.0f streams ran at a time", l.InFlight)
	}
	for _, bound := range []struct {
		what       string
		got, bound results.Seconds
	}{
		{"ttft p50", l.TTFT.P50, b.TTFT}, {"itl p50", l.ITL.P50, b.ITL}, {"ttft p99", l.TTFT.P99, b.P99}, {"itl p99", l.ITL.P99, b.P99},
	} {
		if l.Why == "" && bound.got > bound.bound {
			l.Why = fmt.Sprintf("%s is off by %v, over %v", bound.what, bound.got, bound.bound)
		}
	}
	l.Within = l.Why == ""
}

// A bench is an attack on a perfect server.
type bench struct {
	cfg    Config
	rate   attacks.Rate
	prompt int // tokens

	server *perfect.Process
	base   perfect.Timebase
	clock  results.Clock
	attack *attacks.Attack
	ended  chan struct{} // closed once err is set
	err    error
	cancel context.CancelFunc

	answers []perfect.Answer // as collect brought them

	mu      sync.Mutex
	samples []*results.Sample
}

// Add keeps a sample.
func (b *bench) Add(rec results.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.samples = append(b.samples, rec.Sample)
	return nil
}

// open starts the server and prepares the attack.
func (b *bench) open(ctx context.Context) (err error) {
	if b.server, err = perfect.Start(ctx, b.cfg.Server, b.cfg.Timing); err != nil {
		return err
	}
	if b.base, err = perfect.NewTimebase(); err == nil {
		b.clock = results.NewClock()
		b.attack, err = attacks.New(attacks.Config{
			Endpoint: targets.Endpoint{URL: b.server.URL, Labels: map[string]targets.Label{stampLabel: {Header: perfect.Header}}},
			Profile:  attacks.Profile{Constant: &attacks.Constant{Rate: b.rate}},
			Workload: attacks.Workload{{PromptTokens: attacks.Length{Fixed: b.prompt}, OutputTokens: attacks.Length{Fixed: b.cfg.Tokens}}},
			Clients:  []attacks.Client{{Deadline: 2*b.cfg.mean() + patience}},
			Clock:    b.clock, Sink: b, Run: "calibrate",
		})
	}
	if err != nil {
		return errors.Join(err, b.server.Stop())
	}
	debug.FreeOSMemory() // what the level before left is not of this one's streams
	return nil
}

// patience is how much later than twice its time an answer may end on a machine that cannot keep up.
const patience = 10 * time.Second

// start runs the attack until it has ended, or close.
func (b *bench) start(ctx context.Context) {
	ctx, b.cancel = context.WithCancel(ctx)
	b.ended = make(chan struct{})
	go func() {
		defer close(b.ended)
		b.err = b.attack.Run(ctx)
	}()
}

// wait lets the attack run for d, and calls look now and then.
func (b *bench) wait(ctx context.Context, d time.Duration, look func()) error {
	timer, tick := time.NewTimer(d), time.NewTicker(lookEvery)
	defer timer.Stop()
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-b.ended:
			return cmp.Or(b.err, errors.New("the attack ended by itself"))
		case <-tick.C:
			if look != nil {
				look()
			}
		case <-timer.C:
			return nil
		}
	}
}

// lookEvery is how often the process is looked at: rare enough to cost nothing.
const lookEvery = 50 * time.Millisecond

// collect fetches the stamps of the answers that have ended since, and returns what CPU the server has used.
func (b *bench) collect(ctx context.Context) (time.Duration, error) {
	stamps, err := b.server.Stamps(ctx)
	if err != nil {
		return 0, err
	}
	b.answers = append(b.answers, stamps.Answers...)
	return stamps.CPU, nil
}

// drain waits until every stream has ended.
func (b *bench) drain(ctx context.Context) error {
	<-b.ended
	return cmp.Or(context.Cause(ctx), b.err)
}

// close ends what still runs. The server's own end is no news then.
func (b *bench) close() {
	if b.cancel != nil {
		b.cancel()
		<-b.ended
	}
	_ = b.server.Stop()
}
