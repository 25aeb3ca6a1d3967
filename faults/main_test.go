package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/targets"
)

// The test binary is also the programs that its tests start: the scripted nvidia-smi, a
// reaper, and a run that holds a fault and can be killed.
const (
	reaperCommand = "test-reaper"
	holdCommand   = "test-hold"
)

// TestMain runs one of those programs, or the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		var err error
		switch args := os.Args[2:]; os.Args[1] {
		case faultstest.SMICommand:
			os.Exit(faultstest.SMI(args, os.Stdout))
		case reaperCommand:
			err = faults.ReaperCommand(context.Background(), args, os.Stderr)
			exit(err)
		case holdCommand:
			err = hold(context.Background(), args[0])
			exit(err)
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

// A holding says what a run that will be killed does. It is one argument, in JSON.
type holding struct {
	Dir    string
	Handle targets.Handle
	Region string
	TTL    time.Duration
	Reaper bool
	Revert bool // and does not wait to be killed before
}

// hold arms and injects region.kill, says each step on stdout and then waits to be killed.
func hold(ctx context.Context, arg string) error {
	var h holding
	if err := json.Unmarshal([]byte(arg), &h); err != nil {
		return err
	}
	j, err := faults.OpenJournal(h.Dir)
	if err != nil {
		return err
	}
	if h.Reaper {
		r, err := j.StartReaper(ctx, []string{os.Args[0], reaperCommand}, "held")
		if err != nil {
			return err
		}
		fmt.Println("reaper", r.PID())
	}
	s, err := targets.Attach(ctx, h.Handle)
	if err != nil {
		return err
	}
	a, err := j.Arm(ctx, s, faults.Intent{
		Run: "held", ID: "lost", Kind: "region.kill", Fault: &faults.RegionKill{Region: h.Region}, TTL: h.TTL,
	})
	if err != nil {
		return err
	}
	fmt.Println("armed")
	if err := a.Inject(ctx); err != nil {
		fmt.Println("inject:", err)
		return nil
	}
	fmt.Println("injected")
	if h.Revert {
		r := a.Revert(ctx)
		fmt.Println("reverted:", r.Restored, r.Detail, r.Err)
		return nil
	}
	select {} // until it is killed
}
