package results

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lostShown bounds the rows of attempts that did not serve: the most frequent come first.
const lostShown = 6

// clientTable says what clients did in each phase: why they tried again, what they threw away, who left. What nobody
// did has no row, and with none there is no table.
func (r *Report) clientTable(s *screen) error {
	g := grid{header: []string{""}, right: []bool{false}}
	for _, p := range r.Phases {
		g.header, g.right = append(g.header, string(p.Phase)), append(g.right, true)
	}
	rows := slices.Concat(attemptFigures(r.Phases), clientFigures())
	return r.drawClients(s, g, rows)
}

// loadClients is that of an attack, whose attempts are among its rates.
func (r *Report) loadClients(s *screen) error {
	return r.drawClients(s, grid{header: []string{"", "n"}, right: []bool{false, true}}, clientFigures())
}

func (r *Report) drawClients(s *screen, g grid, rows []figure) error {
	for _, f := range rows {
		if !slices.ContainsFunc(r.Phases, func(p PhaseStats) bool { return f.only(&p) }) {
			continue
		}
		row := []string{f.name}
		for i := range r.Phases {
			row = append(row, f.show(&r.Phases[i]))
		}
		g.add(row...)
	}
	if len(g.rows) == 0 {
		return nil
	}
	s.title("CLIENTS", "")
	if err := s.table(g); err != nil {
		return err
	}
	unstreamed, gaveUp := 0, 0
	for i := range r.Phases {
		unstreamed += r.Phases[i].Unstreamed
		gaveUp += r.Phases[i].left(LeftTime).WithoutToken
	}
	if unstreamed > 0 {
		s.text("   ", dim, "an answer in one piece has no ttft, itl, tpot and stall: these are of the others")
	}
	if gaveUp > 0 {
		s.text("   ", dim, "a user who gave up waiting for a token counts in ttft as inf, and neither in success nor in e2e")
	}
	return nil
}

// clientFigures are the rows of what clients did.
func clientFigures() []figure {
	rare := func(name string, of func(*PhaseStats) int) figure {
		return figure{
			name: name, show: func(p *PhaseStats) string { return strconv.Itoa(of(p)) },
			only: func(p *PhaseStats) bool { return of(p) > 0 },
		}
	}
	attempts := func(p *PhaseStats) AttemptStats { return valueOf(p.Attempts) }
	waste := func(p *PhaseStats) WasteStats { return valueOf(p.Wasted) }
	held := func(p *PhaseStats) ConversationStats { return valueOf(p.Conversations) }
	both := func(f figure, beside func(*PhaseStats) int) figure {
		alone := f.show
		f.show = func(p *PhaseStats) string { return fmt.Sprintf("%s (%d)", alone(p), beside(p)) }
		return f
	}
	return []figure{
		both(rare("hedges (that won)", func(p *PhaseStats) int { return attempts(p).Hedges }), func(p *PhaseStats) int { return attempts(p).HedgesWon }),
		rare("failovers to another endpoint", func(p *PhaseStats) int { return attempts(p).Failovers }),
		{
			name: "output tokens thrown away", show: func(p *PhaseStats) string { return part(waste(p).Output, waste(p).Of) },
			only: func(p *PhaseStats) bool { return waste(p).Output > 0 },
		},
		rare("prompt tokens paid in vain", func(p *PhaseStats) int { return waste(p).Prompt }),
		rare("conversations begun", func(p *PhaseStats) int { return held(p).Begun }),
		both(rare("turns (that failed)", func(p *PhaseStats) int { return held(p).Turns }), func(p *PhaseStats) int { return held(p).Failed }),
		rare("left before the first byte", func(p *PhaseStats) int { return p.left(LeftStart).Count }),
		rare("left after tokens", func(p *PhaseStats) int { return p.left(LeftTokens).Count }),
		both(rare("left by time (without a token)", func(p *PhaseStats) int { return p.left(LeftTime).Count }), func(p *PhaseStats) int { return p.left(LeftTime).WithoutToken }),
		rare("answers in one piece asked for", func(p *PhaseStats) int { return p.Unstreamed }),
	}
}

