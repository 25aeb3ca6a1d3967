package results

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// A figure is one row of the phases' table.
type figure struct {
	name   string
	show   func(*PhaseStats) string
	change func(base, now *PhaseStats) string // nil: says nothing against the baseline
	// only says whether a phase makes the row worth its place; nil: always shown.
	only func(*PhaseStats) bool
}

func figures() []figure {
	quantile := func(name string, of func(*PhaseStats) Quantiles, q func(Quantiles) Seconds) figure {
		return figure{
			name: name,
			show: func(p *PhaseStats) string { return timeOf(of(p), q) },
			change: func(base, now *PhaseStats) string {
				if of(base).N == 0 || of(now).N == 0 {
					return ""
				}
				return times(float64(q(of(base))), float64(q(of(now))))
			},
		}
	}
	rate := func(name string, of func(*PhaseStats) float64) figure {
		return figure{
			name:   name,
			show:   func(p *PhaseStats) string { return digits(of(p)) },
			change: func(base, now *PhaseStats) string { return times(of(base), of(now)) },
		}
	}
	rare := func(name string, of func(*PhaseStats) int) figure {
		return figure{
			name: name,
			show: func(p *PhaseStats) string { return strconv.Itoa(of(p)) },
			only: func(p *PhaseStats) bool { return of(p) > 0 },
		}
	}
	ttft := func(p *PhaseStats) Quantiles { return p.TTFT }
	itl := func(p *PhaseStats) Quantiles { return p.ITL }
	e2e := func(p *PhaseStats) Quantiles { return p.E2E }
	late := func(f figure, due, sent func(*PhaseStats) Quantiles) figure {
		f.only = func(p *PhaseStats) bool { return ourLateness(due(p), sent(p)) }
		return f
	}
	ttftSent := func(p *PhaseStats) Quantiles { return p.TTFTSent }
	e2eSent := func(p *PhaseStats) Quantiles { return p.E2ESent }
	return []figure{
		{name: "length", show: func(p *PhaseStats) string { return at(p.Duration) }},
		{name: "requests", show: func(p *PhaseStats) string { return strconv.Itoa(p.Requests + p.Cancelled) }},
		rate("requests/s (due)", func(p *PhaseStats) float64 { return perSecond(p.Requests+p.Cancelled, p.Duration) }),
		rare("of them left by plan", (*PhaseStats).leavers),
		rare("of them cancelled", func(p *PhaseStats) int { return p.Cancelled - p.leavers() }),
		{name: "success", show: successOf, change: points},
		{name: "2xx, yet cut/empty/error", show: func(p *PhaseStats) string { return part(p.CutAfter200, p.Complete+p.CutAfter200) }},
		{name: "refused (429, 503)", show: func(p *PhaseStats) string { return part(p.Refused, p.Requests) }},
		{name: "failed before a token", show: func(p *PhaseStats) string { return part(p.Infinite, p.Requests) }},
		rare("LEAKS (another's answer)", func(p *PhaseStats) int { return p.Leaks }),
		quantile("ttft p50", ttft, Quantiles.p50), quantile("ttft p99", ttft, Quantiles.p99),
		late(quantile("ttft_sent p99", ttftSent, Quantiles.p99), ttft, ttftSent),
		quantile("itl p50", itl, Quantiles.p50), quantile("itl p99", itl, Quantiles.p99),
		quantile("stall p99", func(p *PhaseStats) Quantiles { return p.Stall }, Quantiles.p99),
		quantile("e2e p50", e2e, Quantiles.p50), quantile("e2e p99", e2e, Quantiles.p99),
		late(quantile("e2e_sent p99", e2eSent, Quantiles.p99), e2e, e2eSent),
		rate("tokens/s", func(p *PhaseStats) float64 { return p.TokensPerSecond }),
		rate("goodput tokens/s", func(p *PhaseStats) float64 { return p.GoodputTokens }),
		{name: "goodput /s (slo)", show: func(p *PhaseStats) string { return digits(goodputOf(p)) }, only: func(p *PhaseStats) bool { return p.SLO != nil }, change: func(base, now *PhaseStats) string { return times(goodputOf(base), goodputOf(now)) }},
		rate("amplification", func(p *PhaseStats) float64 { return p.Amplification }),
		rate("tokens per chunk", func(p *PhaseStats) float64 { return p.TokensPerChunk }),
		rare("stale connections", func(p *PhaseStats) int { return p.Reconnects }),
	}
}

