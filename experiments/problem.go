package experiments

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one mistake in an experiment file, or one warning about it.
type Problem struct {
	// File is the name given to Load. Line and Column count from 1; a Column of 0 is not known.
	File         string
	Line, Column int
	// Path is the value's place in the file: attack.clients[1].share. Empty for the file itself.
	Path string
	// Text says what is wrong and what to write instead.
	Text string
}

// String gives "file:line:col: path: what is wrong; did you mean …?".
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:", p.File, p.Line)
	if p.Column > 0 {
		fmt.Fprintf(&b, "%d:", p.Column)
	}
	if p.Path != "" {
		fmt.Fprintf(&b, " %s:", p.Path)
	}
	return b.String() + " " + p.Text
}

// Problems are all the mistakes of one file, in the order of its lines. As an
// error it is never empty.
type Problems []Problem //nolint:errname // what the word says, as go/scanner's ErrorList does; most of its uses are no error

// Error gives one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sort puts problems in the order of the file and drops what is said twice: an
// anchored value is visited once for each of its aliases.
func (ps Problems) sort() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}

// hidden ends a list with what it lacks: checks that had nothing sound to look at.
func (d *decoder) hidden(ps Problems) Problems {
	if !d.skipped || len(ps) == 0 {
		return ps
	}
	return append(ps, Problem{File: d.file, Line: ps[len(ps)-1].Line, Text: "more may show once these are mended"})
}
