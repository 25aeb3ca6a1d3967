package main

import (
	"errors"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

func (p *program) reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "judge a run again from its log, offline",
		ArgsUsage: "RUN",
		Description: "RUN is the directory that a run wrote. Its verdict is a pure function of the log in it, so this prints\n" +
			"what the run printed; a run that was killed is judged as far as its log goes.\n\n" +
			"EXAMPLE\n   failwhale report runs/20261126T100000Z-mine\n\n" +
			"EXIT CODES\n   those of the run: 0 held · 1 refuted · 3 baseline not steady · 4 undecided · 5 a fault was not in force ·\n" +
			"   6 harm may remain · 130 interrupted; 2 RUN is no run",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "write JSON"}},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return usage("report takes one run directory, not %d", c.Args().Len())
			}
			dir := results.RunDir(c.Args().First())
			rep, err := experiments.JudgeLog(results.ReadLog(dir.Log()))
			if errors.Is(err, fs.ErrNotExist) {
				return usage("%s is no run: %w", dir, err)
			}
			if err != nil {
				return err
			}
			if err = p.show(rep, c.Bool("json")); err != nil {
				return err
			}
			return exit(rep.Exit)
		},
	}
}

// show writes a report to stdout.
func (p *program) show(rep *results.Report, asJSON bool) error {
	if asJSON {
		return rep.WriteJSON(p.stdout)
	}
	return rep.WriteTable(p.stdout, results.TableOptions{Color: p.colour(p.stdout)})
}
