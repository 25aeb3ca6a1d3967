package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
)

func (p *program) faultsCommand() *cli.Command {
	return &cli.Command{
		Name:        "faults",
		Usage:       "list the kinds of faults and their parameters",
		Description: "EXAMPLE\n   failwhale faults\n\nEXIT CODES\n   0 always",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "write JSON"}},
		Action: func(c *cli.Context) error {
			type kind struct {
				Kind       string   `json:"kind"`
				Doc        string   `json:"doc"`
				Parameters []string `json:"parameters"`
			}
			var kinds []kind
			var rows [][]string
			for _, k := range faults.Kinds() {
				kinds = append(kinds, kind{k.Name, k.Doc, k.Parameters()})
			}
			if c.Bool("json") {
				return p.writeJSON(kinds)
			}
			for _, k := range kinds {
				rows = append(rows, []string{k.Kind, k.Doc, strings.Join(k.Parameters, ", ")})
			}
			return results.Table(p.stdout, []string{"fault", "what it does", "parameters"}, rows)
		},
	}
}
