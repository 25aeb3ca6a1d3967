package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/refstack"
)

func (p *program) stackCommand() *cli.Command {
	return &cli.Command{
		Name:  "stack",
		Usage: "serve the reference stack until Ctrl-C, to try things on",
		Description: "A small LLM serving stack over real sockets and processes: an edge, shared services, three regions of four\n" +
			"replicas. It speaks OpenAI chat completions and prints where. Keys are sk-paid and sk-free.\n\n" +
			"EXAMPLE\n   failwhale stack --resilience flawed --write stack.json\n" +
			"   failwhale run --stack stack.json straggler-gpu     # in another terminal\n\n" +
			"EXIT CODES\n   0 ended as asked · 2 bad usage · 4 it could not serve",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "write", Usage: "write the stack's handle to `FILE`, for run --stack"},
			&cli.StringFlag{Name: "resilience", Usage: "set every knob to `LEVEL`: flawed or hardened", Value: string(targets.Hardened)},
			&cli.StringFlag{Name: "regions", Usage: "serve regions `A,B`", Value: "east,west,central"},
			&cli.IntFlag{Name: "replicas", Usage: "run `N` engines in each region", Value: 4},
			&cli.StringSliceFlag{Name: "knob", Usage: "set one knob: `NAME=LEVEL` of edge, router, config, sessions, queue"},
			&cli.StringFlag{Name: "listen", Usage: "serve the front door on `ADDR`", Value: "127.0.0.1:0"},
			&cli.BoolFlag{Name: "lifeline", Usage: "end when standard input does", Hidden: true},
		},
		Action: p.stackAction,
	}
}

func (p *program) stackAction(c *cli.Context) error {
	if c.Args().Present() {
		return usage("stack takes no argument, only flags: %q", c.Args().First())
	}
	ref, err := reference(c)
	if err == nil {
		ref, err = refstack.Resolve(ref)
	}
	if err != nil {
		return usage("%w", err)
	}
	self, err := targets.SelfID()
	if err != nil {
		return err
	}
	for _, dir := range sweepStackDirs(os.TempDir(), self, os.Getuid()) {
		fmt.Fprintf(p.stderr, "removed what a killed stack had left: %s\n", dir)
	}
	dir, err := makeStackDir(os.TempDir(), self)
	if err != nil {
		return fmt.Errorf("make a directory for the stack: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory that stays is no harm
	if err := clearHandle(c.String("write")); err != nil {
		return usage("write handle: %w", err)
	}
	id := ""
	defer func() { removeOwn(c.String("write"), id) }()
	ctx, stop := p.interruptible("ending the stack")
	defer stop()
	var lifeline io.Reader
	if c.Bool("lifeline") {
		lifeline = p.stdin
	}
	return refstack.Supervise(ctx, refstack.Config{
		Reference: ref, Argv: []string{p.self, "stack-node"}, SMIArgv: []string{p.self, "nvidia-smi"},
		Write: c.String("write"), Dir: dir, Addr: c.String("listen"), Lifeline: lifeline, Log: p.stderr,
		Ready: func(h targets.Handle) {
			id = h.ID
			p.stackReady(h)
		},
	})
}

// clearHandle removes the handle in file, which names a stack that has ended. One that lives keeps its handle.
func clearHandle(file string) error {
	if file == "" {
		return nil
	}
	if h, err := targets.ReadHandle(file); err == nil && h.Supervisor != nil && targets.ProcessAlive(h.Supervisor.Process) {
		return fmt.Errorf("%s is that of %s, which lives (pid %d): write another file, or end that stack", file, h.ID, h.Supervisor.Process.PID)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeOwn removes the handle in file unless it is another stack's by now.
func removeOwn(file, id string) {
	if h, err := targets.ReadHandle(file); err == nil && h.ID == id {
		_ = os.Remove(file) // one that stays names a process that is gone: nobody takes it for a stack
	}
}

// reference reads the flags into what they mean.
func reference(c *cli.Context) (targets.Reference, error) {
	ref := targets.Reference{Replicas: c.Int("replicas"), Regions: strings.Split(c.String("regions"), ",")}
	if ref.Replicas < 1 { // 0 would mean the default
		return ref, fmt.Errorf("--replicas %d: write a number from 1", ref.Replicas)
	}
	if err := ref.Resilience.UnmarshalText([]byte(c.String("resilience"))); err != nil {
		return ref, err
	}
	for _, setting := range c.StringSlice("knob") {
		if err := ref.Knobs.Set(setting); err != nil {
			return ref, err
		}
	}
	return ref, nil
}

// stackReady tells a person how to use the stack that now serves.
func (p *program) stackReady(h targets.Handle) {
	var url string
	for _, e := range h.Endpoints {
		url = e.URL
	}
	regions := slices.Sorted(maps.Keys(h.Regions))
	var pages []string
	for _, name := range slices.Sorted(maps.Keys(h.Metrics)) {
		pages = append(pages, h.Metrics[name].URL+" "+name)
	}
	fmt.Fprintf(p.stdout, `serving OpenAI chat completions at %s in %s; Ctrl-C ends it

  curl -N %s/v1/chat/completions -H 'Authorization: Bearer sk-paid' -d '{
    "model": "8b-chat", "stream": true, "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}'

metrics: %s
`, url, strings.Join(regions, ", "), url, strings.Join(pages, ", "))
}

func (p *program) nodeCommand() *cli.Command {
	return &cli.Command{
		Name: "stack-node", Usage: "a process of the reference stack", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			return refstack.RunNode(context.Background(), c.Args().Slice(), p.stdin, p.stderr)
		},
	}
}

func (p *program) smiCommand() *cli.Command {
	return &cli.Command{
		Name: "nvidia-smi", Usage: "the look-alike of the reference stack's GPUs", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			return exitCode(refstack.SMI(context.Background(), c.Args().Slice(), p.stdout))
		},
	}
}
