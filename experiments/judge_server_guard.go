package experiments

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// openServers tells those who judge by servers which pages there are.
func (j *Judge) openServers(stack json.RawMessage) {
	for _, t := range j.claims {
		if t.server != nil {
			t.server.open(stack)
		}
	}
	for _, g := range j.guards {
		if g.server != nil {
			g.server.open(stack)
		}
	}
}

// follow takes the next step of a page, of a guard about servers. A second is over when a reading tells of the second
// after the next.
func (g *guardTrack) follow(s step, line *timeline) {
	if g.server == nil || !g.begun.came || s.now.At < g.begun.at || g.loadEnd.came && s.now.At > g.loadEnd.at {
		return
	}
	g.server.add(s, line, moment{came: true}, guardWindow)
	pages := g.server.of[""]
	if pages == nil || len(pages.windows) == 0 {
		return
	}
	numbers := slices.Sorted(maps.Keys(pages.windows))
	for _, n := range numbers {
		if n >= numbers[len(numbers)-1]-1 {
			break
		}
		if x, ok := pages.windows[n].measure(g.guard.Metric, 0); ok {
			g.n++
			if b := g.streak.take(g.guard, n, x.x, x.n); !g.found.came {
				g.found = b
			}
		}
		delete(pages.windows, n)
	}
}

// breachOfServer is breach of a guard about servers, by a streak that is its own to change.
func (g *guardTrack) breachOfServer(s streak, now time.Duration) breach {
	pages := g.server.of[""]
	if pages == nil {
		return breach{}
	}
	for _, n := range slices.Sorted(maps.Keys(pages.windows)) {
		if time.Duration(n+1)*guardWindow > now {
			break
		}
		if x, ok := pages.windows[n].measure(g.guard.Metric, 0); ok {
			if b := s.take(g.guard, n, x.x, x.n); b.came {
				return b
			}
		}
	}
	return breach{}
}

// gaps says why not all of the judged phases is known; "": it is.
func (t *serverTrack) gaps(line *timeline) string {
	for _, value := range slices.Sorted(maps.Keys(t.of)) {
		for p := range phase(judgedPhases) {
			from, to, _ := line.window(p)
			if _, told := line.reported(p); !told {
				continue
			}
			if gap := t.of[value].gap(p, to-from); gap != "" {
				return gap
			}
		}
	}
	return ""
}
