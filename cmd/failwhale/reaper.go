package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/faults"
)

func (p *program) reaperCommand() *cli.Command {
	return &cli.Command{
		Name: "reaper", Usage: "undoes the faults of a run that died", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			return faults.ReaperCommand(context.Background(), c.Args().Slice(), p.stderr)
		},
	}
}
