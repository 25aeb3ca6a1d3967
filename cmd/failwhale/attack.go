package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

func (p *program) attackCommand() *cli.Command {
	return &cli.Command{
		Name:      "attack",
		Usage:     "put streaming load on an OpenAI-compatible server and say what its users saw",
		ArgsUsage: "URL",
		Description: "URL is the server's base, with or without /v1. Nothing is broken and nothing is judged: a cut, empty or\n" +
			"failing stream is counted as what it is.\n\n" +
			"EXAMPLE\n   failwhale attack --rate 5/s --duration 30s --model llama-3.1-8b --key-env OPENAI_API_KEY https://gateway.example\n\n" +
			"EXIT CODES\n   0 the promised load was put on, whatever the server said · 2 bad usage · 4 it was not · 130 interrupted",
		Flags: slices.Concat(loadFlags(), []cli.Flag{
			&cli.StringFlag{Name: "key-env", Usage: "send the bearer token that is in environment variable `NAME`"},
			&cli.StringSliceFlag{Name: "header", Usage: "send `HEADER` with each request: 'NAME: VALUE', where VALUE may hold ${ENV}"},
			&cli.StringFlag{Name: "ca", Usage: "trust the PEM certificates in `FILE` instead of the system's"},
			&cli.StringFlag{Name: "model", Usage: "ask for model `NAME`", Value: "default"},
			&cli.StringFlag{Name: "dialect", Usage: "speak `NAME`: openai-chat, anthropic-messages … ('list' names all)", DefaultText: "openai-chat"},
			&cli.DurationFlag{Name: "timeout", Usage: "give up a request after `TIME`", Value: attacks.DefaultDeadline},
			&cli.StringSliceFlag{Name: "metrics", Usage: "read the server's own figures at `URL`, as in http://host:8000/metrics, beside the load"},
			&cli.Int64Flag{Name: "max-requests", Usage: "use up to `N` requests, retries too; one more ends the attack with exit 4", DefaultText: "no bound"},
			&cli.Int64Flag{Name: "max-tokens", Usage: "use up to `N` tokens, of prompts and answers", DefaultText: "no bound"},
			&cli.IntFlag{Name: "retries", Usage: "retry a failed request up to `N` times, as the SDKs do", DefaultText: "none"},
			&cli.DurationFlag{Name: "first-token", Usage: "give up an attempt without a token after `TIME`, and retry if --retries", DefaultText: "--timeout"},
			&cli.DurationFlag{Name: "hedge", Usage: "send a second request beside one without a token after `TIME`; the first token wins", DefaultText: "never"},
			&cli.StringFlag{Name: "retry-budget", Usage: "with --retries: let them be up to `P%` of the requests", DefaultText: "no bound"},
			&cli.BoolFlag{Name: "http2", Usage: "speak HTTP/2, many streams on a connection"},
			&cli.StringFlag{Name: "client", Usage: "instead of these: a client in `YAML`, as '{retries: 2, read: 2KB/s, cancel: {after: 5s}}'"},
			&cli.StringFlag{Name: "slo", Usage: "count as goodput what keeps `BOUNDS`, such as ttft=2s,tpot=100ms; also e2e, stall, itl (its mean)"},
			&cli.BoolFlag{Name: "json", Usage: "write the figures as JSON"},
		}, exportFlags()),
		Action: p.attackAction,
	}
}

func (p *program) attackAction(c *cli.Context) error {
	switch {
	case c.String("workload") == listed:
		return p.listWorkloads()
	case c.String("dialect") == listed:
		return p.listDialects()
	case c.Bool("dry-run"):
		return p.dryRun(c)
	}
	if c.Args().Len() != 1 {
		return usage("attack takes one URL, not %d arguments", c.Args().Len())
	}
	cfg, err := attackConfig(c)
	slo, badSLO := experiments.ParseSLO(c.String("slo"))
	pages, badPages := attackMetrics(c.StringSlice("metrics"))
	if err = errors.Join(err, badSLO, badPages, checkExports(c)); err != nil {
		return usage("%w", err)
	}
	out, err := openExports(c, slo, cfg.Endpoint.URL)
	if err != nil {
		return usage("%w", err)
	}
	length := attackLength(c, cfg.Profile)
	ctx, stop := p.interruptible("stopping the load; once more to exit at once")
	defer stop()
	cfg.LookupEnv = p.lookupEnv
	gauge := p.gauge(attackLoad(&cfg, length))
	rep, err := experiments.Attack(ctx, cfg, experiments.AttackOptions{
		Duration: length, SLO: slo, Sinks: out.sinks, Metrics: pages,
		Ready: func() {
			p.noteBursts(c, &cfg)
			if load := loadLine(&cfg, length); load != "" {
				fmt.Fprintf(p.stderr, "load: %s\n", load)
			}
		},
		Progress: gauge.watch(p.telling(unphased(p.progress()))),
	})
	p.endProgress()
	if rep == nil {
		return usage("%w", errors.Join(err, out.drop()))
	}
	closed := out.close()
	if c.Bool("json") {
		gauge.after() // a table says it itself, below the figures
	}
	shown := out.show(p, rep, c.Bool("json"), func(w io.Writer, opts results.TableOptions) error {
		return errors.Join(rep.WriteLoad(w, opts), gauge.state(w, opts, rep))
	})
	if err = errors.Join(err, shown, closed); err != nil {
		return err
	}
	return exit(rep.Exit)
}

// loadLine says what a load comes to, and what it may use. Length 0: to its end.
func loadLine(cfg *attacks.Config, length time.Duration) string {
	e, _ := cfg.Estimate(results.Baseline, cmp.Or(length, time.Duration(math.MaxInt64))) // a trace that cannot be read is the attack's to report
	return e.Within(cfg.Budget)
}

// listed is what a flag says in place of one of its names, to see them all.
const listed = "list"

func (p *program) listWorkloads() error {
	var rows [][]string
	for _, preset := range attacks.Presets() {
		rows = append(rows, []string{preset.Name, preset.Doc})
	}
	return results.Table(p.stdout, []string{"workload", "what it is like"}, rows)
}

func (p *program) listDialects() error {
	for _, d := range targets.Dialects() {
		if _, err := fmt.Fprintln(p.stdout, d.Name()); err != nil {
			return err
		}
	}
	return nil
}
