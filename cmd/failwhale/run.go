package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run experiments, one after the other, and judge them",
		ArgsUsage: "EXPERIMENT...",
		Description: "An EXPERIMENT is a file, or the name of a drill (failwhale drills). The verdict goes to stdout, progress\n" +
			"to stderr, everything needed to judge again to ./runs/<time>-<experiment>/.\n" +
			"Ctrl-C or SIGTERM stops the load, undoes the faults and judges; a second one exits at once, and the\n" +
			"reaper undoes the faults.\n\n" +
			"EXAMPLE\n   failwhale run --resilience flawed 2024-12-26-region-lost\n" +
			"   failwhale run --json mine.yaml > report.json\n\n" +
			"EXIT CODES\n   0 held · 1 refuted · 2 bad usage or experiment file · 3 baseline not steady, nothing injected ·\n" +
			"   4 undecided, or an internal error · 5 a fault could not be put in force · 6 harm may remain ·\n" +
			"   130 interrupted, and reverted. Over several: the first of 6 130 2 1 5 3 4 0.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "resilience", Usage: "set every knob of the reference stack to `LEVEL`: flawed or hardened"},
			&cli.StringFlag{Name: "seed", Usage: "use seed `N` instead of the experiment's"},
			&cli.StringFlag{Name: "stack", Usage: "use the running stack whose handle is in `FILE` (failwhale stack --write FILE)"},
			&cli.StringFlag{Name: "out", Usage: "write the run to `DIR` instead of ./runs/<time>-<experiment>"},
			&cli.BoolFlag{Name: "json", Usage: "write the report as JSON"},
		},
		Action: p.runAction,
	}
}

func (p *program) runAction(c *cli.Context) error {
	if !c.Args().Present() {
		return usage("run takes at least one experiment: a file, or the name of a drill (failwhale drills)")
	}
	if c.IsSet("out") && c.Args().Len() > 1 {
		return usage("--out names the directory of one run, and there are %d experiments", c.Args().Len())
	}
	overrides := map[string]string{}
	for _, name := range []string{"resilience", "seed"} {
		if c.IsSet(name) {
			overrides[name] = c.String(name)
		}
	}
	var plans []*experiments.Plan // all are read before the first is run
	var errs []error
	for _, name := range c.Args().Slice() {
		plan, err := p.plan(name, c.String("stack"), overrides)
		plans, errs = append(plans, plan), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return usage("%w", err)
	}
	ctx, stop := p.interruptible("stopping the load and undoing the faults; once more to leave that to the reaper")
	defer stop()
	code := results.ExitHeld
	var all []any
	for _, plan := range plans {
		rep, one, err := p.runPlan(ctx, c.String("out"), plan, overrides)
		if err != nil {
			fmt.Fprintf(p.stderr, "failwhale: %s: %v\n", plan.Experiment, err)
		}
		code = results.Worst(code, one)
		switch {
		case rep == nil:
			all = append(all, map[string]any{"experiment": plan.Experiment, "exit": one, "error": err.Error()})
		case c.Bool("json"):
			all = append(all, rep)
		default:
			if err := p.show(rep, false); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			code = results.Worst(code, results.ExitInterrupted)
			break
		}
	}
	if c.Bool("json") {
		if err := p.showAll(all); err != nil {
			return err
		}
	}
	return exit(code)
}

// showAll writes JSON: the report of one experiment, or an array of the reports of several. What came to no
// report has its error there.
func (p *program) showAll(all []any) error {
	if len(all) != 1 {
		return p.writeJSON(all)
	}
	if rep, ok := all[0].(*results.Report); ok {
		return rep.WriteJSON(p.stdout)
	}
	return p.writeJSON(all[0])
}

// plan loads an experiment and applies the command line's settings.
func (p *program) plan(name, stack string, overrides map[string]string) (*experiments.Plan, error) {
	plan, err := p.load(name)
	if err != nil {
		return nil, err
	}
	if stack != "" {
		if overrides["resilience"] != "" {
			return nil, fmt.Errorf("--resilience sets the knobs of a stack that the run starts, and --stack names one that runs: " +
				"give it to failwhale stack instead")
		}
		if _, err := targets.ReadHandle(stack); err != nil {
			return nil, fmt.Errorf("%w: is `failwhale stack --write %s` running?", err, stack)
		}
		fmt.Fprintf(p.stderr, "%s: on the stack of %s, instead of the file's own\n", plan.Experiment, stack)
		plan.Stack = targets.Spec{Attach: stack}
	}
	if err = plan.Override(overrides); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return plan, nil
}

// runPlan executes one plan. An error says what went wrong with the run itself; without a report it is what
// kept the run from a verdict. The code takes both into account.
func (p *program) runPlan(
	ctx context.Context, out string, plan *experiments.Plan, overrides map[string]string,
) (*results.Report, results.Exit, error) {
	journal, err := p.journal()
	if err != nil {
		return nil, results.ExitUndecided, err
	}
	p.revertDead(ctx, journal)
	dir, err := runDir(out, plan.Experiment)
	if err != nil {
		return nil, results.ExitUsage, err
	}
	fmt.Fprintf(p.stderr, "%s: %s; writing to %s\n", plan.Experiment, plan.Summary(), dir)
	if load := plan.Load(); load != "" {
		fmt.Fprintf(p.stderr, "%s: load: %s\n", plan.Experiment, load)
	}
	stack, err := targets.Open(ctx, plan.Stack, targets.Launcher{Argv: []string{p.self, "stack"}, Dir: string(dir)})
	if err != nil {
		return nil, results.ExitUndecided, fmt.Errorf("open stack: %w", err)
	}
	defer func() {
		if err := stack.Close(context.WithoutCancel(ctx)); err != nil {
			fmt.Fprintf(p.stderr, "failwhale: close stack: %v\n", err)
		}
	}()
	gauge := p.gauge(planLoads(plan)...)
	runner := experiments.Runner{
		Plan: plan, Overrides: overrides, Stack: stack, Journal: journal,
		Reaper: []string{p.self, "reaper"}, Dir: dir, Environment: environment(),
		LookupEnv: p.lookupEnv, Progress: gauge.watch(p.progress()),
	}
	rep, err := runner.Run(ctx)
	p.endProgress()
	gauge.after()
	code := results.ExitHeld
	if err != nil {
		code = codeOf(err)
	}
	if rep != nil {
		code = results.Worst(code, rep.Exit)
	} else if out == "" { // it never began: a directory without a log is no run
		err = errors.Join(err, os.RemoveAll(string(dir)))
	}
	return rep, code, err
}

// codeOf is the exit code of an error that kept a run from a verdict.
func codeOf(err error) results.Exit {
	if errors.Is(err, experiments.ErrHarm) {
		return results.ExitHarm
	}
	if _, ok := errors.AsType[*faults.BusyError](err); ok {
		return results.ExitNotInForce
	}
	if errors.Is(err, experiments.ErrSetup) {
		return results.ExitUsage
	}
	return results.ExitUndecided
}

func runDir(out, experiment string) (results.RunDir, error) {
	if out != "" {
		return results.UseRunDir(out)
	}
	return results.CreateRunDir("runs", experiment, time.Now())
}

// journal opens the journal in the state directory.
func (p *program) journal() (*faults.Journal, error) {
	dir, err := p.stateDir()
	if err != nil {
		return nil, err
	}
	return faults.OpenJournal(filepath.Join(dir, "journal"))
}

// environment is what a reader of the run needs to know of the machine.
func environment() map[string]string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return map[string]string{
		"failwhale": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"cpus": strconv.Itoa(runtime.NumCPU()), "host": host,
	}
}
