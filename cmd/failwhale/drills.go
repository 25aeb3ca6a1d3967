package main

import (
	"encoding/json"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/experiments/drills"
	"github.com/failwhale/failwhale/results"
)

func (p *program) drillsCommand() *cli.Command {
	return &cli.Command{
		Name:      "drills",
		Usage:     "list the embedded drills, or print one as an experiment file",
		ArgsUsage: "[NAME]",
		Description: "EXAMPLE\n   failwhale drills\n   failwhale drills straggler-gpu > mine.yaml\n\n" +
			"EXIT CODES\n   0 listed · 2 no such drill",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "write JSON"}},
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 1 {
				return usage("drills takes one name, not %d", c.Args().Len())
			}
			if name := c.Args().First(); name != "" {
				return p.printDrill(name)
			}
			if c.Bool("json") {
				return p.writeJSON(drills.All())
			}
			var rows [][]string
			for _, d := range drills.All() {
				rows = append(rows, []string{d.Name, d.Fault, d.Outage, d.Refutes})
			}
			return results.Table(p.stdout, []string{"drill", "fault", "reproduces", "refuted when flawed by"}, rows)
		},
	}
}

func (p *program) printDrill(name string) error {
	text, err := drills.Text(name)
	if err != nil {
		return usage("%w", err)
	}
	_, err = p.stdout.Write(text)
	return err
}

// writeJSON writes v to stdout as every --json does: indented, with a newline at the end.
func (p *program) writeJSON(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
