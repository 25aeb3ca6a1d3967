package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// dryRun shows what attack would send, and connects to nobody.
func (p *program) dryRun(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return usage("attack takes one URL, not %d arguments", c.Args().Len())
	}
	cfg, err := attackConfig(c)
	_, badSLO := experiments.ParseSLO(c.String("slo"))
	_, badPages := attackMetrics(c.StringSlice("metrics"))
	if err = errors.Join(err, badSLO, badPages, checkExports(c), fruitless(c, cfg.Profile)); err != nil {
		return usage("%w", err)
	}
	p.noteBursts(c, &cfg)
	ctx, stop := p.interruptible("stopping; once more to exit at once")
	defer stop()
	plot := plot{cfg: cfg, limit: attackLength(c, cfg.Profile), interrupted: ctx.Err}
	out := bufio.NewWriter(p.stdout)
	if c.Bool("json") {
		err = plot.list(out)
	} else {
		err = plot.show(out)
	}
	switch {
	case ctx.Err() != nil:
		return exit(results.ExitInterrupted)
	case err != nil:
		return usage("%w", err)
	}
	return out.Flush()
}

// fruitless says what of the flags a dry run has nothing for.
func fruitless(c *cli.Context, p attacks.Profile) error {
	var errs []error
	for _, name := range []string{"vegeta", "samples"} {
		if c.IsSet(name) {
			errs = append(errs, fmt.Errorf("--%s has results, and --dry-run sends nothing: leave out one of the two", name))
		}
	}
	if p.Concurrency != nil {
		errs = append(errs, fmt.Errorf("a %s has no schedule, as who sends next depends on the answers: leave out --dry-run", p))
	}
	return errors.Join(errs...)
}

// mostShown is how many requests are looked at for a histogram, a few seconds' work.
const mostShown = 20_000_000

// A plot is a schedule to be looked at.
type plot struct {
	cfg   attacks.Config
	limit time.Duration // 0: its own end
	// interrupted says, before each request, if it is the last one.
	interrupted func() error

	n              int
	first          []attacks.Request
	last           time.Duration
	gaps           float64 // their sum, and that of their squares, in seconds
	squares        float64
	prompts, asked lengths
	columns        []column
}

// A column is what requests say of themselves beside their lengths.
type column struct {
	name   string
	of     func(attacks.Request) string
	counts map[string]int // by what they say
}

// newColumns are those that the load has: most have none.
func newColumns(w attacks.Workload) (all []column) {
	features, models := w.Labels()
	add := func(is bool, name string, of func(attacks.Request) string) {
		if is {
			all = append(all, column{name: name, of: of, counts: map[string]int{}})
		}
	}
	add(len(features) > 0, "feature", func(r attacks.Request) string { return r.Feature })
	add(len(models) > 0, "model", func(r attacks.Request) string { return r.Model })
	add(slices.ContainsFunc(w, func(c attacks.Class) bool { return c.Prefix != nil && c.Prefix.Groups > 1 }), "prefix group",
		func(r attacks.Request) string { return strings.TrimPrefix(strconv.Itoa(r.Group), "0") })
	return all
}

