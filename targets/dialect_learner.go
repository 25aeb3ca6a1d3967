package targets

import (
	"bytes"
	"fmt"
	"slices"
)

// A learner is a dialect's Decoder: it reads events in full, and those that are like
// one before by what it has learned from that.
type learner struct {
	// full reads an event by encoding/json: the definition that the fast path must agree with, and
	// its proof. Where a dialect numbers its events it returns the event's number, else noNumber.
	full decodeFunc
	// framing is the dialect's.
	framing Framing

	plain      plainChunk
	name       []byte // of the events like plain
	head, tail []byte // what a whole event like it has before its data, and after it
	alone      around // what it has around the text, if nothing else changes
	places     numbers
}

type decodeFunc func(e *Event, out *Delta) (number int, err error)

const noNumber = -1

// unnumbered is a decodeFunc for a dialect that does not number its events.
func unnumbered(decode func(*Event, *Delta) error) decodeFunc {
	return func(e *Event, out *Delta) (int, error) { return noNumber, decode(e, out) }
}

// Decode reads one event.
func (l *learner) Decode(e *Event, out *Delta) error {
	*out = Delta{}
	if len(e.Other) == 0 && bytes.Equal(e.Name, l.name) && l.read(e.Data, out) {
		return nil
	}
	if err := crowded(e.Data); err != nil {
		return err
	}
	number, err := l.full(e, out)
	gap := l.places.take(number)
	if err != nil {
		return err
	}
	if l.plain.learn(e, out, number, l.full) {
		l.frame(e.Name)
	}
	if out.Err == "" {
		out.Err = gap
	}
	return nil
}

// ReadWhole knows an event that is like the one learned from.
func (l *learner) ReadWhole(piece []byte, out *Delta) bool {
	if l.alone.before != nil {
		text := l.alone.within(piece)
		if text == nil {
			return false
		}
		l.plain.misses = 0
		l.tell(text, out)
		return true
	}
	n := len(piece) - len(l.tail)
	if n < len(l.head) || !bytes.HasPrefix(piece, l.head) || !bytes.Equal(piece[n:], l.tail) {
		return false
	}
	return l.read(piece[len(l.head):n], out)
}

var _ WholeReader = (*learner)(nil)

// read reads data if it is like the chunk learned from, and in its place.
func (l *learner) read(data []byte, out *Delta) bool {
	text, number, ok := l.plain.match(data)
	if !ok || !l.places.next(number) {
		return false
	}
	l.tell(text, out)
	return true
}

// tell makes out the event that is a piece of the answer with this text and nothing else.
func (l *learner) tell(text []byte, out *Delta) {
	out.Role = true
	if l.plain.reasoning {
		out.Text, out.Reasoning = nil, text
	} else {
		out.Text, out.Reasoning = text, nil
	}
}

// around is what is before and after the text of a whole event.
type around struct{ before, after []byte }

// within is the text between the two in piece, or nil if it is not of them, or not plain.
func (a *around) within(piece []byte) []byte {
	n := len(piece) - len(a.after)
	if n <= len(a.before) || !bytes.Equal(piece[n:], a.after) || !bytes.HasPrefix(piece, a.before) {
		return nil
	}
	n -= len(a.before)
	if piece = piece[len(a.before):]; plainLen(piece) != n { // after begins with the text's closing quote
		return nil
	}
	return piece[:n]
}

// frame learns what servers write around the data of an event of this name.
func (l *learner) frame(name []byte) {
	l.name = bytes.Clone(name)
	switch {
	case l.framing == Lines:
		l.head, l.tail = nil, []byte("\n")
	case len(name) == 0:
		l.head, l.tail = []byte("data: "), []byte("\n\n")
	default:
		l.head, l.tail = fmt.Appendf(nil, "event: %s\ndata: ", name), []byte("\n\n")
	}
	if l.alone = (around{}); len(l.plain.places) == 1 {
		l.alone = around{slices.Concat(l.head, l.plain.places[0].before), slices.Concat(l.plain.after, l.tail)}
	}
}

// numbers follows the numbers of a stream's events, to see what is missing. Servers
// differ in where they begin, some gateways give events one number and some none, so
// only a number that skips others tells anything: what repeats or goes back is no count.
type numbers struct {
	began   bool
	uncount bool // they do not count
	last    int
	without int // events since that had none: each may have been the one skipped
}

// take takes an event's number, or noNumber, and says what is missing before it, or "".
func (n *numbers) take(number int) (gap string) {
	if number == noNumber {
		n.without++
		return ""
	}
	switch {
	case !n.began || n.uncount:
	case number <= n.last:
		n.uncount = true
	case number-n.last-1 > n.without:
		gap = fmt.Sprintf("sequence_number jumped from %d to %d: events are missing", n.last, number)
	}
	n.began, n.last, n.without = true, number, 0
	return gap
}

// next takes number if there is nothing to say of it.
func (n *numbers) next(number int) bool {
	if number == noNumber {
		return true
	}
	if n.uncount {
		return true
	}
	if !n.began || number != n.last+1 {
		return false
	}
	n.last, n.without = number, 0
	return true
}
