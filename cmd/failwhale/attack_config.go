package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/targets"
)

// attackConfig reads the flags; all that is wrong with them is one error.
func attackConfig(c *cli.Context) (attacks.Config, error) {
	var cfg attacks.Config
	base, err := url.Parse(c.Args().First())
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return cfg, fmt.Errorf("URL %q is not of the form http://host:port", c.Args().First())
	}
	var rate attacks.Rate
	if err = rate.UnmarshalText([]byte(c.String("rate"))); err != nil {
		return cfg, err
	}
	if c.Duration("duration") <= 0 || c.Duration("timeout") <= 0 {
		return cfg, fmt.Errorf("--duration and --timeout must be more than 0")
	}
	cfg.Profile = attacks.Profile{Constant: &attacks.Constant{Rate: rate}}
	if c.Bool("poisson") {
		cfg.Profile = attacks.Profile{Poisson: &attacks.Poisson{Rate: rate}}
	}
	if err = cfg.Workload.UnmarshalText([]byte(c.String("workload"))); err != nil {
		return cfg, err
	}
	client := attacks.Client{Deadline: c.Duration("timeout"), Retries: c.Int("retries")}
	if name := c.String("key-env"); name != "" {
		client.Key = "${" + name + "}"
	}
	cfg.Clients = []attacks.Client{client}
	cfg.Seed = c.Uint64("seed")
	cfg.Endpoint = targets.Endpoint{URL: base.String(), CA: c.String("ca"), Model: c.String("model"), Headers: map[string]string{}}
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return cfg, fmt.Errorf("--header %q is not of the form 'NAME: VALUE'", h)
		}
		cfg.Endpoint.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return cfg, nil
}
