package refstack

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A crew is the goroutines of one process. The first of them that fails ends
// the others, and nobody leaves before all have ended.
type crew struct {
	ctx    context.Context // ends them
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

func newCrew(ctx context.Context) *crew {
	c := &crew{}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// Go starts one that may fail. One that returns nil has done its work; the others go on.
func (c *crew) Go(name string, work func(context.Context) error) {
	c.wg.Go(func() {
		if err := work(c.ctx); err != nil {
			c.mu.Lock()
			c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
			c.mu.Unlock()
			c.cancel()
		}
	})
}

// run starts one that ends only with the others.
func (c *crew) run(work func(context.Context)) {
	c.wg.Go(func() { work(c.ctx) })
}

// wait returns when all have ended: what failed, or nil.
func (c *crew) wait() error {
	c.wg.Wait()
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

// stop ends all and waits.
func (c *crew) stop() error {
	c.cancel()
	return c.wait()
}
