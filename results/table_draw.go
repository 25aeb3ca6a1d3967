package results

import (
	"bytes"
	"fmt"
	"io"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// Table draws rows under a header, in the light style of all our tables: a rule under the
// header, no frame, every column to the left. Rows may be shorter than the header. No line has a
// trailing space.
func Table(w io.Writer, header []string, rows [][]string) error {
	g := grid{header: header}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		g.add(cells...)
	}
	lines, err := draw(g)
	if err != nil {
		return err
	}
	_, err = w.Write(lines)
	return err
}

// columnGap is how many columns lie between two of a grid's.
const columnGap = 2

// A grid is a table to be drawn.
type grid struct {
	header []string
	rows   [][]string
	right  []bool // columns of figures, drawn to the right; may be shorter than the header
}

// add appends a row, which may be shorter than the header.
func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

// draw is the one place that knows the library.
func draw(g grid) ([]byte, error) {
	align := make([]tw.Align, len(g.header))
	for i := range align {
		align[i] = tw.AlignLeft
		if i < len(g.right) && g.right[i] {
			align[i] = tw.AlignRight
		}
	}
	symbols := tw.NewSymbolCustom("light").WithRow("─").WithColumn(" ").WithCenter("─").
		WithHeaderMid("─").WithHeaderLeft("").WithHeaderRight("").WithMidLeft("").WithMidRight("")
	var out bytes.Buffer
	table := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Symbols: symbols,
			Settings: tw.Settings{
				Lines:      tw.Lines{ShowHeaderLine: tw.On, ShowTop: tw.Off, ShowBottom: tw.Off, ShowFooterLine: tw.Off},
				Separators: tw.Separators{ShowHeader: tw.On, ShowFooter: tw.Off, BetweenRows: tw.Off, BetweenColumns: tw.Off},
			},
		})),
		// The library would upper-case headers, wrap and trim cells.
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone), tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithAlignment(align), tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithEastAsian(tw.Off),
	)
	table.Header(g.header)
	for _, row := range g.rows {
		full := make([]string, len(g.header))
		copy(full, row)
		if err := table.Append(full); err != nil {
			return nil, fmt.Errorf("draw table: %w", err)
		}
	}
	if err := table.Render(); err != nil {
		return nil, fmt.Errorf("draw table: %w", err)
	}
	return trimLines(out.Bytes()), nil
}

// trimLines cuts the spaces that the last column was filled up with.
func trimLines(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		out = append(append(out, bytes.TrimRight(line, " \n")...), '\n')
	}
	return out
}
