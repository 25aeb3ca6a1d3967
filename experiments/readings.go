package experiments

import (
	"context"
	"fmt"
	"sync"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// readings are taken beside the load, on its clock: what the stack's servers say of themselves, and this process.
type readings struct {
	servers *targets.Scraper
	self    *selfReader
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// newReadings checks what is to be read. It asks nothing yet.
func newReadings(pages map[string]targets.Metrics, clock results.Clock, sink results.Sink, lookup func(string) (string, bool)) (*readings, error) {
	s, err := targets.NewScraper(targets.Scraper{Pages: pages, Clock: clock, Sink: sink, LookupEnv: lookup})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return &readings{servers: s, self: newSelfReader(clock, sink)}, nil
}

// start begins to read. A log that takes no reading ends the run, and so does a panic.
func (r *readings) start(ctx context.Context, abort context.CancelCauseFunc) {
	ctx, r.stop = context.WithCancel(ctx)
	for _, run := range []func(context.Context) error{r.servers.Run, r.self.run} {
		r.done.Go(func() {
			defer recovered(abort)
			if err := run(ctx); err != nil {
				abort(fmt.Errorf("readings: %w", err))
			}
		})
	}
}

// end takes the last readings and returns once they are in the log.
func (r *readings) end() {
	r.stop()
	r.done.Wait()
}
