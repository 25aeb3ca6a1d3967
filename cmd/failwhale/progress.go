package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/failwhale/failwhale/experiments"
)

// progressLine is a run at a glance, in under a hundred columns.
func progressLine(s experiments.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s", cmp.Or(s.Doing, string(s.Phase)))
	if s.Left > 0 && s.Doing == "" {
		fmt.Fprintf(&b, " %3.0fs left", s.Left.Round(time.Second).Seconds())
	}
	if s.NoLoad {
		b.WriteString(" · no load of ours")
	} else {
		fmt.Fprintf(&b, " · %4d in flight · %6.0f tok/s", s.InFlight, s.TokensPerSecond)
	}
	if !math.IsNaN(s.ErrorRate) {
		fmt.Fprintf(&b, " · %5.1f%% errors", 100*s.ErrorRate)
	}
	if !math.IsNaN(float64(s.TTFT99)) {
		fmt.Fprintf(&b, " · p99 ttft %v of finished", s.TTFT99)
	}
	if len(s.Faults) > 0 {
		fmt.Fprintf(&b, " · in force: %s", strings.Join(s.Faults, " "))
	}
	return b.String()
}

// progress returns how snapshots are shown: a live line a second on a terminal, else a plain line every five.
func (p *program) progress() func(experiments.Snapshot) {
	if isTerminal(p.stderr) {
		return func(s experiments.Snapshot) {
			fmt.Fprintf(p.stderr, "\r\x1b[K%s", clip(progressLine(s), width(p.stderr)-1))
		}
	}
	n := 0
	return func(s experiments.Snapshot) {
		if n++; n%plainEvery == 0 {
			fmt.Fprintln(p.stderr, progressLine(s))
		}
	}
}

// unphased shows a load that has no phases.
func unphased(show func(experiments.Snapshot)) func(experiments.Snapshot) {
	return func(s experiments.Snapshot) {
		s.Phase = "attack"
		show(s)
	}
}

// failingAfter is how many seconds of nothing but failures are worth a word: a server that starts may need one or two.
const failingAfter = 3

// telling shows snapshots as show does, and says once that no request at all is served, and why: it would else come out
// at the end only.
func (p *program) telling(show func(experiments.Snapshot)) func(experiments.Snapshot) {
	n, said := 0, false
	return func(s experiments.Snapshot) {
		if n++; n >= failingAfter && s.Failing != "" && !said {
			said = true
			if isTerminal(p.stderr) {
				fmt.Fprint(p.stderr, "\r\x1b[K")
			}
			fmt.Fprintf(p.stderr, "failwhale: every request so far failed: %s\n", s.Failing)
		}
		show(s)
	}
}

// plainEvery is how many snapshots make one line where the line cannot be written over.
const plainEvery = 5

// endProgress leaves the live line, so that what follows does not write over it.
func (p *program) endProgress() {
	if isTerminal(p.stderr) {
		fmt.Fprintln(p.stderr)
	}
}

// width is that of the terminal, or what most are at least.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// clip cuts a line that would wrap: what has wrapped cannot be written over.
func clip(line string, columns int) string {
	if all := []rune(line); len(all) > columns {
		return string(all[:max(0, columns)])
	}
	return line
}
