package refstack_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/refstack"
)

// TestMain lets the test binary be every process of a stack, as failwhale's own binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		ctx := context.Background()
		switch os.Args[1] {
		case "stack":
			exit(stack(ctx, os.Args[2:]))
		case "stack-node":
			exit(refstack.RunNode(ctx, os.Args[2:], os.Stdin, os.Stderr))
		case "nvidia-smi":
			os.Exit(refstack.SMI(ctx, os.Args[2:], os.Stdout))
		}
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// stack supervises a stack in a process of its own: args are its directory, where to write the
// Handle, and its resilience, then knob=setting for each knob that differs.
func stack(ctx context.Context, args []string) error {
	cfg := config(args[0])
	cfg.Write, cfg.Lifeline, cfg.Log = args[1], os.Stdin, os.Stderr
	cfg.Reference.Resilience = targets.Resilience(args[2])
	for _, arg := range args[3:] {
		if err := cfg.Reference.Knobs.Set(arg); err != nil {
			return err
		}
	}
	return refstack.Supervise(ctx, cfg)
}

// config runs the test binary as the stack's processes.
func config(dir string) refstack.Config {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return refstack.Config{Dir: dir, Argv: []string{self, "stack-node"}, SMIArgv: []string{self, "nvidia-smi"}}
}
