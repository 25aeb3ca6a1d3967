package results

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WriteLoad draws the report of a load that nothing was claimed about: of all answers that a status
// check calls served, how many were not, first; then how long things took, how much there was of
// them, how requests ended, what clients did, and who was hit.
func (r *Report) WriteLoad(w io.Writer, opts TableOptions) error {
	s := newScreen(opts)
	for _, part := range []func(*screen) error{
		r.loadHeadline, r.notes, r.loadTimes, r.selfLine, r.loadRates, r.loadOutcomes, r.loadClients, r.loadSlices, r.loadServers,
	} {
		if err := part(s); err != nil {
			return err
		}
	}
	_, err := w.Write(s.out.Bytes())
	return err
}

// load is the one phase of an attack; its zero value if that never began.
func (r *Report) load() *PhaseStats {
	if p := r.phase(Baseline); p != nil {
		return p
	}
	return new(PhaseStats)
}

func (r *Report) loadHeadline(s *screen) error {
	p := r.load()
	answers := p.Complete + p.CutAfter200
	st := green
	if p.CutAfter200 > 0 || answers == 0 {
		st = red
	}
	first := "No answer had a 2xx status"
	if answers > 0 {
		first = fmt.Sprintf("%s of %d answers with a 2xx status were cut, empty, in error or wrong%s",
			part(p.CutAfter200, answers), answers, kinds(p.FailedWith2xx))
	}
	s.text("", st, first)
	failed, st := p.Requests-p.Complete, green
	if failed > 0 || p.Requests == 0 {
		st = red
	}
	second := fmt.Sprintf("%s of %d requests failed", part(failed, p.Requests), p.Requests)
	if p.Refused > 0 {
		second += fmt.Sprintf(", %d of them refused (429, 503)", p.Refused)
	}
	if n := p.leavers(); n > 0 {
		second += fmt.Sprintf("; %d more users left by plan", n)
	}
	if n := p.Cancelled - p.leavers(); n > 0 && r.Exit == ExitInterrupted {
		second += fmt.Sprintf("; %d more were cancelled by the interrupt", n)
	}
	if p.Leaks > 0 {
		second += "; " + swapped(p.Leaks)
	}
	s.text("", st, second)
	switch r.Exit {
	case ExitHeld:
	case ExitInterrupted:
		s.text("", yellow, "interrupted after "+at(r.Duration))
	default:
		s.text("", yellow, plain(r.Why))
	}
	var run []string
	if r.Stack != "" {
		run = append(run, plain(r.Stack))
	}
	run = append(run, "took "+at(r.Duration), fmt.Sprintf("seed %d", r.Seed), fmt.Sprintf("exit %d", r.Exit))
	s.text("", dim, strings.Join(run, " · "))
	return nil
}

