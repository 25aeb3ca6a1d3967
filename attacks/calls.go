package attacks

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/failwhale/failwhale/targets"
)

// maxCalls bounds the calls of one answer: as many as OpenAI lets a request offer tools.
const maxCalls = 128

// calls gathers what an answer calls of its tools, piece by piece, up to maxCalls and maxKept bytes.
type calls struct {
	list  []gathered
	bytes int
}

// A gathered is a call so far. Its Arguments are in text.
type gathered struct {
	place int
	targets.Call
	text []byte
}

// add adds a piece. One past the bounds is dropped.
func (c *calls) add(p *targets.CallPart) {
	if c.bytes += len(p.ID) + len(p.Name) + len(p.Arguments); c.bytes > maxKept {
		return
	}
	g := c.at(p.Place)
	if g == nil || p.Begins(&g.Call) {
		if len(c.list) == maxCalls {
			return
		}
		c.list = append(c.list, gathered{place: p.Place})
		g = &c.list[len(c.list)-1]
	}
	g.ID, g.Name = cmp.Or(g.ID, p.ID), cmp.Or(g.Name, p.Name)
	g.text = append(g.text, p.Arguments...)
}

// at is the last call of a place, or nil.
func (c *calls) at(place int) *gathered {
	for i := len(c.list) - 1; i >= 0 && place >= 0; i-- {
		if c.list[i].place == place {
			return &c.list[i]
		}
	}
	return nil
}

// sound are those that can be repeated to the server in a conversation's turn, each with an id.
func (c *calls) sound(turn int) (all []targets.Call) {
	for i, g := range c.list {
		call := targets.Call{ID: cmp.Or(g.ID, fmt.Sprintf("call_%d_%d", turn, i)), Name: g.Name, Arguments: string(g.text)}
		if call.Sound() {
			all = append(all, call)
		}
	}
	return all
}

// String gives all of them as text.
func (c *calls) String() string {
	var b strings.Builder
	for _, g := range c.list {
		b.WriteString(g.Name)
		b.Write(g.text)
	}
	return b.String()
}
