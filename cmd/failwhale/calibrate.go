package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/attacks/calibrate"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/perfect"
)

func (p *program) calibrateCommand() *cli.Command {
	budget := calibrate.DefaultBudget()
	return &cli.Command{
		Name:  "calibrate",
		Usage: "measure how well this machine measures",
		Description: "Puts rising numbers of streams on a perfect server in another process of this machine, and compares each\n" +
			"stamp with the server's own: the errors of ttft and itl, what a chunk and a stream cost, and the highest load\n" +
			"at which the errors stay within the budget. Takes some three minutes; leave the machine alone meanwhile. The\n" +
			"result is kept ($FAILWHALE_STATE): run and attack say when a load exceeds it, and attack states the errors.\n\n" +
			"EXAMPLE\n   failwhale calibrate\n   failwhale calibrate --streams 200,400 --memory 0\n\n" +
			"EXIT CODES\n   0 at one load at least the errors are within the budget · 2 bad usage, or limits of this machine are too low ·\n" +
			"   4 at none, or it could not be measured · 130 interrupted; nothing is kept",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "streams", Usage: "measure at `N,N,...` streams at a time, rising", Value: numbers(calibrate.DefaultStreams())},
			&cli.DurationFlag{Name: "measure", Usage: "measure each for `TIME`", Value: 5 * time.Second},
			&cli.IntFlag{Name: "tokens", Usage: "have answers of `N` tokens", Value: 100},
			&cli.IntFlag{Name: "memory", Usage: "measure the memory of a stream by `N`; 0: do not", Value: calibrate.DefaultMemory},
			&cli.BoolFlag{Name: "quick", Usage: "the same as --streams " + numbers(calibrate.QuickStreams()) + " --measure 2s --memory 0"},
			&cli.DurationFlag{Name: "ttft", Usage: "budget of the median error of ttft: `TIME`", Value: seconds(budget.TTFT)},
			&cli.DurationFlag{Name: "itl", Usage: "budget of the median error of itl: `TIME`", Value: seconds(budget.ITL)},
			&cli.DurationFlag{Name: "p99", Usage: "budget of the 99th percentile of both: `TIME`", Value: seconds(budget.P99)},
			&cli.BoolFlag{Name: "json", Usage: "write JSON"},
		},
		Action: p.calibrateAction,
	}
}

func (p *program) calibrateAction(c *cli.Context) error {
	if c.Args().Present() {
		return usage("calibrate takes no argument, only flags: %q", c.Args().First())
	}
	cfg, err := p.calibrateConfig(c)
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		return usage("%w", err)
	}
	dir, err := p.stateDir()
	if err != nil {
		return err
	}
	if err := calibrate.Writable(dir); err != nil {
		return usage("%w: set FAILWHALE_STATE to a directory that can be written", err)
	}
	ctx, stop := p.interruptible("stopping; once more to exit at once")
	defer stop()
	cal, err := calibrate.Run(ctx, cfg)
	if cal != nil && len(cal.Levels) > 0 {
		if err := p.showCalibration(cal, c.Bool("json")); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return exit(results.ExitInterrupted)
	case err != nil:
		return err
	case cal.Highest() == nil:
		return errors.Join(p.keep(cal, dir), exit(results.ExitUndecided))
	}
	return p.keep(cal, dir)
}

// keep saves a calibration, and says so if the one that was there was good for more.
func (p *program) keep(cal *calibrate.Calibration, dir string) error {
	old, _ := calibrate.Load(dir, cal.Machine) // one that cannot be read is no loss
	if err := cal.Save(dir); err != nil {
		return err
	}
	if text := cal.Replaces(old); text != "" {
		fmt.Fprintf(p.stderr, "calibrate: %s\n", text)
	}
	return nil
}

func (p *program) showCalibration(cal *calibrate.Calibration, asJSON bool) error {
	if asJSON {
		return p.writeJSON(cal)
	}
	return cal.WriteTable(p.stdout)
}

// calibrateConfig reads the flags. What --quick says of time and memory, a flag of its own says better.
func (p *program) calibrateConfig(c *cli.Context) (calibrate.Config, error) {
	cfg := calibrate.Config{
		Server: []string{p.self, "perfect-server"}, Tokens: c.Int("tokens"), Measure: c.Duration("measure"), Memory: c.Int("memory"), Failwhale: version(),
		Budget: calibrate.Budget{
			TTFT: results.Seconds(c.Duration("ttft").Seconds()), ITL: results.Seconds(c.Duration("itl").Seconds()),
			P99: results.Seconds(c.Duration("p99").Seconds()),
		},
		Progress: func(doing string) { fmt.Fprintf(p.stderr, "calibrate: %s\n", doing) },
	}
	streams := c.String("streams")
	if c.Bool("quick") {
		if c.IsSet("streams") {
			return cfg, errors.New("--quick and --streams both say how many streams to measure: give one of them")
		}
		streams = numbers(calibrate.QuickStreams())
		if !c.IsSet("measure") {
			cfg.Measure = 2 * time.Second
		}
		if !c.IsSet("memory") {
			cfg.Memory = 0
		}
	}
	if cfg.Measure <= 0 || cfg.Tokens <= 0 { // 0 would mean the default
		return cfg, fmt.Errorf("--measure %s and --tokens %d must be over 0", cfg.Measure, cfg.Tokens)
	}
	for word := range strings.SplitSeq(streams, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return cfg, fmt.Errorf("--streams %q: %q is no number: write 8,64,1000", streams, word)
		}
		cfg.Streams = append(cfg.Streams, n)
	}
	return cfg, nil
}

func numbers(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

func seconds(s results.Seconds) time.Duration {
	return time.Duration(float64(s) * float64(time.Second))
}

func (p *program) perfectServerCommand() *cli.Command {
	return &cli.Command{
		Name: "perfect-server", Usage: "the server that calibrate measures by", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			return perfect.Command(context.Background(), c.Args().Slice(), p.stdin, p.stdout)
		},
	}
}
