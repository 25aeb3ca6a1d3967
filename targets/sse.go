package targets

import (
	"bytes"
	"fmt"
)

// MaxEvent is the most bytes that one event may have, its lines taken together. The longest in service (tool arguments, log probabilities, an
// image) stay under 4 MiB; past four times that a server has lost its framing.
const MaxEvent = 16 << 20

// fieldSize is about what a Field costs beside its text: an event of a million lines of a letter is too long as well.
const fieldSize = 96

// ErrEventTooLong is what a Splitter returns past MaxEvent.
var ErrEventTooLong = fmt.Errorf("an event is longer than %d bytes", MaxEvent)

// An Event is one server-sent event, or one line where a stream is cut into those.
// Its slices belong to the Splitter and are valid until the function that was
// handed the event returns.
type Event struct {
	// Name is the event's type; empty for most, and for every line.
	Name []byte
	// Data is the event's data lines, joined by \n. Nil: it has none. Of a line it is all but its end.
	Data []byte
	// Other holds lines whose field is not of the standard: a server's `error:`
	// field, and text that is no event stream at all. Comments, id and retry are dropped.
	Other []Field
	// Torn: the stream came to its end within the event's last line. What cannot be
	// decoded in it is a cut and no garbage.
	Torn bool
}

// A Field is one line of an event, at its first colon.
type Field struct {
	// Line is all of it; Name what comes before the colon (or Line, if there is
	// none), Value what comes after the colon and one space.
	Line, Name, Value []byte
}

// A Splitter cuts a stream of bytes into events, however the stream was cut into
// reads. Its zero value is at the start of a stream of server-sent events. It trims
// nothing of a payload, and drops one BOM before everything.
//
// Of server-sent events it follows the HTML standard (LF, CR and CRLF, comments,
// several data lines), and is wider in three points, each for a server in service:
// an event without a data line counts if it has a name or an unknown field, the
// last event may lack its blank line, and unknown fields are handed on.
//
// An event whose line lies within one read is handed on without a copy.
type Splitter struct {
	// Framing is how the stream is cut. It may not change once the stream has begun.
	Framing Framing

	event Event
	line  []byte // the start of a line whose end has not come
	name  []byte // holds event.Name
	data  []byte // holds event.Data once it cannot stay in the read
	owned bool   // event.Data is data
	begun bool   // event has a line that counts
	afCR  bool   // the last byte was a CR: an LF right after it belongs to it
	bom   int    // bytes of the BOM seen; len(bom): past it
	size  int    // bytes of the event's finished lines
	err   error
}

const bom = "\xef\xbb\xbf"

// Split takes the next read and hands on every event that ends in it. It
// returns the first error, its own or yield's, and the same one ever after.
func (s *Splitter) Split(read []byte, yield func(*Event) error) error {
	if s.err != nil {
		return s.err
	}
	if s.bom < len(bom) {
		read = s.skipBOM(read)
	}
	if s.Framing == Lines {
		return s.splitLines(read, yield)
	}
	if s.afCR && len(read) > 0 {
		s.afCR = false
		read = bytes.TrimPrefix(read, []byte{'\n'})
	}
	for len(read) > 0 && s.err == nil {
		if i := bytes.IndexByte(read, '\n'); i >= 0 {
			s.lines(read[:i], true, yield)
			read = read[i+1:]
			continue
		}
		s.lines(read, false, yield)
		break
	}
	s.detach()
	return s.err
}

// AtStart reports whether the next byte begins an event: nothing of one is held.
func (s *Splitter) AtStart() bool {
	return !s.begun && len(s.line) == 0 && s.size == 0 && !s.afCR && s.bom == len(bom) && s.err == nil
}

// End hands on what is left when the stream has come to a clean end: an event
// without its blank line, or even without its last line's end.
func (s *Splitter) End(yield func(*Event) error) error {
	if s.err == nil && s.bom < len(bom) {
		s.line, s.bom = append(s.line, bom[:s.bom]...), len(bom)
	}
	if s.err == nil && len(s.line) > 0 {
		s.event.Torn = true
		if s.Framing == Lines {
			s.event.Data = s.line
			s.begun = true
		} else {
			s.endLine(nil, yield)
		}
	}
	if s.err == nil {
		s.dispatch(yield)
	}
	return s.err
}

// skipBOM drops a BOM at the start of the stream, which may come byte by byte.
func (s *Splitter) skipBOM(read []byte) []byte {
	for s.bom < len(bom) && len(read) > 0 {
		if read[0] != bom[s.bom] {
			s.line, s.bom = append(s.line, bom[:s.bom]...), len(bom)
			break
		}
		s.bom++
		read = read[1:]
	}
	return read
}

// lines takes text without an LF; ended says that one followed.
func (s *Splitter) lines(text []byte, ended bool, yield func(*Event) error) {
	for s.err == nil {
		i := bytes.IndexByte(text, '\r')
		if i < 0 {
			break
		}
		last := i == len(text)-1
		if last && ended { // CRLF: the LF ends the line
			text = text[:i]
			break
		}
		s.afCR = last
		s.endLine(text[:i], yield)
		text = text[i+1:]
	}
	switch {
	case s.err != nil:
	case ended:
		s.endLine(text, yield)
	case len(text) > 0:
		s.detach()
		s.line = append(s.line, text...)
		if s.size+len(s.line) > MaxEvent {
			s.err = ErrEventTooLong
		}
	}
}

// endLine takes the rest of a line. The field in it may point into the read or into s.line.
func (s *Splitter) endLine(rest []byte, yield func(*Event) error) {
	line := rest
	if len(s.line) > 0 {
		line = append(s.line, rest...)
		s.line = line[:0]
	}
	switch {
	case len(line) == 0:
		s.dispatch(yield)
		return
	case s.size+len(line) > MaxEvent:
		s.err = ErrEventTooLong
		return
	case line[0] == ':':
		return
	}
	s.size += len(line)
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		s.field(line, line, line[len(line):])
		return
	}
	value := line[i+1:]
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	s.field(line, line[:i], value)
}

func (s *Splitter) field(line, name, value []byte) {
	switch string(name) {
	case "data":
		s.begun = true
		s.addData(value)
	case "event":
		s.begun = true
		s.name = append(s.name[:0], value...)
		s.event.Name = s.name
	case "id", "retry":
	default:
		s.begun = true
		s.size += fieldSize
		kept := bytes.Clone(line)
		s.event.Other = append(s.event.Other, Field{
			Line: kept, Name: kept[:len(name)], Value: kept[len(kept)-len(value):],
		})
	}
}

func (s *Splitter) addData(value []byte) {
	if s.event.Data == nil {
		s.event.Data = value
		return
	}
	s.own()
	s.data = append(append(s.data, '\n'), value...)
	s.event.Data = s.data
}

// own moves the event's data out of the read.
func (s *Splitter) own() {
	if !s.owned {
		s.data = append(s.data[:0], s.event.Data...)
		s.owned = true
	}
}

// detach keeps what an unfinished event has in the read, or in s.line, which are about to be reused.
func (s *Splitter) detach() {
	if s.event.Data != nil && !s.owned {
		s.own()
		// A nil slice would read as "no data line".
		s.event.Data = s.data[:len(s.data):cap(s.data)]
		if s.event.Data == nil {
			s.event.Data = []byte{}
		}
	}
}

func (s *Splitter) dispatch(yield func(*Event) error) {
	if s.begun {
		if err := yield(&s.event); err != nil {
			s.err = err
		}
	}
	s.event = Event{Other: s.event.Other[:0]}
	s.size, s.begun, s.owned = 0, false, false
}
