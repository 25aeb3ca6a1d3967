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
	// A reader of our output that has gone (| tee, | head) must not end a run that has faults in force.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
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
				cancel(fmt.Errorf("%v", s)) // before anything that a blocked terminal could hold up
				fmt.Fprintf(p.stderr, "\n%v: %s\n", s, said)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