// String gives the parts of the commonest: "code 80%, chat 20%".
func (c column) String() string {
	total := 0
	for _, n := range c.counts {
		total += n
	}
	names := slices.SortedFunc(maps.Keys(c.counts), func(a, b string) int {
		return cmp.Or(c.counts[b]-c.counts[a], strings.Compare(a, b))
	})
	var parts []string
	for i, name := range names {
		if i == mostParts {
			parts = append(parts, fmt.Sprintf("and %d others", len(names)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %s%%", cmp.Or(name, "–"), figure(100*float64(c.counts[name])/float64(total))))
	}
	return strings.Join(parts, ", ")
}

// mostParts fit into a line.
const mostParts = 5

// each calls do with every request of the schedule.
func (s *plot) each(do func(attacks.Request) error) error {
	for r, err := range s.cfg.Schedule(results.Baseline) {
		if err != nil {
			return err
		}
		if s.limit > 0 && r.Due >= s.limit {
			return nil
		}
		if err = s.interrupted(); err != nil {
			return err
		}
		if err = do(r); err != nil {
			return err
		}
	}
	return nil
}

// list writes the requests as a trace that --trace replays.
func (s *plot) list(w io.Writer) error {
	if _, err := io.WriteString(w, attacks.TraceHeader); err != nil {
		return err
	}
	var line []byte
	return s.each(func(r attacks.Request) error {
		line = attacks.AppendTrace(line[:0], r)
		_, err := w.Write(line)
		return err
	})
}

// shown is how many of the first requests are listed.
const shown = 10

// show draws the schedule. It goes through it twice: before the end is known there are no bars.
func (s *plot) show(w io.Writer) error {
	s.prompts, s.asked, s.columns = lengths{}, lengths{}, newColumns(s.cfg.Workload)
	if err := s.each(s.measure); err != nil {
		return err
	}
	whole := s.limit
	if whole == 0 {
		whole = s.last + 1
	}
	fmt.Fprintf(w, "%s\nseed %d: %d requests", briefRates(s.cfg.Profile.String()), s.cfg.Seed, s.n)
	if s.n == 0 {
		fmt.Fprintf(w, " in %s\n", whole)
		return nil
	}
	fmt.Fprintf(w, " in %s, %s/s on average\n", whole.Round(time.Millisecond), figure(float64(s.n)/max(whole, time.Second).Seconds()))
	if s.cfg.Workload.Converses() {
		fmt.Fprintln(w, "of conversations that is the first turn; when the others are due depends on the answers")
	}
	fmt.Fprintf(w, "first at %s, last at %s\n", brief(s.first[0].Due), brief(s.last))
	if line := loadLine(&s.cfg, s.limit); line != "" {
		fmt.Fprintf(w, "in all: %s\n", line)
	}
	fmt.Fprintf(w, "gaps: coefficient of variation %s (0 evenly spaced, 1 poisson, more: bursts)\n", s.variation())
	fmt.Fprintf(w, "prompt tokens: %s\noutput tokens: %s\n", s.prompts, s.asked)
	for _, c := range s.columns {
		fmt.Fprintf(w, "%ss: %s\n", c.name, c)
	}
	fmt.Fprintln(w)
	if err := s.bars(w, whole); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%14s %14s %14s", "due", "prompt tokens", "output tokens")
	for _, c := range s.columns {
		fmt.Fprintf(w, " %14s", c.name)
	}
	for _, r := range s.first {
		fmt.Fprintf(w, "\n%14s %14d %14d", brief(r.Due), r.PromptTokens, r.OutputTokens)
		for _, c := range s.columns {
			fmt.Fprintf(w, " %14s", cmp.Or(c.of(r), "–"))
		}
	}
	fmt.Fprintln(w)
	return nil
}

func (s *plot) measure(r attacks.Request) error {
	if s.n > 0 {
		gap := (r.Due - s.last).Seconds()
		s.gaps += gap
		s.squares += gap * gap
	}
	if s.n == mostShown {
		return fmt.Errorf("more than %d requests are due: look at less, with a shorter --duration", mostShown)
	}
	if s.n++; len(s.first) < shown {
		r.Blocks = nil // which are its own only for now
		s.first = append(s.first, r)
	}
	s.last = r.Due
	s.prompts[r.PromptTokens]++
	s.asked[r.OutputTokens]++
	for _, c := range s.columns {
		c.counts[c.of(r)]++
	}
	return nil
}

// variation is the standard deviation of the gaps in mean gaps.
func (s *plot) variation() string {
	n := float64(s.n - 1)
	if n < 1 || s.gaps == 0 {
		return "–"
	}
	mean := s.gaps / n
	cv := math.Sqrt(max(0, s.squares/n-mean*mean)) / mean
	return figure(math.Round(cv*1000) / 1000) // what is finer is of floats
}

// Of the histogram: at most so many lines, each at most so wide with its figures.
const (
	mostBars = 24
	barWidth = 50
)

// bars draws how many requests are due in each piece of time.
func (s *plot) bars(w io.Writer, whole time.Duration) error {
	width := niceWidth(whole)
	counts := make([]int, (whole-1)/width+1)
	if err := s.each(func(r attacks.Request) error {
		counts[min(int(r.Due/width), len(counts)-1)]++
		return nil
	}); err != nil {
		return err
	}
	most := slices.Max(counts)
	fmt.Fprintf(w, "%14s %8s\n", "from", "requests")
	for i, n := range counts {
		bar := strings.TrimRight(" "+strings.Repeat("█", (n*barWidth+most-1)/most), " ")
		fmt.Fprintf(w, "%14s %8d%s\n", time.Duration(i)*width, n, bar)
	}
	return nil
}

// niceWidth is the least of 1, 2, 5, 10 … that needs no more bars than there may be; from a minute on in minutes.
func niceWidth(whole time.Duration) time.Duration {
	for unit := time.Microsecond; ; unit *= 10 {
		for _, width := range []time.Duration{unit, 2 * unit, 5 * unit} {
			if width >= whole/mostBars && (width < time.Minute || width%time.Minute == 0) {
				return width
			}
		}
		if unit == 10*time.Second {
			unit = 6 * time.Second // times ten is a minute
		}
	}
}

// lengths counts how many requests have each length.
type lengths map[int]int

// String gives median, 90th percentile and maximum.
func (l lengths) String() string {
	total := 0
	for _, n := range l {
		total += n
	}
	sorted := slices.Sorted(maps.Keys(l))
	at := func(q float64) int {
		rank := int(math.Ceil(q * float64(total)))
		for _, length := range sorted {
			if rank -= l[length]; rank <= 0 {
				return length
			}
		}
		return 0
	}
	return fmt.Sprintf("p50 %d, p90 %d, max %d", at(0.5), at(0.9), at(1))
}

// brief rounds to three digits, and to no more than hundredths of a second.
func brief(d time.Duration) time.Duration {
	step := time.Duration(1)
	for step < 10*time.Millisecond && step*1000 <= d {
		step *= 10
	}
	return d.Round(step)
}

// longRate is a rate that was written as 5/m.
var longRate = regexp.MustCompile(`\d+\.\d{4,}(e-\d+)?/s`)

// briefRates rounds the rates in a text.
func briefRates(text string) string {
	return longRate.ReplaceAllStringFunc(text, func(rate string) string {
		if x, err := strconv.ParseFloat(strings.TrimSuffix(rate, "/s"), 64); err == nil {
			return figure(x) + "/s"
		}
		return rate
	})
}

// figure writes three digits.
func figure(x float64) string {
	switch {
	case x >= 100 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.3g", x)
}
