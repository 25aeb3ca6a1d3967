package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/failwhale/failwhale/results"
)

// interruptible returns a context that the first Ctrl-C or SIGTERM ends. The second ends the process at
// once: what is in force is then the reaper's to undo. said is what the first one answers; stop puts the
// signals back.
func (p *program) interruptible(said string) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case s := <-signals:
				if n > 0 {
					os.Exit(int(results.ExitInterrupted))
				}
				fmt.Fprintf(p.stderr, "\n%v: %s\n", s, said)
				cancel(fmt.Errorf("%v", s))
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
