package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

func (p *program) revertCommand() *cli.Command {
	return &cli.Command{
		Name:  "revert",
		Usage: "undo the faults that dead runs left",
		Description: "Every fault is in a journal ($FAILWHALE_STATE, else ~/.local/state/failwhale, for root /var/lib/failwhale)\n" +
			"before it is injected. A run undoes its own, and its reaper does if the run is killed; this is for when\n" +
			"both were. Faults of runs that live are left alone, unless --live is given. It may be run at any time.\n\n" +
			"EXAMPLE\n   failwhale revert\n\n" +
			"EXIT CODES\n   0 nothing that it was to undo is left · 2 bad usage · 6 harm may remain: it failed, or someone else changed what\n" +
			"   the fault had changed (drifted: never overwritten)",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "run", Usage: "only the faults of run `NAME`"},
			&cli.BoolFlag{Name: "live", Usage: "also the faults of runs that live"},
			&cli.BoolFlag{Name: "json", Usage: "write JSON"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("revert takes no argument, only flags: %q", c.Args().First())
			}
			journal, err := p.journal()
			if err != nil {
				return err
			}
			ctx, stop := p.interruptible("an undo that has begun goes on; once more to exit at once")
			defer stop()
			done, err := journal.Revert(ctx, faults.Selection{Run: c.String("run"), Live: c.Bool("live")})
			left := p.showLeft(journal)
			return errors.Join(p.showReverted(done, left, c.Bool("json")), harm(done, err))
		},
	}
}

// showLeft names what was not selected and so is still in force: "nothing to undo" is not the whole answer then.
func (p *program) showLeft(journal *faults.Journal) (left int) {
	open, _ := journal.Open() // what cannot be read was reported by Revert
	for _, e := range open {
		why := "its run is dead; --run selects another"
		if targets.ProcessAlive(e.Owner) {
			why = fmt.Sprintf("its run lives (%s): --live undoes it too", e.Owner)
		}
		fmt.Fprintf(p.stderr, "left alone: %s is %s, and %s\n", e, e.State, why)
	}
	return len(open)
}

// harm is the loud error that undos end with, if harm may remain after them.
func harm(done []faults.Result, err error) error {
	errs := []error{err}
	for _, d := range done {
		errs = append(errs, d.Err)
	}
	if err = errors.Join(errs...); err != nil {
		return &exitError{code: results.ExitHarm, err: fmt.Errorf("harm may remain: %w", err)}
	}
	return nil
}

func (p *program) showReverted(done []faults.Result, left int, asJSON bool) error {
	type row struct {
		Run      string           `json:"run"`
		Fault    string           `json:"fault"`
		Kind     string           `json:"kind"`
		Restored results.Restored `json:"restored"`
		Detail   string           `json:"detail,omitempty"`
	}
	rows := []row{}
	var cells [][]string
	for _, d := range done {
		e := d.Entry
		rows = append(rows, row{e.Run, e.ID, e.Kind, d.Restored, d.Detail})
		cells = append(cells, []string{e.Run, e.ID, e.Kind, string(d.Restored), d.Detail})
	}
	switch {
	case asJSON:
		return p.writeJSON(rows)
	case len(rows) == 0 && left > 0:
		_, err := fmt.Fprintf(p.stdout, "nothing undone; faults left alone: %d\n", left)
		return err
	case len(rows) == 0:
		_, err := fmt.Fprintln(p.stdout, "nothing to undo")
		return err
	default:
		return results.Table(p.stdout, []string{"run", "fault", "kind", "restored", "detail"}, cells)
	}
}

// revertDead undoes what dead runs have left, before a new one begins. What cannot be undone is said loudly;
// if it is on the stack of the new run, the journal will not let that begin.
func (p *program) revertDead(ctx context.Context, journal *faults.Journal) {
	done, err := journal.Revert(ctx, faults.Selection{})
	for _, d := range done {
		fmt.Fprintf(p.stderr, "undid what a dead run had left: %s: %s\n", d.Entry, strings.TrimSpace(string(d.Restored)+" "+d.Detail))
	}
	if err = harm(done, err); err != nil {
		fmt.Fprintf(p.stderr, "failwhale: %v\n", err)
	}
}

// revertAfterPanic undoes what this process has in force, and says how loud its end must be.
func (p *program) revertAfterPanic() results.Exit {
	journal, err := p.journal()
	if err == nil {
		var done []faults.Result
		done, err = journal.Revert(context.Background(), faults.Selection{})
		err = harm(done, err)
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "failwhale: %v\n", err)
		return results.ExitHarm
	}
	return results.ExitHeld
}
