package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/experiments/drills"
	"github.com/failwhale/failwhale/faults"
)

func (p *program) validateCommand() *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "check experiment files and say everything that is wrong with them",
		ArgsUsage: "EXPERIMENT...",
		Description: "An EXPERIMENT is a file, or the name of a drill. Nothing is started and nothing is sent.\n\n" +
			"EXAMPLE\n   failwhale validate mine.yaml\n\n" +
			"EXIT CODES\n   0 all are valid · 2 at least one is not",
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usage("validate takes at least one experiment: a file, or the name of a drill")
			}
			var errs []error
			for _, name := range c.Args().Slice() {
				plan, err := p.load(name)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				summary := plan.Summary()
				if load := plan.Load(); load != "" {
					summary += "; load: " + load
				}
				if _, err = fmt.Fprintf(p.stdout, "%s: valid: %s\n", name, summary); err != nil {
					return err
				}
			}
			if err := errors.Join(errs...); err != nil {
				return usage("%w", err)
			}
			return nil
		},
	}
}

// load reads an experiment: a file if there is one of that name, else a drill. Its warnings go to stderr.
func (p *program) load(name string) (*experiments.Plan, error) {
	text, err := os.ReadFile(name)
	if err != nil && !strings.ContainsAny(name, "/.") && !regular(name) {
		if text, err = drills.Text(name); err != nil {
			return nil, fmt.Errorf("no file and %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read experiment: %w; an experiment is a file, or the name of a drill (failwhale drills)", err)
	}
	plan, err := experiments.Load(name, text, experiments.LoadOptions{Kinds: faults.Kinds(), LookupEnv: p.lookupEnv})
	if err != nil {
		return nil, err
	}
	for _, w := range plan.Warnings {
		fmt.Fprintf(p.stderr, "warning: %v\n", w)
	}
	return plan, nil
}

// regular reports whether there is a file of this name: a directory does not hide a drill.
func regular(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}
