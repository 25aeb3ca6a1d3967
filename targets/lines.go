package targets

import "bytes"

// splitLines is Split where each line is an event: its end is LF or CRLF, and an empty one
// is none. A lone CR ends no line: JSON allows it between two words.
func (s *Splitter) splitLines(read []byte, yield func(*Event) error) error {
	for s.err == nil {
		i := bytes.IndexByte(read, '\n')
		if i < 0 {
			break
		}
		s.endJSONLine(read[:i], yield)
		read = read[i+1:]
	}
	if s.err == nil && len(read) > 0 {
		s.line = append(s.line, read...)
		if len(s.line) > MaxEvent {
			s.err = ErrEventTooLong
		}
	}
	return s.err
}

// endJSONLine takes the rest of a line, without its LF.
func (s *Splitter) endJSONLine(rest []byte, yield func(*Event) error) {
	line := rest
	if len(s.line) > 0 {
		line = append(s.line, rest...)
		s.line = line[:0]
	}
	if len(line) > MaxEvent {
		s.err = ErrEventTooLong
		return
	}
	if line = bytes.TrimSuffix(line, []byte{'\r'}); len(line) > 0 {
		s.event.Data, s.begun = line, true
		s.dispatch(yield)
	}
}
