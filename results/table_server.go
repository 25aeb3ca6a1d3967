package results

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// selfLine says what our own garbage collector did, below what is said of our lateness: it is a part of it, and stops
// the stamps of tokens as well.
func (r *Report) selfLine(s *screen) error {
	switch {
	case r.Self == nil:
	case r.Self.Pauses == 0:
		s.text("   ", dim, "our own garbage collector: no pause")
	default:
		s.text("   ", dim, fmt.Sprintf("our own garbage collector: %d pauses, p99 %s, longest %s",
			r.Self.Pauses, r.Self.P99.Value, r.Self.Longest))
	}
	return nil
}

// serverTable holds the servers' own figures beside ours, a line for each phase.
func (r *Report) serverTable(s *screen) error { return r.servers(s, true) }

// loadServers is serverTable of a load, which has no phases to speak of.
func (r *Report) loadServers(s *screen) error { return r.servers(s, false) }

func (r *Report) servers(s *screen, phases bool) error {
	if len(r.Server) == 0 {
		return nil
	}
	columns := serverColumns(r.NoLoad)
	g := grid{header: []string{""}, right: []bool{false}}
	if phases {
		g.header, g.right = append(g.header, ""), append(g.right, false)
	}
	for _, c := range columns {
		g.header, g.right = append(g.header, c.name), append(g.right, true)
	}
	read := map[string]bool{} // at any time
	for i := range r.Server {
		read[r.Server[i].name()] = read[r.Server[i].name()] || !r.Server[i].unread()
	}
	last := ""
	for i := range r.Server {
		it := &r.Server[i]
		name := it.name()
		if !read[name] {
			continue // a note says why
		}
		cells := []string{blankAgain(name, last)}
		if phases {
			cells = append(cells, string(it.Phase))
		}
		for _, c := range columns {
			cells = append(cells, c.show(it))
		}
		g.add(cells...)
		last = name
	}
	if len(g.rows) == 0 {
		s.title("SERVER", "")
	} else {
		about := "  its own figures beside ours: ttft from arrival there, and from sent; p50 by buckets; waiting, kv: most"
		if r.NoLoad {
			about = "  its own figures: ttft from arrival there; p50 by buckets; waiting, kv: most"
		}
		s.title("SERVER", about)
		if err := s.table(g); err != nil {
			return err
		}
	}
	r.serverNotes(s, phases)
	return nil
}

// nameWidth is what the other columns leave for the name of a server.
const nameWidth = 18

// blankAgain says a name once.
func blankAgain(name, last string) string {
	if name == last {
		return ""
	}
	return short(name, nameWidth)
}

// unread reports whether nothing came of a phase's attempts to read the server's pages.
func (s *ServerStats) unread() bool {
	return s.Error != "" && s.Readings == 0 && s.TTFT.N == 0 && len(s.Counts) == 0
}

// name tells a server from the others.
func (s *ServerStats) name() string {
	if len(s.Labels) == 0 && len(s.Sources) > 1 {
		return fmt.Sprintf("%d pages", len(s.Sources))
	}
	if len(s.Labels) == 0 {
		return plain(strings.Join(s.Sources, ""))
	}
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, label+"="+s.Labels[label])
	}
	return plain(strings.Join(parts, ", "))
}

// A serverColumn is a figure of a server, or one of ours beside it.
type serverColumn struct {
	name string
	show func(*ServerStats) string
}

// serverColumns are those beside ours, or, where there is no load of ours, alone and with the requests that ended there.
func serverColumns(alone bool) []serverColumn {
	mean := serverColumn{"ttft mean", func(s *ServerStats) string {
		if s.TTFT.N == 0 {
			return unknownFigure
		}
		return s.TTFT.Mean.String()
	}}
	p50, tokens := serverColumn{"p50", (*ServerStats).median}, counted("tokens", SignalOutputTokens)
	waiting := serverColumn{"waiting", func(s *ServerStats) string {
		if s.Waiting.N == 0 {
			return unknownFigure
		}
		return fmt.Sprintf("%.0f", s.Waiting.Max)
	}}
	kv := serverColumn{"kv", func(s *ServerStats) string {
		if s.KVUsage.N == 0 {
			return unknownFigure
		}
		return Percent(s.KVUsage.Max)
	}}
	if alone {
		return []serverColumn{counted("done", SignalDone), counted("failed", SignalFailed), mean, p50, tokens, waiting, kv}
	}
	ours := func(of func(Quantiles) Seconds) serverColumn {
		return serverColumn{"ours", func(s *ServerStats) string { return timeOf(s.Ours.TTFT, of) }}
	}
	apart := serverColumn{"apart", func(s *ServerStats) string {
		if s.TTFT.N == 0 || s.Ours.TTFT.N == 0 {
			return unknownFigure
		}
		return signed(s.Apart)
	}}
	received := serverColumn{"ours", func(s *ServerStats) string { return fmt.Sprintf("%.0f", s.Ours.Tokens) }}
	return []serverColumn{mean, ours(func(q Quantiles) Seconds { return q.Mean }), apart, p50, ours(Quantiles.p50), tokens, received, waiting, kv}
}

// unknownFigure stands where a server tells nothing.
const unknownFigure = "–"

// counted is a counter's column.
func counted(name, signal string) serverColumn {
	return serverColumn{name, func(s *ServerStats) string {
		n, told := s.Counts[signal]
		if !told {
			return unknownFigure
		}
		return fmt.Sprintf("%.0f", n)
	}}
}

// median is that of a server's own histogram; one past its last bucket is more than where that begins.
func (s *ServerStats) median() string {
	switch q := s.TTFT.P50; {
	case math.IsInf(float64(q.To), 1):
		return ">" + q.Value.String()
	case q.Known():
		return q.Value.String()
	}
	return unknownFigure
}

// signed writes a difference with its sign.
func signed(x Seconds) string {
	if x > 0 {
		return "+" + x.String()
	}
	return x.String()
}

// serverNotes says what differences mean, where a page could not be read, and where counters began anew: each once,
// with the places where it is so.
func (r *Report) serverNotes(s *screen, phases bool) {
	where := map[string][]string{}
	var order []string
	note := func(it *ServerStats, text string) {
		if text == "" {
			return
		}
		if where[text] == nil {
			order = append(order, text)
		}
		at := it.name()
		if phases {
			at += " in " + string(it.Phase)
		}
		where[text] = append(where[text], at)
	}
	for i := range r.Server {
		it := &r.Server[i]
		for _, text := range it.Notes {
			note(it, text)
		}
		if it.Restarts > 0 {
			note(it, "its counters began anew")
		}
		switch {
		case it.unread():
			note(it, "never read: "+it.Error)
		case it.Error != "":
			note(it, "not always to be read: "+it.Error)
		}
	}
	for _, text := range order {
		s.text("   ", dim, plain(strings.Join(where[text], ", ")+": "+text))
	}
}