// kinds lists outcomes: ": 30 truncated, 7 stream_error".
func kinds(all []OutcomeStats) string {
	var parts []string
	for _, o := range all {
		parts = append(parts, fmt.Sprintf("%d %s", o.Count, o.Outcome))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// aboutWidth is how wide a screen must be for the words beside the times.
const aboutWidth = 96

// meanOf is the mean of the finite values; a dash where none is.
func meanOf(q Quantiles) string {
	if q.Mean == 0 && math.IsInf(float64(q.Max), 1) {
		return "–"
	}
	return q.Mean.String()
}

// loadTimes are the distributions, one a row, and what to mind when reading them.
func (r *Report) loadTimes(s *screen) error {
	p := r.load()
	if p.Requests+p.Cancelled == 0 {
		s.text("\n", "", "No request was due: there is nothing to show.")
		return nil
	}
	g := grid{
		header: []string{"", "p50", "p90", "p99", "max", "mean", "n", ""},
		right:  []bool{false, true, true, true, true, true, true, false},
	}
	never := false
	for _, row := range []struct {
		name  string
		q     Quantiles
		about string
	}{
		{"ttft", p.TTFT, "due → first token"},
		{"ttft_sent", p.TTFTSent, "sent → first token"},
		{"itl", p.ITL, "between chunks"},
		{"tpot", p.TPOT, "per token after the first"},
		{"e2e", p.E2E, "due → last token"},
		{"e2e_sent", p.E2ESent, "sent → last token"},
		{"stall", p.Stall, "longest silence of a stream"},
		{"lag", r.Lag, "due → sent: our own lateness"},
	} {
		q := row.q
		if q.N == 0 {
			g.add(row.name, "–", "–", "–", "–", "–", "0", s.paint(dim, row.about))
			continue
		}
		never = never || math.IsInf(float64(q.Max), 1)
		g.add(row.name, q.P50.String(), q.P90.String(), q.P99.String(), q.Max.String(), meanOf(q),
			strconv.Itoa(q.N), s.paint(dim, row.about))
	}
	if s.width < aboutWidth {
		g.header = g.header[:len(g.header)-1]
		for i, row := range g.rows {
			g.rows[i] = row[:len(g.header)]
		}
	}
	s.title("TIMES", "")
	if err := s.table(g); err != nil {
		return err
	}
	if r.ClosedLoop {
		s.text("   ", yellow, closedLoop)
	}
	if never {
		s.text("   ", dim, "inf: a request that failed counts as never; the mean is that of the others")
	}
	if x := p.TokensPerChunk; p.ITL.N > 0 && math.Abs(x-1) >= chunkSlack {
		s.text("   ", yellow, fmt.Sprintf("itl is the time between chunks of %s tokens, not between tokens: that is tpot", digits(x)))
	}
	if p.Coalesced >= coalescedLarge {
		s.text("   ", yellow, Percent(p.Coalesced)+" of the chunks came in one read with the chunk before: "+r.heldBack()+"; their gaps are not in itl")
	}
	return nil
}

// heldBack says what makes one read bring several chunks: our own clients, where they wait between reads.
func (r *Report) heldBack() string {
	const others = "something on the way held them back, or this machine was busy"
	switch r.SlowReaders {
	case SlowAll:
		return "our clients read slowly by plan (read), and find several at a time"
	case SlowSome:
		return "some of our clients read slowly by plan (read), and find several at a time; or " + others
	}
	return others
}

// From these on what a chunk is must be said beside an ITL.
const (
	chunkSlack     = 0.1 // of a token, either way from one a chunk
	coalescedLarge = 0.1
)

// loadRates are the counts and what came of them each second.
func (r *Report) loadRates(s *screen) error {
	p := r.load()
	if p.Requests+p.Cancelled == 0 {
		return nil
	}
	perSecond := func(n int) string {
		if p.Duration <= 0 {
			return "–"
		}
		return digits(float64(n) / p.Duration.Seconds())
	}
	g := grid{header: []string{"", "per second", ""}, right: []bool{false, true, false}}
	sent := []string{fmt.Sprintf("%d in %s", p.Requests+p.Cancelled, at(p.Duration))}
	for _, also := range []struct {
		n    int
		what string
	}{{p.leavers(), "of them left by plan"}, {p.Cancelled - p.leavers(), "of them cancelled"}, {p.Reconnects, "stale connections replaced"}} {
		if also.n > 0 {
			sent = append(sent, fmt.Sprintf("%d %s", also.n, also.what))
		}
	}
	g.add("requests", perSecond(p.Requests+p.Cancelled), strings.Join(sent, ", "))
	if a := p.Attempts; a != nil {
		g.add("attempts", perSecond(a.Attempts), a.line())
	}
	tokens := "none"
	if p.TokensPerChunk > 0 {
		tokens = digits(p.TokensPerChunk) + " a chunk; counted by (answers): " + countedBy(p.CountedBy)
	}
	g.add("tokens received", digits(p.TokensPerSecond), tokens)
	g.add("tokens of complete answers", digits(p.GoodputTokens), "of those")
	if p.SLO != nil {
		met := fmt.Sprintf("%s of %d requests within %s", part(p.SLO.Met, p.Requests), p.Requests, r.SLO)
		g.add("goodput", digits(p.SLO.Goodput), met)
		g.add("", "", missed(p))
	}
	s.fitLast(&g)
	s.title("RATES", "  over the "+at(p.Duration)+" of load")
	if err := s.table(g); err != nil {
		return err
	}
	r.leakLine(s)
	return nil
}

// countedBy says who counted the tokens of how many answers: "server 148, chunks 2".
func countedBy(by map[UsageSource]int) string {
	known := []UsageSource{UsageServer, UsageContinuous, UsageTokenizer, UsageChunks}
	var parts []string
	for _, source := range known {
		if n := by[source]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", source, n))
		}
	}
	for _, source := range slices.Sorted(maps.Keys(by)) {
		if !slices.Contains(known, source) {
			parts = append(parts, fmt.Sprintf("%s %d", plain(string(source)), by[source]))
		}
	}
	return strings.Join(parts, ", ")
}

// missed says what kept requests from the SLO, the worst first.
func missed(p *PhaseStats) string {
	var parts []string
	for _, b := range p.SLO.Missed {
		parts = append(parts, fmt.Sprintf("%d by %s", b.Count, b.Bound))
	}
	if n := p.Requests - p.Complete; n > 0 {
		parts = append(parts, fmt.Sprintf("%d were not complete", n))
	}
	if len(parts) == 0 {
		return "missed by none"
	}
	return "missed: " + strings.Join(parts, ", ")
}

// loadOutcomes says how requests ended.
func (r *Report) loadOutcomes(s *screen) error {
	rows := r.outcomeRows()
	if len(rows) == 0 {
		return nil
	}
	p := r.load()
	g := grid{header: []string{"outcome", "n", "share", "commonest error"}, right: []bool{false, true, true, false}}
	for _, row := range rows {
		share := "–" // what was cancelled says nothing of the server
		if row.outcome != Cancelled {
			share = Percent(over(row.total, p.Requests))
		}
		g.add(row.outcome.String(), strconv.Itoa(row.total), share, plain(row.errors[Baseline]))
	}
	s.fitLast(&g)
	s.title("OUTCOMES", "")
	return s.table(g)
}

// loadSlices says who was served how: each label's values, the worst first.
func (r *Report) loadSlices(s *screen) error {
	g := grid{
		header: []string{"label", "n", "success", "ttft p50", "ttft p99", "itl p99", "e2e p99", "stall p99", "tokens/s"},
		right:  []bool{false, true, true, true, true, true, true, true, true},
	}
	if r.SLO != "" {
		g.header, g.right = append(g.header, "in slo"), append(g.right, true)
	}
	r.sliceRows(&g, Baseline, func(c comparison) []string {
		p := &c.now.PhaseStats
		row := []string{
			c.name(), strconv.Itoa(p.Requests), successOf(p), timeOf(p.TTFT, Quantiles.p50), timeOf(p.TTFT, Quantiles.p99),
			timeOf(p.ITL, Quantiles.p99), timeOf(p.E2E, Quantiles.p99), timeOf(p.Stall, Quantiles.p99), digits(p.TokensPerSecond),
		}
		if p.SLO != nil {
			row = append(row, Percent(p.SLO.Share))
		}
		return row
	})
	if len(g.rows) == 0 {
		return nil
	}
	s.title("BY LABEL", "")
	return s.table(g)
}

// over is a share, and 0 of nothing.
func over(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}