// attemptFigures are the rows of how often requests were tried, and why more than once: what the run had most of first.
func attemptFigures(phases []PhaseStats) []figure {
	var all []LostStats
	for i := range phases {
		for _, l := range valueOf(phases[i].Attempts).Lost {
			at := slices.IndexFunc(all, func(x LostStats) bool { return x.Outcome == l.Outcome && x.Status == l.Status })
			if at < 0 {
				at = len(all)
				all = append(all, LostStats{Outcome: l.Outcome, Status: l.Status})
			}
			all[at].Count += l.Count
		}
	}
	slices.SortStableFunc(all, func(a, b LostStats) int { return b.Count - a.Count })
	rows := []figure{{
		name: "attempts (per request)",
		show: func(p *PhaseStats) string {
			if p.Attempts == nil {
				return "–"
			}
			return fmt.Sprintf("%d (%s)", p.Attempts.Attempts, digits(p.Amplification))
		},
		only: func(p *PhaseStats) bool { return p.Attempts != nil },
	}}
	for i, l := range all {
		name, these := "lost: "+l.what(), all[i:i+1]
		if i == lostShown-1 && len(all) > lostShown {
			name, these = "lost: other reasons", all[i:]
		}
		count := func(p *PhaseStats) int { return p.lost(these) }
		rows = append(rows, figure{
			name: name, show: func(p *PhaseStats) string { return strconv.Itoa(count(p)) },
			only: func(p *PhaseStats) bool { return count(p) > 0 },
		})
		if len(these) > 1 {
			break
		}
	}
	suppressed := func(p *PhaseStats) int { return valueOf(p.Attempts).Suppressed }
	return append(rows, figure{
		name: "not retried: retry budget", show: func(p *PhaseStats) string { return strconv.Itoa(suppressed(p)) },
		only: func(p *PhaseStats) bool { return suppressed(p) > 0 },
	})
}

// what names a reason: "http_status 503".
func (l LostStats) what() string {
	if l.Status != 0 {
		return fmt.Sprintf("%s %d", l.Outcome, l.Status)
	}
	return l.Outcome.String()
}

// lost is how many of a phase's attempts were lost for these reasons.
func (p *PhaseStats) lost(these []LostStats) int {
	n := 0
	for _, l := range valueOf(p.Attempts).Lost {
		if slices.ContainsFunc(these, func(x LostStats) bool { return x.Outcome == l.Outcome && x.Status == l.Status }) {
			n += l.Count
		}
	}
	return n
}

// line says it all in one, with why attempts were lost: "1240 for 1000 requests (1.24): 180 http_status 503, 60 rate_limited".
func (a *AttemptStats) line() string {
	var parts []string
	for i, l := range a.Lost {
		if i == lostShown-1 && len(a.Lost) > lostShown {
			rest := 0
			for _, l := range a.Lost[i:] {
				rest += l.Count
			}
			parts = append(parts, fmt.Sprintf("%d for other reasons", rest))
			break
		}
		parts = append(parts, fmt.Sprintf("%d %s", l.Count, l.what()))
	}
	line := fmt.Sprintf("%d for %d requests (%s)", a.Attempts, a.Requests, digits(over(a.Attempts, a.Requests)))
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	if a.Suppressed > 0 {
		line += fmt.Sprintf("; %d retries not made for the retry budget", a.Suppressed)
	}
	return line
}

// left are those who left in one way.
func (p *PhaseStats) left(way Left) LeftStats {
	for _, l := range p.Left {
		if l.Way == way {
			return l
		}
	}
	return LeftStats{}
}

// leavers are all who left by plan.
func (p *PhaseStats) leavers() int {
	n := 0
	for _, l := range p.Left {
		n += l.Count
	}
	return n
}

// leakCheck sums up what was seen of nonces.
func (r *Report) leakCheck() (leaks, answers, echoed int) {
	leaks = r.EarlyLeaks
	for i := range r.Phases {
		p := &r.Phases[i]
		leaks, answers, echoed = leaks+p.Leaks, answers+p.Answers, echoed+p.Echoed
	}
	return leaks, answers, echoed
}

// alarm says of all answers that were another user's when they came, whatever was claimed; "": none was seen.
func (r *Report) alarm() string {
	leaks, _, _ := r.leakCheck()
	if leaks == 0 {
		return ""
	}
	var when []string
	add := func(phase Phase, n int) {
		if n > 0 {
			when = append(when, fmt.Sprintf("%d in %s", n, phase))
		}
	}
	add(Warmup, r.EarlyLeaks)
	for i := range r.Phases {
		add(r.Phases[i].Phase, r.Phases[i].Leaks)
	}
	return swapped(leaks) + ": " + strings.Join(when, ", ")
}

// swapped cries it.
func swapped(leaks int) string {
	if leaks == 1 {
		return "1 ANSWER WAS ANOTHER USER'S"
	}
	return fmt.Sprintf("%d ANSWERS WERE ANOTHER USER'S", leaks)
}

// Blind reports whether no leak was found and none could have been: of all answers, none carried its own nonce.
func (r *Report) Blind() bool {
	leaks, answers, echoed := r.leakCheck()
	return answers > 0 && leaks == 0 && echoed == 0
}

// leakLine says how far a check for leaks could see that found none: those that were found are told where they hurt.
func (r *Report) leakLine(s *screen) {
	leaks, answers, echoed := r.leakCheck()
	switch {
	case answers == 0 || leaks > 0:
	case echoed == 0:
		s.text("   ", dim, "leaks: "+cmp.Or(r.NoEcho, "no answer carried its own nonce: a swap would not have been seen"))
	default:
		s.text("   ", dim, fmt.Sprintf("leaks 0; %d of %d answers carried their own nonce", echoed, answers))
	}
}

// valueOf is what p points to, or nothing.
func valueOf[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
