package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
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
		&cli.Float64Flag{Name: "cv", Usage: "with --rate: space them at coefficient of variation `CV`; 1: --poisson, more: bursts", DefaultText: "even"},
		&cli.StringFlag{Name: "burstiness", Hidden: true}, // vLLM's, which counts the other way round
		&cli.IntFlag{Name: "concurrency", Usage: "instead of a rate: `N` users, each sends when its last answer has ended", DefaultText: "a rate"},
		&cli.StringFlag{Name: "profile", Usage: "instead of a rate: a profile in `YAML`, such as '{ramp: {from: 1/s, to: 50/s, over: 1m}}'"},
		&cli.StringFlag{Name: "trace", Usage: "instead of a rate: replay the recording in `FILE`, its times and its lengths"},
		&cli.Float64Flag{Name: "speed", Usage: "with --trace: `X` times as fast", DefaultText: "1"},
		&cli.DurationFlag{Name: "start", Usage: "with --trace: leave out what comes before `TIME`", DefaultText: "its start"},
		&cli.DurationFlag{Name: "end", Usage: "with --trace: leave out what comes from `TIME` on", DefaultText: "its end"},
		&cli.StringFlag{Name: "keep", Usage: "with --trace: thin it out to `P%` of its requests"},
		&cli.DurationFlag{Name: "duration", Usage: "send for `TIME`", DefaultText: defaultLength.String() + ", or as long as the profile changes; a trace: to its end"},
		&cli.Int64Flag{Name: "requests", Usage: "send `N` requests, and then no more", DefaultText: "as many as there is time for"},
		&cli.StringFlag{Name: "workload", Usage: "send `WHAT`: chat, code … ('list' names all), or classes in YAML", DefaultText: attacks.ChatShort},
		&cli.Uint64Flag{Name: "seed", Usage: "draw arrivals and prompts from seed `N`", Value: 1},
		&cli.BoolFlag{Name: "dry-run", Usage: "send nothing: show the schedule; with --json, every request of it, as a trace"},
	}
}

// attackConfig reads the flags; all that is wrong with them is one error, a line each. A dry run may do without a URL.
func attackConfig(c *cli.Context) (attacks.Config, error) {
	cfg, err := loadConfig(c)
	errs := []error{err}
	if c.Args().Present() || !c.Bool("dry-run") {
		errs = append(errs, checkURL(c.Args().First()))
	}
	client, err := attackClient(c)
	errs = append(errs, err)
	cfg.Clients = []attacks.Client{client}
	if _, err = targets.DialectNamed(c.String("dialect")); err != nil {
		errs = append(errs, errors.New("--dialect: "+experiments.WithSuggestion(err.Error())))
	}
	cfg.Endpoint = targets.Endpoint{
		URL: c.Args().First(), CA: c.String("ca"), Model: c.String("model"), Dialect: c.String("dialect"), Headers: map[string]string{},
	}
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			errs = append(errs, fmt.Errorf("--header %q is not of the form 'NAME: VALUE'", h))
		}
		cfg.Endpoint.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return cfg, errors.Join(errs...)
}

// checkURL wants a server's base.
func checkURL(text string) error {
	base, err := url.Parse(text)
	if err == nil && base.Host != "" && (base.Scheme == "http" || base.Scheme == "https") {
		return nil
	}
	hint := ""
	if with, err := url.Parse("http://" + text); err == nil && with.Host != "" && !strings.Contains(text, "://") {
		hint = ": write " + with.String()
	}
	return fmt.Errorf("URL %q is not of the form http://host:port%s", text, hint)
}

// envName is what a shell lets a variable be called.
var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// attackClient is who sends the requests.
func attackClient(c *cli.Context) (attacks.Client, error) {
	client, err := behaviour(c)
	errs := []error{err}
	switch name := c.String("key-env"); {
	case envName.MatchString(name) && client.Key != "":
		errs = append(errs, errors.New("--key-env and the key of --client each say what to send: keep one"))
	case envName.MatchString(name):
		client.Key = "${" + name + "}"
	case c.IsSet("key-env"): // which may be the key itself: it is not said again
		errs = append(errs, errors.New("--key-env takes the name of a variable, such as OPENAI_API_KEY"))
	}
	return client, errors.Join(errs...)
}

