package results

import (
	"fmt"
	"io"
)

// WriteLoad draws the report of a load that nothing was claimed about: of all answers that a status
// check calls served, how many were not, first; then the same tables as WriteTable.
func (r *Report) WriteLoad(w io.Writer, opts TableOptions) error {
	s := &screen{color: opts.Color}
	for _, part := range []func(*screen) error{r.loadHeadline, r.notes, r.phaseTable, r.outcomeTable, r.sliceTable} {
		if err := part(s); err != nil {
			return err
		}
	}
	_, err := w.Write(s.out.Bytes())
	return err
}

func (r *Report) loadHeadline(s *screen) error {
	var all PhaseStats
	for _, p := range r.Phases {
		all.Requests += p.Requests
		all.Complete += p.Complete
		all.CutAfter200 += p.CutAfter200
	}
	st := green
	if all.Complete < all.Requests || all.Requests == 0 {
		st = red
	}
	s.text("", st, fmt.Sprintf("%s of %d answers with a 2xx status were cut, empty, in error or wrong; %s of %d requests failed",
		part(all.CutAfter200, all.Complete+all.CutAfter200), all.Complete+all.CutAfter200,
		part(all.Requests-all.Complete, all.Requests), all.Requests))
	switch r.Exit {
	case ExitHeld:
	case ExitInterrupted:
		s.text("", yellow, "interrupted after "+at(r.Duration))
	default:
		s.text("", yellow, plain(r.Why))
	}
	s.text("", dim, fmt.Sprintf("%s · took %s · seed %d · exit %d", plain(r.Stack), at(r.Duration), r.Seed, r.Exit))
	return nil
}
