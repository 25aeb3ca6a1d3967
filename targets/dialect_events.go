package targets

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// doneMark is what most servers end an event stream with.
const doneMark = "[DONE]"

// payload is what a server-sent event has for a dialect to read: its JSON object, or
// doneMark. Nil: nothing, or an error that is in out now. Names that start in one of ours
// are the dialect's own, as no name and message are: their data must be an object. What others
// carry (a ping has the time) is not looked at.
func payload(e *Event, out *Delta, ours ...string) ([]byte, error) {
	if err := decodeOther(e.Other, out); err != nil {
		return nil, err
	}
	data, name := bytes.TrimSpace(e.Data), string(e.Name)
	isOurs := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	switch {
	case string(data) == doneMark:
		return data, nil
	case name == "error":
		out.Err = inBand(data)
	case e.Data == nil:
	case len(data) > 0 && data[0] == '{':
		return data, nil
	case name == "" || name == "message" || slices.ContainsFunc(ours, isOurs):
		return nil, fmt.Errorf("data is no JSON object: %q", clip(data))
	}
	return nil, nil
}

const (
	// mostValues is how many a JSON text may have that is read into lists of objects, each of which may take a hundred
	// times the memory of its text.
	mostValues = 100_000
	// roomy is how long a text may be that has no room for more: a value takes a byte, and a comma.
	roomy = 2 * mostValues
)

// crowded is the error of a JSON text with more values than are read, or nil.
func crowded(data []byte) error {
	if len(data) <= roomy {
		return nil
	}
	values := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case ',':
			if values++; values > mostValues {
				return fmt.Errorf("data has more than %d values: %q", mostValues, clip(data))
			}
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return nil
}

// decodeOther reads lines that are no fields of an event stream. llama.cpp reports
// errors in a field named error; a name that cannot be one is text of another format.
func decodeOther(fields []Field, out *Delta) error {
	for _, f := range fields {
		switch {
		case string(f.Name) == "error":
			out.Err = inBand(f.Value)
		case len(f.Line) > 0 && f.Line[0] == '{':
			if out.Err = InBandError(f.Line); out.Err == "" {
				return fmt.Errorf("line is no field of an event stream: %q", clip(f.Line))
			}
		case !isFieldName(f.Name):
			return fmt.Errorf("line is no field of an event stream: %q", clip(f.Line))
		}
	}
	return nil
}

func isFieldName(name []byte) bool {
	for _, c := range name {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return len(name) <= 64
}