// behaviour is what a client does, by its flags or by --client.
func behaviour(c *cli.Context) (attacks.Client, error) {
	if c.IsSet("client") {
		for _, name := range []string{"timeout", "retries", "first-token", "hedge", "retry-budget", "http2"} {
			if c.IsSet(name) {
				return attacks.Client{}, fmt.Errorf("--client says all of what a client does: leave out --%s, and write it there", name)
			}
		}
		if strings.TrimSpace(c.String("client")) == "" {
			return attacks.Client{}, errors.New("--client is empty: write '{retries: 2}'")
		}
		if err := noFile("client", "YAML", c.String("client")); err != nil {
			return attacks.Client{}, err
		}
		client, err := experiments.ParseClient("--client", c.String("client"))
		return client, errors.Join(err, alone(&client))
	}
	client := attacks.Client{
		Deadline: c.Duration("timeout"), Retries: c.Int("retries"), FirstToken: c.Duration("first-token"),
		Hedge: c.Duration("hedge"), HTTP2: c.Bool("http2"),
	}
	var errs []error
	if c.IsSet("retry-budget") {
		if err := client.RetryBudget.UnmarshalText([]byte(c.String("retry-budget"))); err != nil {
			errs = append(errs, fmt.Errorf("--retry-budget: %w", err))
		}
	}
	if client.Deadline <= 0 {
		errs = append(errs, errors.New("--timeout must be more than 0"))
		client.Deadline = 0
	}
	for _, err := range client.Validate() {
		errs = append(errs, errors.New("--"+flagWords(err.Error())))
	}
	return client, errors.Join(errs...)
}

// alone returns what of a client never comes in an attack by itself, or nil: it has one phase and one endpoint.
func alone(client *attacks.Client) error {
	var errs []error
	if s := client.Storm; s != nil && s.During != results.Baseline {
		errs = append(errs, fmt.Errorf("--client: storm: during %s: an attack has one phase, baseline: write during: baseline, or retries instead of a storm",
			cmp.Or(s.During, results.Fault)))
	}
	if client.Failover != nil {
		errs = append(errs, errors.New("--client: failover: an attack has one endpoint: leave it out, or write an experiment of a stack with several"))
	}
	return errors.Join(errs...)
}

// flagWords says of a client's fields what their flags are called.
func flagWords(text string) string {
	for _, name := range []string{"first_token", "retry_budget"} {
		text = strings.ReplaceAll(text, name, strings.ReplaceAll(name, "_", "-"))
	}
	return strings.NewReplacer(": write retries: 2 beside it", ": write --retries 2 beside it", "deadline", "timeout").Replace(text)
}

// loadConfig reads what the load is, without whom it is for.
func loadConfig(c *cli.Context) (cfg attacks.Config, err error) {
	cfg.Seed, cfg.Requests = c.Uint64("seed"), c.Int64("requests")
	cfg.Budget = attacks.Budget{Requests: c.Int64("max-requests"), Tokens: c.Int64("max-tokens")}
	var errs []error
	for _, name := range []string{"requests", "max-requests", "max-tokens"} {
		if c.IsSet(name) && c.Int64(name) <= 0 {
			errs = append(errs, fmt.Errorf("--%s must be more than 0: leave it out for no bound", name))
		}
	}
	if cfg.Profile, err = attackProfile(c); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, cfg.Profile.Validate()...)
	}
	for i, part := range cfg.Profile.Plus {
		if part.During != "" && part.During != results.Baseline {
			errs = append(errs, fmt.Errorf("--profile: plus[%d]: during %s: an attack has one phase, baseline: leave out during", i, part.During))
		}
	}
	if c.IsSet("duration") && c.Duration("duration") <= 0 {
		errs = append(errs, errors.New("--duration must be more than 0"))
	}
	if c.IsSet("workload") {
		cfg.Workload, err = parseWorkload(c.String("workload"))
		errs = append(errs, err)
		if cv := cfg.Workload.CV(); cv > 0 && unspaced(c) {
			cfg.Profile = attacks.Profile{Gamma: &attacks.Gamma{Rate: cfg.Profile.Constant.Rate, CV: cv}}
		}
	}
	return cfg, errors.Join(errs...)
}

