package calibrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/perfect"
)

// A Config says how much to measure. Its zero value, with a Server, measures what Run's defaults say.
type Config struct {
	// Server is the command that runs perfect.Command. Required.
	Server []string
	// Streams are the levels: how many run at a time, rising. Optional; default DefaultStreams.
	Streams []int
	// Timing of the server, and how many Tokens its answers have. Optional; default 50 ms, 20 ms, 100 tokens.
	Timing perfect.Timing
	Tokens int
	// Measure is how long each level is measured. Optional; default 5s. It takes two answers' time more, to
	// get to the level and to leave it.
	Measure time.Duration
	// Memory is how many streams the memory of one is measured by; 0: it is not.
	Memory int
	// Budget is what the errors must stay within. Optional; default DefaultBudget.
	Budget Budget
	// Failwhale is the program's version, for Machine.
	Failwhale string
	// Progress is told what is being done. Optional.
	Progress func(doing string)
}

// A Budget is how large errors may be for figures to be worth reporting.
type Budget struct {
	// TTFT and ITL bound the median errors. Required.
	TTFT results.Seconds `json:"ttft_p50"`
	ITL  results.Seconds `json:"itl_p50"`
	// P99 bounds the 99th percentile of both. Required.
	P99 results.Seconds `json:"p99"`
}

// DefaultBudget is some 5 % of the fastest first tokens and the fastest gaps that are commonly served (20 ms and
// 10 ms), and at the 99th percentile less than what a person or an SLO would see.
func DefaultBudget() Budget { return Budget{TTFT: 1e-3, ITL: 0.5e-3, P99: 15e-3} }

// DefaultStreams are the levels of a calibration.
func DefaultStreams() []int { return []int{8, 64, 250, 500, 1000, 1500, 2000, 4000, 8000} }

// QuickStreams are those of a short one.
func QuickStreams() []int { return []int{8, 250, 1000} }

// DefaultMemory is how many streams the memory of one is measured by, unless it is asked for another number.
const DefaultMemory = 9000

// hopeless is how many levels in a row may be out of budget before the higher ones are left out.
const hopeless = 2

func (c Config) withDefaults() Config {
	if len(c.Streams) == 0 {
		c.Streams = DefaultStreams()
	}
	if c.Timing == (perfect.Timing{}) {
		c.Timing = perfect.Timing{Prefill: 50 * time.Millisecond, Interval: 20 * time.Millisecond}
	}
	c.Tokens = cmp.Or(c.Tokens, 100)
	c.Measure = cmp.Or(c.Measure, 5*time.Second)
	c.Budget = cmp.Or(c.Budget, DefaultBudget())
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	return c
}

// Validate returns what is wrong with c, or nil.
func (c Config) Validate() error {
	var errs []error
	last := 0
	for _, n := range c.Streams {
		if n <= last {
			errs = append(errs, fmt.Errorf("streams %v are not rising numbers from 1: write 8,64,1000", c.Streams))
			break
		}
		last = n
	}
	if c.Memory < 0 || c.Measure < 0 || c.Tokens < 0 {
		errs = append(errs, fmt.Errorf("memory %d, measure %s and tokens %d must not be negative", c.Memory, c.Measure, c.Tokens))
	}
	if c.Tokens == 1 {
		errs = append(errs, errors.New("answers of 1 token have no gaps: write 2 or more"))
	}
	if b := c.Budget; b != (Budget{}) && (b.TTFT <= 0 || b.ITL <= 0 || b.P99 <= 0) {
		errs = append(errs, fmt.Errorf("the budget of ttft %v, itl %v and p99 %v has a bound that is not over 0", b.TTFT, b.ITL, b.P99))
	}
	return errors.Join(append(errs, checkLimits(max(last, c.Memory)))...)
}

// Run measures the machine. Where ctx ends before, or a level cannot be run, it returns what was measured
// until then beside the error. The error says what was wrong with cfg, if anything was: see Validate.
func Run(ctx context.Context, cfg Config) (*Calibration, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Calibration{
		Version: Version, At: time.Now().UTC().Truncate(time.Second), Machine: ThisMachine(cfg.Failwhale),
		Budget: cfg.Budget, Interval: results.Seconds(cfg.Timing.Interval.Seconds()),
	}
	if cfg.Memory > 0 { // first: what the other levels leave to the heap would be counted as of these streams
		cfg.Progress(fmt.Sprintf("memory of %d streams: about %s", cfg.Memory, memoryTakes().Round(time.Second)))
		m, err := memory(ctx, cfg)
		if err != nil {
			return c, fmt.Errorf("memory of %d streams: %w", cfg.Memory, err)
		}
		c.Memory = m
	}
	failed := 0
	for _, n := range cfg.Streams {
		cfg.Progress(fmt.Sprintf("%d streams: about %s", n, cfg.levelTakes().Round(time.Second)))
		l, err := level(ctx, cfg, n)
		if err != nil {
			return c, fmt.Errorf("%d streams: %w", n, err)
		}
		c.Levels = append(c.Levels, *l)
		if failed++; l.Within {
			failed = 0
		}
		if failed == hopeless && n != cfg.Streams[len(cfg.Streams)-1] {
			cfg.Progress("two levels in a row are out of budget: higher ones are left out")
			break
		}
	}
	return c, nil
}
