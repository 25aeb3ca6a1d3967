package results

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes the report indented, in the order of its fields, with a newline at the end.
// Lists are never null; times that never came are "inf". The same report gives the same bytes.
func (r *Report) WriteJSON(w io.Writer) error {
	return writeIndented(w, r.listed())
}

func writeIndented(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // a claim is read by people: ">= 99%"
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// listed is r with lists that are not nil.
func (r *Report) listed() *Report {
	full := *r
	full.Findings, full.Faults, full.Events = list(r.Findings), list(r.Faults), list(r.Events)
	full.Server = list(r.Server)
	full.Phases = make([]PhaseStats, len(r.Phases))
	for i, p := range r.Phases {
		full.Phases[i] = p.listed()
	}
	full.Slices = make([]SliceStats, len(r.Slices))
	for i, s := range r.Slices {
		s.PhaseStats = s.listed()
		full.Slices[i] = s
	}
	return &full
}

// listed is p with lists that are not nil.
func (p PhaseStats) listed() PhaseStats {
	p.Outcomes, p.FailedWith2xx = list(p.Outcomes), list(p.FailedWith2xx)
	if p.Attempts != nil {
		attempts := *p.Attempts
		attempts.Lost = list(attempts.Lost)
		p.Attempts = &attempts
	}
	if p.SLO != nil {
		slo := *p.SLO
		slo.Missed = list(slo.Missed)
		p.SLO = &slo
	}
	return p
}

// list is l, and never nil.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