// ourLateness reports whether a latency from Due and the same from Sent differ so much that both must be shown.
func ourLateness(due, sent Quantiles) bool {
	late := float64(due.P99 - sent.P99)
	return sent.N > 0 && late >= 1e-3 && late >= 0.05*float64(due.P99)
}

// perSecond is how many come in a second; 0 of no time.
func perSecond(n int, in time.Duration) float64 {
	if in <= 0 {
		return 0
	}
	return float64(n) / in.Seconds()
}

func goodputOf(p *PhaseStats) float64 {
	if p.SLO == nil {
		return 0
	}
	return p.SLO.Goodput
}

func (q Quantiles) p50() Seconds { return q.P50 }
func (q Quantiles) p99() Seconds { return q.P99 }

// timeOf is a quantile's text; a dash where nothing was measured.
func timeOf(q Quantiles, of func(Quantiles) Seconds) string {
	if q.N == 0 {
		return "–"
	}
	return of(q).String()
}

func successOf(p *PhaseStats) string {
	if p.Requests == 0 {
		return "–"
	}
	return Percent(p.Success)
}

// part writes a count and its share: "612 (38.3 %)".
func part(n, of int) string {
	if n == 0 || of == 0 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d (%s)", n, Percent(float64(n)/float64(of)))
}

// times says how many times base now is: "×0.51".
func times(base, now float64) string {
	x := now / base
	switch {
	case base <= 0 || math.IsInf(base, 1) || math.IsNaN(x):
		return ""
	case math.IsInf(x, 1):
		return "×inf"
	default:
		return "×" + digits(x)
	}
}

// points is the change of success in percentage points.
func points(base, now *PhaseStats) string {
	if base.Requests == 0 || now.Requests == 0 {
		return ""
	}
	return fmt.Sprintf("%+.1f points", 100*(now.Success-base.Success))
}

// phase finds a phase's figures; nil: it never began.
func (r *Report) phase(name Phase) *PhaseStats {
	for i := range r.Phases {
		if r.Phases[i].Phase == name {
			return &r.Phases[i]
		}
	}
	return nil
}

func (r *Report) phaseTable(s *screen) error {
	if len(r.Phases) == 0 {
		s.text("\n", "", "No judged phase began: there is nothing to compare.")
		return nil
	}
	g := grid{header: []string{""}, right: []bool{false}}
	for _, p := range r.Phases {
		g.header, g.right = append(g.header, string(p.Phase)), append(g.right, true)
	}
	base, now := r.phase(Baseline), r.phase(Fault)
	compare := base != nil && now != nil
	if compare {
		g.header, g.right = append(g.header, "fault/baseline"), append(g.right, true)
	}
	for _, f := range figures() {
		shown := f.only == nil
		row := []string{f.name}
		for i := range r.Phases {
			shown = shown || f.only(&r.Phases[i])
			row = append(row, f.show(&r.Phases[i]))
		}
		if compare && f.change != nil {
			row = append(row, f.change(base, now))
		}
		if shown {
			g.add(row...)
		}
	}
	s.title("PHASES", "")
	if err := s.table(g); err != nil {
		return err
	}
	lag := "no request was sent"
	if r.Lag.N > 0 {
		lag = fmt.Sprintf("p50 %s, p99 %s, max %s", r.Lag.P50, r.Lag.P99, r.Lag.Max)
	}
	if r.ClosedLoop {
		lag = closedLoop
	}
	s.text("   ", dim, "our own lateness (lag): "+lag)
	r.leakLine(s)
	return nil
}

// closedLoop is what is said of lag where users wait for their answers.
const closedLoop = "closed loop: due is when sent, so our own lateness does not show, nor what users who waited did not ask"
