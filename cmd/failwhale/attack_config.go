package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

const (
	defaultRate   = "10/s"
	defaultLength = 10 * time.Second
)

// loadFlags say what the load is: when requests are due, and what they say.
func loadFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "rate", Usage: "send `N/s` requests, evenly spaced", DefaultText: defaultRate},
		&cli.BoolFlag{Name: "poisson", Usage: "with --rate: space them at random, as independent users do"},
		&cli.Float64Flag{Name: "burstiness", Usage: "with --rate: space them at coefficient of variation `CV`; 1: --poisson, more: bursts", DefaultText: "even"},
		&cli.IntFlag{Name: "concurrency", Usage: "instead of a rate: `N` users, each sends when its last answer has ended", DefaultText: "a rate"},
		&cli.StringFlag{Name: "profile", Usage: "instead of a rate: a profile in `YAML`, such as '{ramp: {from: 1/s, to: 50/s, over: 1m}}'"},
		&cli.StringFlag{Name: "trace", Usage: "instead of a rate: replay the recording in `FILE`, its times and its lengths"},
		&cli.Float64Flag{Name: "speed", Usage: "with --trace: `X` times as fast", DefaultText: "1"},
		&cli.DurationFlag{Name: "start", Usage: "with --trace: leave out what comes before `TIME`", DefaultText: "its start"},
		&cli.DurationFlag{Name: "end", Usage: "with --trace: leave out what comes from `TIME` on", DefaultText: "its end"},
		&cli.StringFlag{Name: "keep", Usage: "with --trace: thin it out to `P%` of its requests"},
		&cli.DurationFlag{Name: "duration", Usage: "send for `TIME`", DefaultText: defaultLength.String() + ", or as long as the profile changes; a trace: to its end"},
		&cli.StringFlag{Name: "workload", Usage: "send what preset `NAME` says: " + strings.Join(attacks.WorkloadPresets(), ", "), DefaultText: "a trace's lengths, else " + attacks.ChatShort},
		&cli.Uint64Flag{Name: "seed", Usage: "draw arrivals and prompts from seed `N`", Value: 1},
		&cli.BoolFlag{Name: "dry-run", Usage: "send nothing: show the schedule; with --json, every request of it, as a trace"},
	}
}

// dialectNames lists the wire formats, the default first.
func dialectNames() string {
	var names []string
	for _, d := range targets.Dialects() {
		names = append(names, d.Name())
	}
	return strings.Join(names, ", ")
}

// attackConfig reads the flags; all that is wrong with them is one error.
func attackConfig(c *cli.Context) (attacks.Config, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return cfg, err
	}
	base, err := url.Parse(c.Args().First())
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return cfg, fmt.Errorf("URL %q is not of the form http://host:port", c.Args().First())
	}
	if c.Duration("timeout") <= 0 {
		return cfg, errors.New("--timeout must be more than 0")
	}
	client := attacks.Client{Deadline: c.Duration("timeout"), Retries: c.Int("retries")}
	if name := c.String("key-env"); name != "" {
		client.Key = "${" + name + "}"
	}
	cfg.Clients = []attacks.Client{client}
	if _, err = targets.DialectNamed(c.String("dialect")); err != nil {
		return cfg, fmt.Errorf("--dialect: %w", err)
	}
	cfg.Endpoint = targets.Endpoint{
		URL: base.String(), CA: c.String("ca"), Model: c.String("model"), Dialect: c.String("dialect"), Headers: map[string]string{},
	}
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return cfg, fmt.Errorf("--header %q is not of the form 'NAME: VALUE'", h)
		}
		cfg.Endpoint.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return cfg, nil
}

// loadConfig reads what the load is, without whom it is for.
func loadConfig(c *cli.Context) (cfg attacks.Config, err error) {
	cfg.Seed = c.Uint64("seed")
	if cfg.Profile, err = attackProfile(c); err != nil {
		return cfg, err
	}
	if errs := cfg.Profile.Validate(); len(errs) > 0 {
		return cfg, errors.Join(errs...)
	}
	for i, part := range cfg.Profile.Plus {
		if part.During != "" && part.During != results.Baseline {
			return cfg, fmt.Errorf("--profile: plus[%d]: during %s: an attack has one phase, baseline: leave out during", i, part.During)
		}
	}
	if c.IsSet("duration") && c.Duration("duration") <= 0 {
		return cfg, errors.New("--duration must be more than 0")
	}
	if c.IsSet("workload") {
		err = cfg.Workload.UnmarshalText([]byte(c.String("workload")))
	}
	return cfg, err
}

// attackProfile is what the flags say about when requests are due.
func attackProfile(c *cli.Context) (p attacks.Profile, err error) {
	if err = contradiction(c); err != nil {
		return p, err
	}
	switch {
	case c.IsSet("profile"):
		return experiments.ParseProfile("--profile", c.String("profile"))
	case c.IsSet("concurrency"):
		return attacks.Profile{Concurrency: &attacks.Concurrency{Users: c.Int("concurrency")}}, nil
	case c.IsSet("trace"):
		trace := &attacks.Trace{File: c.String("trace"), Speed: c.Float64("speed"), Start: c.Duration("start"), End: c.Duration("end")}
		if c.IsSet("speed") && trace.Speed == 0 {
			return p, errors.New("--speed must be more than 0")
		}
		if c.IsSet("keep") {
			err = trace.Keep.UnmarshalText([]byte(c.String("keep")))
		}
		return attacks.Profile{Trace: trace}, err
	}
	text, rate := defaultRate, attacks.Rate(0)
	if c.IsSet("rate") {
		text = c.String("rate")
	}
	if err = rate.UnmarshalText([]byte(text)); err != nil {
		return p, err
	}
	switch {
	case c.Bool("poisson"):
		return attacks.Profile{Poisson: &attacks.Poisson{Rate: rate}}, nil
	case c.IsSet("burstiness"):
		return attacks.Profile{Gamma: &attacks.Gamma{Rate: rate, CV: c.Float64("burstiness")}}, nil
	}
	return attacks.Profile{Constant: &attacks.Constant{Rate: rate}}, nil
}

// contradiction says which flags cannot stand beside each other.
func contradiction(c *cli.Context) error {
	var ways []string
	for _, name := range []string{"rate", "concurrency", "profile", "trace"} {
		if c.IsSet(name) {
			ways = append(ways, "--"+name)
		}
	}
	if len(ways) > 1 {
		return fmt.Errorf("%s each say when requests are due: keep one", strings.Join(ways, " and "))
	}
	if c.Bool("poisson") && c.IsSet("burstiness") {
		return errors.New("--poisson and --burstiness each say how requests are spaced: keep one; --poisson is --burstiness 1")
	}
	for _, name := range []string{"poisson", "burstiness"} {
		if c.IsSet(name) && len(ways) > 0 && !c.IsSet("rate") {
			return fmt.Errorf("--%s says how the requests of a --rate are spaced: leave it out, or %s", name, ways[0])
		}
	}
	for _, name := range []string{"speed", "start", "end", "keep"} {
		if c.IsSet(name) && !c.IsSet("trace") {
			return fmt.Errorf("--%s is about a --trace, and there is none", name)
		}
	}
	return nil
}

// attackLength is how long load is put on. 0: until the schedule is at its end.
func attackLength(c *cli.Context, p attacks.Profile) time.Duration {
	switch {
	case c.IsSet("duration"):
		return c.Duration("duration")
	case p.Ends(results.Baseline):
		return 0
	}
	return max(defaultLength, p.Span(results.Baseline))
}
