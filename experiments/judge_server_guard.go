package experiments

import (
	"cmp"
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
		x, ok, dark := g.tells(pages, n)
		if ok {
			g.n++
			if b := g.streak.take(g.guard, n, x.x, x.n); !g.found.came {
				g.found = b
			}
		}
		g.dark = cmp.Or(g.dark, dark)
		delete(pages.windows, n)
	}
}

// tells is what a second says to a guard; dark is why nobody knows what. A rate to which a page has added nothing is
// the least that it can be: ok is false where more would decide otherwise.
func (g *guardTrack) tells(pages *serverSlice, second int64) (x reach, ok bool, dark string) {
	w, bar, all := pages.windows[second], g.guard.Value.fraction(), len(pages.pages)
	x, ok = w.measure(g.guard.Metric, w.over(all))
	if dark = x.dark(ok, bar); !ok || dark != "" {
		return x, false, dark
	}
	x.x = x.above(bar)
	least := g.guard.Metric.class() == rateClass && len(w.told) < all
	return x, !least || g.guard.Op.holds(x.x, bar) == g.guard.Op.floor(), ""
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
		if x, ok, _ := g.tells(pages, n); ok {
			if b := s.take(g.guard, n, x.x, x.n); b.came {
				return b
			}
		}
	}
	return breach{}
}

// blind says why a guard may have missed what happened in the judged phases; "": it has not.
func (g *guardTrack) blind(line *timeline) string {
	s := g.server.of[""]
	if s == nil {
		return noPage(g.guard.Condition)
	}
	if why := s.partial(g.guard.Metric); why != "" {
		return why
	}
	for p := range phase(judgedPhases) {
		length, told := line.reported(p)
		if !told {
			continue
		}
		if why := cmp.Or(s.gap(p, length), s.stands(p, length)); why != "" {
			return why
		}
	}
	return g.dark
}

// unseeing says why a guard about servers would see nothing, by baseline: then it guards nothing. "": it would, or it
// is about our requests.
func (g *guardTrack) unseeing() string {
	switch {
	case g.server == nil:
		return ""
	case g.server.of[""] == nil:
		return noPage(g.guard.Condition)
	default:
		return g.server.of[""].unseen(g.guard.Metric)
	}
}
