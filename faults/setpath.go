package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// checkPaths reports paths that cannot be set, alone or together.
func checkPaths(set map[string]any) []error {
	var errs []error
	paths := slices.Sorted(maps.Keys(set))
	for i, p := range paths {
		keys := splitPath(p)
		if slices.Contains(keys, "") {
			errs = append(errs, fmt.Errorf("set: path %q has an empty name: write a.b.c", p))
		}
		for _, q := range paths[:i] {
			if prefix := splitPath(q); len(prefix) < len(keys) && slices.Equal(prefix, keys[:len(prefix)]) {
				errs = append(errs, fmt.Errorf("set: %q lies inside of %q: write both as one value", p, q))
			}
		}
		if _, err := encode(set[p]); err != nil {
			errs = append(errs, fmt.Errorf("set: the value of %q is no JSON: %w", p, err))
		}
	}
	return errs
}

// splitPath cuts at dots; \. is a dot inside a name.
func splitPath(path string) []string {
	var keys []string
	var key strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path):
			i++
			key.WriteByte(path[i])
		case path[i] == '.':
			keys = append(keys, key.String())
			key.Reset()
		default:
			key.WriteByte(path[i])
		}
	}
	return append(keys, key.String())
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// setPaths returns doc with the values in place. Only their bytes differ.
func setPaths(doc []byte, set map[string]any) ([]byte, error) {
	if !json.Valid(doc) {
		return nil, errors.New("the document is no JSON, so no path can be set in it: use body")
	}
	out := bytes.Clone(doc)
	for _, p := range slices.Sorted(maps.Keys(set)) {
		value, err := encode(set[p])
		if err != nil {
			return nil, fmt.Errorf("set %q: %w", p, err)
		}
		if out, err = setPath(out, splitPath(p), value); err != nil {
			return nil, fmt.Errorf("set %q: %w", p, err)
		}
	}
	return out, nil
}

// A span is where a value stands in a document.
type span struct{ from, to int }

func setPath(doc []byte, keys []string, value []byte) ([]byte, error) {
	at := span{0, len(doc)}
	for i, key := range keys {
		members, object, err := membersOf(doc, at)
		if err != nil {
			return nil, fmt.Errorf("%s is no object or array", strings.Join(keys[:i], "."))
		}
		next, ok := members[key]
		if !ok {
			if !object {
				return nil, fmt.Errorf("%s is an array of %d elements", strings.Join(keys[:i], "."), len(members))
			}
			return insert(doc, at, len(members) == 0, keys[i:], value)
		}
		at = next
	}
	return slices.Concat(doc[:at.from], value, doc[at.to:]), nil
}

// insert adds a member to the object at at, with objects around the value for what is left of the path.
func insert(doc []byte, at span, empty bool, keys []string, value []byte) ([]byte, error) {
	for _, key := range slices.Backward(keys[1:]) {
		name, err := encode(key)
		if err != nil {
			return nil, err
		}
		value = slices.Concat([]byte("{"), name, []byte(":"), value, []byte("}"))
	}
	name, err := encode(keys[0])
	if err != nil {
		return nil, err
	}
	end := at.from + bytes.LastIndexByte(doc[at.from:at.to], '}')
	// After the last member, before the whitespace that leads to the brace.
	end = at.from + len(bytes.TrimRight(doc[at.from:end], " \t\r\n"))
	comma := []byte(",")
	if empty {
		comma = nil
	}
	return slices.Concat(doc[:end], comma, name, []byte(":"), value, doc[end:]), nil
}

// membersOf finds the values of the object or array at at, by name or index. Of a name that
// occurs twice it is the last, as most parsers have it.
func membersOf(doc []byte, at span) (members map[string]span, object bool, err error) {
	dec := json.NewDecoder(bytes.NewReader(doc[at.from:at.to]))
	open, err := dec.Token()
	if err != nil {
		return nil, false, err
	}
	if open != json.Delim('{') && open != json.Delim('[') {
		return nil, false, io.ErrUnexpectedEOF
	}
	object, members = open == json.Delim('{'), map[string]span{}
	for i := 0; dec.More(); i++ {
		key := strconv.Itoa(i)
		if object {
			name, err := dec.Token()
			if err != nil {
				return nil, false, err
			}
			key, _ = name.(string)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, false, err
		}
		to := at.from + int(dec.InputOffset())
		members[key] = span{to - len(raw), to}
	}
	return members, object, nil
}
