package faults_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
)

// FuzzConfigPushSet compares a set in the bytes of a document with one in what it means.
func FuzzConfigPushSet(f *testing.F) {
	for _, doc := range []string{`{"a":{"b":[1,{"c":null}]}}`, ` [ 1.50 , {} ] `, `{"a":1,"a":{"b":2}}`, `{"\u0061":"\"}","":{}}`, `3`, `{`} {
		f.Add(doc, "a", "b", 1)
	}
	f.Fuzz(func(t *testing.T, doc, first, second string, index int) {
		if first == "" || second == "" || !utf8.ValidString(first+second) {
			t.Skip("an empty name is refused, and YAML has only text")
		}
		s := faultstest.NewStore(t, &doc)
		path := []string{first, second, strconv.Itoa(index)}
		push := &faults.ConfigPush{Store: "router", Set: map[string]any{quote(path[0]) + "." + quote(path[1]) + "." + path[2]: "set"}}
		err := push.Prepare(t.Context(), attach(t, storeHandle(s.Spec())))
		was, ok := meaning([]byte(doc))
		want, can := setMeaning(was, path)
		switch {
		case !ok || !can || cmp.Equal(was, want):
			if err == nil && !bytes.Equal([]byte(doc), push.Pushed) && !ok {
				t.Errorf("Prepare() on %q = nil, want an error: it is no JSON", doc)
			}
		case err != nil:
			t.Errorf("set %q in %q = %v, want %v", path, doc, err, want)
		default:
			if got, ok := meaning(push.Pushed); !ok || !cmp.Equal(got, want) {
				t.Errorf("set %q in %q = %s, which means %v; want %v", path, doc, push.Pushed, got, want)
			}
		}
	})
}

// quote writes a name so that no dot in it cuts a path.
func quote(name string) string {
	return string(bytes.ReplaceAll(bytes.ReplaceAll([]byte(name), []byte(`\`), []byte(`\\`)), []byte("."), []byte(`\.`)))
}

func meaning(doc []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	return v, json.Valid(doc) && dec.Decode(&v) == nil
}

// setMeaning sets "set" at path in a copy of v; false: the path leads through something that has no members.
func setMeaning(v any, path []string) (any, bool) {
	if len(path) == 0 {
		return "set", true
	}
	switch v := v.(type) {
	case map[string]any:
		inner, ok := v[path[0]]
		if !ok {
			inner = map[string]any{}
		}
		if len(path) == 1 {
			inner = nil
		}
		inner, ok = setMeaning(inner, path[1:])
		out := maps.Clone(v)
		out[path[0]] = inner
		return out, ok
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != path[0] {
			return nil, false
		}
		out := append([]any(nil), v...)
		inner, ok := setMeaning(v[i], path[1:])
		out[i] = inner
		return out, ok
	}
	return nil, false
}
