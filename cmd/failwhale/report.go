package main

import (
	"errors"
	"io/fs"
	"slices"

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
			"Its requests can be handed to other tools: --vegeta FILE, --samples FILE.csv, --compat vllm.\n\n" +
			"EXAMPLE\n   failwhale report runs/20261126T100000Z-mine\n" +
			"   failwhale report --phase fault --compat vllm --samples fault.csv runs/20261126T100000Z-mine\n\n" +
			"EXIT CODES\n   those of the run: 0 held · 1 refuted · 3 baseline not steady · 4 undecided · 5 a fault was not in force ·\n" +
			"   6 harm may remain · 130 interrupted; 2 RUN is no run",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "write JSON"},
			&cli.StringFlag{Name: "phase", Usage: "give --vegeta, --samples and --compat the requests of phase `NAME` only: baseline, fault or recovery"},
		}, exportFlags()...),
		Action: p.reportAction,
	}
}

func (p *program) reportAction(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return usage("report takes one run directory, not %d", c.Args().Len())
	}
	phase := results.Phase(c.String("phase"))
	if c.IsSet("phase") && !slices.Contains(results.JudgedPhases(), phase) {
		return usage("--phase %s: there are %v", phase, results.JudgedPhases())
	}
	if c.IsSet("phase") && !c.IsSet("vegeta") && !c.IsSet("samples") && !c.IsSet("compat") {
		return usage("--phase says whose requests --vegeta, --samples and --compat get: add one of them; the report itself shows every phase")
	}
	dir := results.RunDir(c.Args().First())
	rep, err := experiments.JudgeLog(results.ReadLog(dir.Log()))
	if errors.Is(err, fs.ErrNotExist) {
		return usage("%s is no run: %w", dir, err)
	}
	if err != nil {
		return err
	}
	out, err := p.export(c, rep, dir, phase)
	if err != nil {
		return err
	}
	if err = out.show(p, rep, c.Bool("json"), rep.WriteTable); err != nil {
		return err
	}
	return exit(rep.Exit)
}

// export hands a run's samples to the files and tools that the flags name, in a second pass over its log: by then it
// is known what the first one is to be called. Warm-up goes to the CSV alone, which says of each request where it counts.
func (p *program) export(c *cli.Context, rep *results.Report, dir results.RunDir, only results.Phase) (*exports, error) {
	slo, err := experiments.ParseSLO(rep.SLO)
	if err != nil {
		return nil, err
	}
	out, err := openExports(c, slo, "")
	if err != nil {
		return nil, usage("%w", err)
	}
	if len(out.sinks) == 0 {
		return out, nil
	}
	var now results.Phase
	if out.csv != nil {
		out.csv.Phase = func(*results.Sample) results.Phase { return now }
	}
	_, err = experiments.JudgeLogInto(results.ReadLog(dir.Log()), func(rec results.Record, phase results.Phase) error {
		now = phase
		switch {
		case rec.Sample != nil && only != "" && phase != only:
			return nil
		case phase == results.Warmup && out.csv == nil:
			return nil
		case phase == results.Warmup:
			return out.csv.Add(rec)
		default:
			return out.add(rec)
		}
	})
	return out, errors.Join(err, out.close())
}

// show writes a report to stdout.
func (p *program) show(rep *results.Report, asJSON bool) error {
	if asJSON {
		return rep.WriteJSON(p.stdout)
	}
	return rep.WriteTable(p.stdout, p.tableOptions())
}

// widest is how wide reports are drawn at most: longer lines are hard to read.
const widest = 160

// tableOptions fit a report to stdout.
func (p *program) tableOptions() results.TableOptions {
	opts := results.TableOptions{Color: p.colour(p.stdout)}
	if isTerminal(p.stdout) {
		opts.Width = min(widest, width(p.stdout))
	}
	return opts
}
