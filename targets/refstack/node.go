package refstack

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"

	"github.com/redis/go-redis/v9"
)

// RunNode is one process of the stack: args are `edge`, `shared` or `region NAME`, then
// `--topology FILE`, as the supervisor gives them. It serves until ctx ends or stdin, the
// supervisor's lifeline, does, and returns nil then. What it has to say goes to stderr.
func RunNode(ctx context.Context, args []string, stdin io.Reader, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the process: nobody can take stdin away from a read
		_, _ = io.Copy(io.Discard, stdin) // an error is an end too
		cancel()
	}()
	role, region := "", ""
	if len(args) > 0 {
		role, args = args[0], args[1:]
	}
	if role == "region" && len(args) > 0 {
		region, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("stack-node "+role, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("topology", "", "the supervisor's `file`")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("stack-node %s: %w", role, err)
	}
	t, err := readTopology(*file)
	if err != nil {
		return fmt.Errorf("stack-node %s: %w", role, err)
	}
	redis.SetLogger(quiet{})
	n := &notes{out: stderr}
	run := map[string]func() error{
		"edge":   func() error { return runEdge(ctx, t, n.note) },
		"shared": func() error { return runShared(ctx, t) },
		"region": func() error { return runRegion(ctx, t, region, n.note) },
	}[role]
	if run == nil {
		return fmt.Errorf("stack-node: %q isn't one of [edge shared region]", role)
	}
	// In a goroutine of its own: a crash is the stack's and ends the process, whatever the caller
	// does about its own panics.
	done := make(chan error, 1)
	go func() { done <- run() }()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stack-node %s %s: %w", role, region, err)
	}
	return nil
}

// notes writes one line at a time.
type notes struct {
	mu  sync.Mutex
	out io.Writer
}

func (n *notes) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.out, format+"\n", args...)
}
