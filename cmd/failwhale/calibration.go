package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/attacks/calibrate"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// calibration is that of this machine; nil: there is none.
func (p *program) calibration() *calibrate.Calibration {
	dir, err := p.stateDir()
	var cal *calibrate.Calibration
	if err == nil {
		cal, err = calibrate.Load(dir, calibrate.ThisMachine(version()))
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "failwhale: %v\n", err)
	}
	return cal
}

// A gauge holds a load against the machine's calibration, before and after.
type gauge struct {
	*program
	cal     *calibrate.Calibration
	streams int // the most that were seen at a time
}

// gauge says of loads, before they begin, when they mean to exceed what this machine is calibrated for.
func (p *program) gauge(loads ...plannedLoad) *gauge {
	g := &gauge{program: p, cal: p.calibration()}
	if g.cal == nil {
		return g
	}
	var most attacks.Peak
	for _, l := range loads {
		// A trace that cannot be read is the attack's to report.
		if peak, err := attacks.PeakOf(l.profile, l.workload, l.phase, l.seed, l.length); err == nil && (peak.Tokens > most.Tokens || peak.Users > 0) {
			most = peak
		}
	}
	g.say(g.cal.Exceeds(most))
	return g
}

// A plannedLoad is what PeakOf takes.
type plannedLoad struct {
	profile  attacks.Profile
	workload attacks.Workload
	phase    results.Phase
	seed     uint64
	length   time.Duration
}

// endless is how far a load without an end is looked at.
const endless = time.Hour

func attackLoad(cfg *attacks.Config, length time.Duration) plannedLoad {
	return plannedLoad{cfg.Profile, cfg.Workload, results.Baseline, cfg.Seed, cmp.Or(length, endless)}
}

func planLoads(plan *experiments.Plan) []plannedLoad {
	var loads []plannedLoad
	if plan.Attack.None {
		return nil
	}
	for _, phase := range results.JudgedPhases() {
		loads = append(loads, plannedLoad{plan.Attack.Profile, plan.Attack.Workload, phase, plan.Seed, plan.Phases.Of(phase).Limit()})
	}
	return loads
}

// watch shows snapshots as show does, and notes how many streams run.
func (g *gauge) watch(show func(experiments.Snapshot)) func(experiments.Snapshot) {
	return func(s experiments.Snapshot) {
		g.streams = max(g.streams, s.InFlight)
		show(s)
	}
}

// after says, once a load has ended, if it was more than this machine is calibrated for.
func (g *gauge) after() { g.say(g.cal.Exceeded(g.streams)) }

func (g *gauge) say(text string) {
	if text != "" {
		fmt.Fprintf(g.stderr, "failwhale: %s\n", text)
	}
}

// state writes the timing error of what was measured below it, faintly: it is about us and not about the server. Below
// a report without a first token there is nothing that it would be the error of.
func (g *gauge) state(w io.Writer, opts results.TableOptions, rep *results.Report) error {
	if !rep.Timed() {
		return nil
	}
	for _, text := range []string{g.cal.Stated(), g.cal.Exceeded(g.streams)} {
		switch {
		case text == "":
			continue
		case opts.Color:
			text = "\x1b[2m" + text + "\x1b[0m"
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}
