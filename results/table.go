package results

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// TableOptions say how a report is drawn.
type TableOptions struct {
	// Color marks verdicts and harm with ANSI colours. Optional; default none: a verdict
	// always has a word and a mark too.
	Color bool
	// Width is how many columns there are. Optional; default 110. Fewer than 80 are taken for 80, and a
	// table is as wide as its figures.
	Width int
}

// Widths of a report: what it takes by default, and the least that it is drawn for.
const (
	screenWidth = 110
	leastWidth  = 80
)

// WriteTable draws the report for people, on one screen: the verdict and why; the hypotheses; what
// was broken and when; the phases side by side; how requests ended; what clients did; and who was hit. No line has
// a trailing space, and text that came from a server cannot steer the terminal.
func (r *Report) WriteTable(w io.Writer, opts TableOptions) error {
	s := newScreen(opts)
	ours := []func(*screen) error{r.phaseTable, r.selfLine, r.outcomeTable, r.clientTable, r.sliceTable}
	if r.NoLoad {
		ours = []func(*screen) error{r.noLoad}
	}
	for _, part := range slices.Concat([]func(*screen) error{r.headline, r.hypotheses, r.faultTable, r.notes}, ours, []func(*screen) error{r.serverTable}) {
		if err := part(s); err != nil {
			return err
		}
	}
	_, err := w.Write(s.out.Bytes())
	return err
}

// noLoad stands where what our own requests saw would.
func (r *Report) noLoad(s *screen) error {
	var lengths []string
	for _, p := range r.Phases {
		lengths = append(lengths, fmt.Sprintf("%s %s", p.Phase, Seconds(p.Duration.Seconds())))
	}
	s.title("PHASES", "  "+strings.Join(lengths, ", "))
	s.text("   ", dim, "no load of ours: real traffic, judged by the servers' own figures")
	return nil
}

// A screen collects the text of a report.
type screen struct {
	out   bytes.Buffer
	color bool
	width int
}

func newScreen(opts TableOptions) *screen {
	return &screen{color: opts.Color, width: max(leastWidth, cmp.Or(opts.Width, screenWidth))}
}

// A style is an ANSI SGR parameter.
type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31;1"
	green  style = "32;1"
	yellow style = "33;1"
)

