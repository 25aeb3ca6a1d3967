package results

import (
	"cmp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// An outcomeRow is one way in which requests ended, over the phases.
type outcomeRow struct {
	outcome Outcome
	counts  map[Phase]int
	errors  map[Phase]string // the commonest text of each phase
	total   int
}

// outcomeRows are Complete, then what the fault phase had most of, then what the run had most of.
func (r *Report) outcomeRows() []*outcomeRow {
	var rows []*outcomeRow
	for _, p := range r.Phases {
		for _, o := range p.Outcomes {
			i := slices.IndexFunc(rows, func(row *outcomeRow) bool { return row.outcome == o.Outcome })
			if i < 0 {
				i = len(rows)
				rows = append(rows, &outcomeRow{outcome: o.Outcome, counts: map[Phase]int{}, errors: map[Phase]string{}})
			}
			rows[i].counts[p.Phase] += o.Count
			rows[i].errors[p.Phase] = cmp.Or(rows[i].errors[p.Phase], o.Error)
			rows[i].total += o.Count
		}
	}
	slices.SortFunc(rows, func(a, b *outcomeRow) int {
		switch {
		case a.outcome == Complete:
			return -1
		case b.outcome == Complete:
			return 1
		}
		return cmp.Or(cmp.Compare(b.counts[Fault], a.counts[Fault]), cmp.Compare(b.total, a.total), cmp.Compare(a.outcome, b.outcome))
	})
	return rows
}

// An error's text gets what the counts leave of a line, but not less than leastError, and up to errorLines lines.
const (
	leastError = 40
	errorLines = 3
)

// outcomeTable says how requests ended, and with what words: those of the fault phase first.
func (r *Report) outcomeTable(s *screen) error {
	rows := r.outcomeRows()
	if len(rows) == 0 {
		return nil
	}
	g := grid{header: []string{"outcome"}, right: []bool{false}}
	for _, p := range r.Phases {
		g.header, g.right = append(g.header, string(p.Phase)), append(g.right, true)
	}
	g.header = append(g.header, "commonest error")
	for _, row := range rows {
		cells := []string{row.outcome.String()}
		for _, p := range r.Phases {
			cells = append(cells, strconv.Itoa(row.counts[p.Phase]))
		}
		g.add(append(cells, plain(cmp.Or(row.errors[Fault], row.errors[Recovery], row.errors[Baseline])))...)
	}
	s.fitLast(&g)
	s.title("OUTCOMES", "")
	return s.table(g)
}

// fitLast breaks the texts of a grid's last column into lines, in rows of their own below the first.
func (s *screen) fitLast(g *grid) {
	last := len(g.header) - 1
	room := s.width
	for i, name := range g.header[:last] {
		widest := utf8.RuneCountInString(name)
		for _, row := range g.rows {
			widest = max(widest, utf8.RuneCountInString(row[i]))
		}
		room -= widest + columnGap
	}
	room = max(leastError, room-columnGap)
	var rows [][]string
	for _, row := range g.rows {
		lines := fit(row[last], room, errorLines)
		rows = append(rows, append(slices.Clone(row[:last]), lines[0]))
		for _, line := range lines[1:] {
			rows = append(rows, append(make([]string, last), line))
		}
	}
	g.rows = rows
}
