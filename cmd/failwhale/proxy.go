package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/targets/wire"
)

func (p *program) proxyCommand() *cli.Command {
	return &cli.Command{
		Name:  "proxy",
		Usage: "stand between a stack and something that it calls, so that dependency.latency can slow it",
		Description: "Each link listens and passes bytes on, unharmed unless a run holds a fault on it: under a lease of seconds,\n" +
			"so that they pass unharmed again when the run dies. It ends with Ctrl-C, and its connections with it.\n\n" +
			"EXAMPLE\n   failwhale proxy --control 127.0.0.1:8474 --link sessions=127.0.0.1:16379,10.0.0.5:6379\n" +
			"   # in the experiment: dependencies: {session_store: {control: 'http://127.0.0.1:8474', links: [sessions]}}\n\n" +
			"EXIT CODES\n   0 ended as asked · 2 bad usage · 4 it could not listen",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "link", Usage: "add a link: `NAME=LISTEN,UPSTREAM`, both host:port"},
			&cli.StringFlag{Name: "control", Usage: "serve the control API on `ADDR`; whoever reaches it can slow the links", Value: "127.0.0.1:8474"},
		},
		Action: p.proxyAction,
	}
}

func (p *program) proxyAction(c *cli.Context) error {
	// A flag of many values splits at commas, and a link has one: two values make a link.
	values := c.StringSlice("link")
	if c.Args().Present() || len(values) == 0 || len(values)%2 != 0 {
		return usage("proxy takes at least one --link NAME=LISTEN,UPSTREAM, and no argument")
	}
	proxy := wire.New(wire.Config{})
	defer proxy.Close() //nolint:errcheck // it ends with the process
	for i := 0; i < len(values); i += 2 {
		name, listen, ok := strings.Cut(values[i], "=")
		if !ok {
			return usage("--link %q is not of the form NAME=LISTEN,UPSTREAM", values[i]+","+values[i+1])
		}
		addr, err := proxy.Add(wire.Link{Name: name, Listen: listen, Upstream: values[i+1]})
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "link %s: %s to %s\n", name, addr, values[i+1])
	}
	ctx, stop := p.interruptible("ending the proxy")
	defer stop()
	control, err := new(net.ListenConfig).Listen(ctx, "tcp", c.String("control"))
	if err != nil {
		return fmt.Errorf("serve the control API: %w", err)
	}
	fmt.Fprintf(p.stdout, "control: http://%s\n", control.Addr())
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // Serve says how it ended
	if err := server.Serve(control); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control API: %w", err)
	}
	return nil
}