// paint colours text where colour is asked for.
func (s *screen) paint(st style, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// title begins a section.
func (s *screen) title(name, about string) {
	fmt.Fprintf(&s.out, "\n%s%s\n", s.paint(bold, name), s.paint(dim, about))
}

// text writes words under an indent, wrapped to the screen.
func (s *screen) text(indent string, st style, words string) {
	for _, line := range wrap(words, s.width-len(indent)) {
		fmt.Fprintf(&s.out, "%s%s\n", indent, s.paint(st, line))
	}
}

// table draws a grid below the title.
func (s *screen) table(g grid) error {
	lines, err := draw(g)
	s.out.Write(lines)
	return err
}

// verdict gives a verdict's mark and word.
func (s *screen) verdict(v Verdict) string {
	switch v {
	case Held:
		return s.paint(green, "✓ held")
	case Refuted:
		return s.paint(red, "✗ refuted")
	default:
		return s.paint(yellow, "? undecided")
	}
}

// headline says what it came to, why, and which run it was.
func (r *Report) headline(s *screen) error {
	word, st := strings.ToUpper(r.Verdict.String()), [...]style{yellow, green, red}[min(r.Verdict, Refuted)]
	switch r.Exit {
	case ExitHarm:
		word, st = "HARM MAY REMAIN · "+word, red
	case ExitInterrupted:
		word += " · INTERRUPTED"
	case ExitNotInForce:
		word += " · FAULT NOT IN FORCE"
	case ExitNotSteady:
		word += " · BASELINE NOT STEADY"
	default:
	}
	fmt.Fprintf(&s.out, "%s  %s\n", s.paint(st, word), s.paint(bold, cmp.Or(plain(r.Experiment), "(an experiment without a name)")))
	if r.Why != "" {
		s.text("", bold, plain(r.Why))
	}
	if alarm := r.alarm(); alarm != "" {
		s.text("", red, alarm)
	}
	r.advice(s)
	var run []string
	if r.Stack != "" {
		run = append(run, plain(r.Stack))
	}
	run = append(
		run,
		"began "+r.Started.UTC().Format("2006-01-02 15:04:05 UTC"), "took "+at(r.Duration),
		fmt.Sprintf("seed %d", r.Seed),
	)
	for _, name := range slices.Sorted(maps.Keys(r.Overrides)) {
		run = append(run, plain(name+"="+r.Overrides[name]))
	}
	s.text("", dim, strings.Join(append(run, fmt.Sprintf("exit %d", r.Exit)), " · "))
	return nil
}

// advice says what to do about harm, and about a run that was killed.
func (r *Report) advice(s *screen) {
	var open, broken, drifted bool
	for _, f := range r.Faults {
		open = open || f.Injected != 0 && f.Restored == ""
		drifted = drifted || f.Restored == RestoredDrift
		broken = broken || f.Restored == RestoredFailed || f.Restored == "" && f.Injected != 0
	}
	if r.Exit == ExitHarm && (broken || !drifted) {
		s.text("", red, "Something may still be broken: see FAULTS, and run `failwhale revert`.")
	}
	if r.Exit == ExitHarm && drifted {
		s.text("", red, "drifted: someone else changed it meanwhile, and it was left as it is: the original is in the journal's entry.")
	}
	if !r.Torn {
		return
	}
	words := "The log has no proper end: the run was killed. What is there was judged."
	if open && !strings.Contains(r.Why, AfterAKill) {
		words += " A fault was in force: " + AfterAKill + "."
	}
	s.text("", yellow, words)
}

// claimWidth leaves room for the figures beside a claim and its reasons.
const claimWidth = 60

func (r *Report) hypotheses(s *screen) error {
	if len(r.Findings) == 0 {
		return nil
	}
	g := grid{header: []string{"verdict", "claim", "observed", "bound", "n"}, right: []bool{false, false, true, true, true}}
	for _, f := range r.Findings {
		text := plain(f.Claim)
		if f.Guard {
			text = "guard: " + text
		}
		claim := wrap(text, claimWidth)
		g.add(s.verdict(f.Verdict), claim[0], plain(f.Observed), plain(f.Bound), fmt.Sprint(f.N))
		for _, line := range claim[1:] {
			g.add("", line)
		}
		if f.Why == "" || f.Verdict == Undecided && f.Why == r.Why {
			continue // the headline has said why
		}
		for _, line := range wrap(plain(f.Why), claimWidth-2) {
			g.add("", s.paint(dim, "  "+line))
		}
	}
	s.title("HYPOTHESES", "")
	return s.table(g)
}

// evidenceWidth is what the other columns of a fault leave.
const evidenceWidth = 36

func (r *Report) faultTable(s *screen) error {
	if len(r.Faults) == 0 {
		return nil
	}
	g := grid{
		header: []string{"id", "kind", "injected", "in force", "reverted", "evidence", "restored"},
		right:  []bool{false, false, true, true, true, false, false},
	}
	for _, f := range r.Faults {
		touched := wrap(f.touched(), evidenceWidth)
		g.add(plain(f.ID), plain(f.Kind), f.injected(), f.inForce(), f.reverted(), touched[0], s.restored(f))
		for _, line := range touched[1:] {
			g.add("", "", "", "", "", line)
		}
	}
	s.title("FAULTS", "  times since the run began; in force: how long Inject took")
	if err := s.table(g); err != nil {
		return err
	}
	for _, f := range r.Faults {
		if f.Detail != "" {
			s.text("   ", dim, plain(f.ID+": "+f.Detail))
		}
		if f.Error != "" {
			s.text("   ", red, plain(f.ID+": "+f.Error))
		}
	}
	return nil
}

func (f *FaultReport) injected() string {
	if f.Injected == 0 {
		return "never"
	}
	return at(f.Injected)
}

func (f *FaultReport) inForce() string {
	switch {
	case f.Injected == 0:
		return "–"
	case f.InForce == 0:
		return "never"
	default:
		return "+" + seconds(f.InForce-f.Injected).String()
	}
}

func (f *FaultReport) reverted() string {
	switch {
	case f.RevertedAt != 0:
		return at(f.RevertedAt)
	case f.Injected == 0:
		return "–"
	default:
		return "never"
	}
}

func (f *FaultReport) touched() string {
	switch {
	case f.Evidence == nil:
		return "none seen"
	case f.Evidence.What == "":
		return fmt.Sprint(f.Evidence.Touched)
	default:
		return fmt.Sprintf("%d %s", f.Evidence.Touched, plain(f.Evidence.What))
	}
}

func (s *screen) restored(f FaultReport) string {
	switch {
	case f.Restored == "" && f.Injected == 0:
		return "–"
	case f.Restored == "":
		return s.paint(red, "no")
	case f.Restored.Harmless():
		return s.paint(green, plain(string(f.Restored)))
	default:
		return s.paint(red, plain(string(f.Restored)))
	}
}

// notes tells what else befell the run: guards, the gate, interrupts, errors.
func (r *Report) notes(s *screen) error {
	said := false
	for _, e := range r.Events {
		var what string
		switch e.Kind {
		case EventGuard:
			what = "guard breached"
		case EventGate:
			what = "baseline not steady"
		case EventBudget:
			what = "budget used up"
		case EventInterrupt:
			what = "interrupted"
		case EventError:
			what = "error"
		default:
			continue
		}
		if !said {
			s.title("EVENTS", "")
			said = true
		}
		for _, more := range []string{e.Fault, e.Claim, e.Detail} {
			if more != "" {
				what += ": " + more
			}
		}
		for i, line := range wrap(plain(what), s.width-12) {
			fmt.Fprintf(&s.out, " %9s  %s\n", [...]string{at(e.At), ""}[min(i, 1)], s.paint(yellow, line))
		}
	}
	return nil
}

// at is a time of the run or a length of a part of it, to the tenth of a second.
func at(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func seconds(d time.Duration) Seconds { return Seconds(d.Seconds()) }
