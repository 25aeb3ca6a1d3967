package experiments

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keys returns the names of t's fields that YAML may set; those of an embedded struct are its own.
func keys(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := keyOf(f); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// keyOf is the field's name in YAML, or "" if it has none.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// fieldOf finds the field with the name key; nil: there is none.
func fieldOf(t reflect.Type, key string) []int {
	for _, f := range reflect.VisibleFields(t) {
		if name := keyOf(f); name != "" && name == key {
			return f.Index
		}
	}
	return nil
}

// A pair is one entry of a mapping.
type pair struct {
	key  string
	node *yaml.Node // of the key
	val  *yaml.Node
}

// pairs gives a mapping's entries with text keys, each key once, and notes the others as problems.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	var all []pair
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		for k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			d.problem(n.Content[i], path, "has %s for a key: write a name", what(k))
			continue
		}
		switch tag := k.ShortTag(); tag {
		case "!!str":
		case "!!merge":
			d.problem(k, path, "merge keys (<<) are not supported: write the keys out, or use an alias for the whole value")
			continue
		default:
			d.problem(k, path, "key %s is not text: write %q", k.Value, k.Value)
			continue
		}
		if first := seen[k.Value]; first != nil {
			d.problem(k, join(path, k.Value), "is written twice, first on line %d: keep one", first.Line)
			continue
		}
		seen[k.Value] = k
		all = append(all, pair{key: k.Value, node: k, val: n.Content[i+1]})
	}
	return all
}

// structure decodes a mapping into a struct. More names keys that are handled elsewhere, so that
// they are suggested for unknown ones.
func (d *decoder) structure(n *yaml.Node, path string, v reflect.Value, more ...string) {
	t := v.Type()
	known := keys(t)
	if n.Kind != yaml.MappingNode {
		needs := "a mapping"
		if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
			needs = "a single value, or a mapping"
		}
		d.problem(n, path, "needs %s with the keys %s, not %s", needs, strings.Join(known, ", "), what(n))
		return
	}
	if !d.plainTag(n, path) {
		return
	}
	present := map[string]*yaml.Node{}
	for _, p := range d.pairs(n, path) {
		index := fieldOf(t, p.key)
		if index == nil {
			all := slices.Concat(known, more)
			meant := meantKey(p.key, all)
			d.unknownKey(p, path, all, meant, within(t, n, p.key))
			if meant != "" && present[meant] == nil {
				present[meant] = p.node // one mistake, one message: it is not missing too
			}
			continue
		}
		present[p.key] = p.node
		d.value(p.val, join(path, p.key), v.FieldByIndex(index))
	}
	d.shape(n, path, d.shapes[t], present)
}

// within is the key beside an unknown one whose value may have it; "": there is none.
func within(t reflect.Type, n *yaml.Node, key string) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		beside := n.Content[i].Value
		index := fieldOf(t, beside)
		if index == nil {
			continue
		}
		of := t.FieldByIndex(index).Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() == reflect.Struct && fieldOf(of, key) != nil {
			return beside
		}
	}
	return ""
}

// unknownKey says which key was meant, if that is known. Beside is the key in whose value it has a place.
func (d *decoder) unknownKey(p pair, path string, known []string, meant, beside string) {
	hint := didYouMean(meant)
	switch {
	case hint != "":
	case beside != "" && p.val.Kind == yaml.ScalarNode:
		hint = fmt.Sprintf(": it belongs inside %s: {…, %s: %s}", beside, p.key, clip(p.val.Value))
	case len(known) > 0:
		hint = "; known are " + strings.Join(known, ", ")
	}
	d.problem(p.node, join(path, p.key), "unknown key%s", hint)
}

// shape checks which keys are there.
func (d *decoder) shape(n *yaml.Node, path string, s shape, present map[string]*yaml.Node) {
	for _, key := range s.required {
		if present[key] == nil {
			d.problem(n, join(path, key), "is missing")
		}
	}
	var have []string
	for _, key := range s.oneOf {
		if present[key] != nil {
			have = append(have, key)
		}
	}
	switch {
	case len(s.oneOf) > 0 && len(have) == 0:
		d.problem(n, path, "needs one of %s", strings.Join(s.oneOf, ", "))
	case len(have) > 1:
		last := present[have[0]]
		for _, key := range have[1:] {
			if k := present[key]; k.Line > last.Line || k.Line == last.Line && k.Column > last.Column {
				last = k
			}
		}
		d.problem(last, path, "has %s: keep one of them", strings.Join(have, " and "))
	}
}

// list decodes a sequence into a slice.
func (d *decoder) list(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "needs a list, not %s: write it in [ ], or with a - before each", what(n))
		return
	}
	if !d.plainTag(n, path) {
		return
	}
	s := reflect.MakeSlice(v.Type(), 0, min(len(n.Content), maxValues))
	for i, c := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(c, fmt.Sprintf("%s[%d]", path, i), e)
		s = reflect.Append(s, e)
	}
	v.Set(s)
}

// mapping decodes a mapping into a map with text keys.
func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "needs a mapping of names to values, not %s", what(n))
		return
	}
	if !d.plainTag(n, path) {
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, p := range d.pairs(n, path) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(p.val, join(path, p.key), e)
		m.SetMapIndex(reflect.ValueOf(p.key).Convert(v.Type().Key()), e)
	}
	v.Set(m)
}

// anything decodes as JSON would: nil, bool, int64, uint64, float64, string, []any, map[string]any.
// n has been entered; ok is false where a problem was noted.
func (d *decoder) anything(n *yaml.Node, path string) (x any, ok bool) {
	before := len(d.problems)
	switch n.Kind {
	case yaml.SequenceNode:
		list := []any{}
		v := reflect.ValueOf(&list).Elem()
		d.list(n, path, v)
		x = list
	case yaml.MappingNode:
		m := map[string]any{}
		v := reflect.ValueOf(&m).Elem()
		d.mapping(n, path, v)
		x = m
	default:
		x = d.anyScalar(n, path)
	}
	return x, len(d.problems) == before
}

// plainTag refuses !tags on containers: they would be ignored.
func (d *decoder) plainTag(n *yaml.Node, path string) bool {
	if tag := n.ShortTag(); tag != "!!map" && tag != "!!seq" {
		d.problem(n, path, "tag %s is not known: delete it", tag)
		return false
	}
	return true
}

// what names a node in a message: a list, a mapping, or the text itself.
func what(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case isNull(n):
		return "nothing"
	default:
		return fmt.Sprintf("%q", clip(n.Value))
	}
}

// clip keeps messages to a line.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