// unspaced reports whether the flags say a rate, and leave open how its requests are spaced.
func unspaced(c *cli.Context) bool {
	return !slices.ContainsFunc([]string{"poisson", "cv", "concurrency", "profile", "trace", "burstiness"}, c.IsSet)
}

// noteBursts says that the workload has spaced the requests of a rate.
func (p *program) noteBursts(c *cli.Context, cfg *attacks.Config) {
	if g := cfg.Profile.Gamma; g != nil && unspaced(c) {
		fmt.Fprintf(p.stderr, "failwhale: such requests come in bursts, so these do: cv %v; for others write --cv, or --poisson\n", g.CV)
	}
}

func parseWorkload(text string) (attacks.Workload, error) {
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("--workload is empty: write %s", attacks.ChatShort)
	}
	if err := noFile("workload", "a preset's name or YAML", text); err != nil {
		return nil, err
	}
	return experiments.ParseWorkload("--workload", text)
}

// noFile refuses the name of a file, or curl's @ before it, in a flag that takes what would be in it, and says how to
// give it that.
func noFile(flag, takes, text string) error {
	path, at := strings.CutPrefix(text, "@")
	if !at && !strings.HasSuffix(path, ".yaml") && !strings.HasSuffix(path, ".yml") {
		return nil
	}
	return fmt.Errorf(`--%s takes %s, and no file: write --%[1]s "$(cat %[3]s)"`, flag, takes, path)
}

func parseProfile(text string) (attacks.Profile, error) {
	if strings.TrimSpace(text) == "" {
		return attacks.Profile{}, errors.New("--profile is empty: write '{poisson: {rate: 10/s}}'")
	}
	if err := noFile("profile", "YAML", text); err != nil {
		return attacks.Profile{}, err
	}
	return experiments.ParseProfile("--profile", text)
}

// attackProfile is what the flags say about when requests are due.
func attackProfile(c *cli.Context) (p attacks.Profile, err error) {
	if err = contradiction(c); err != nil {
		return p, err
	}
	switch {
	case c.IsSet("profile"):
		return parseProfile(c.String("profile"))
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
	if rate == 0 {
		return p, fmt.Errorf("--rate %s is 0: write %s", text, defaultRate)
	}
	switch {
	case c.Bool("poisson"):
		return attacks.Profile{Poisson: &attacks.Poisson{Rate: rate}}, nil
	case c.IsSet("cv"):
		return attacks.Profile{Gamma: &attacks.Gamma{Rate: rate, CV: c.Float64("cv")}}, nil
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
	if c.IsSet("burstiness") {
		write := "--cv CV"
		if b, err := strconv.ParseFloat(c.String("burstiness"), 64); err == nil && b > 0 && !math.IsInf(b, 0) {
			write = fmt.Sprintf("--cv %.3g", 1/math.Sqrt(b))
		}
		return fmt.Errorf("vLLM's burstiness B is --cv 1/√B: write %s", write)
	}
	if c.Bool("poisson") && c.IsSet("cv") {
		return errors.New("--poisson and --cv each say how requests are spaced: keep one; --poisson is --cv 1")
	}
	for _, name := range []string{"poisson", "cv"} {
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
	case p.Ends(results.Baseline), c.IsSet("requests"):
		return 0
	}
	return max(defaultLength, p.Span(results.Baseline))
}
