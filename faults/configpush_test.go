package faults_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

func storeHandle(s targets.Store) targets.Handle {
	return endpoints(func(h *targets.Handle) { h.Stores = map[string]targets.Store{"router": s} })
}

// Whatever anyone else has written since is theirs, also where it is nothing.
func TestConfigPushNeverClobbers(t *testing.T) {
	for name, theirs := range map[string]*string{"another config": new(`{"theirs":1}`), "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			s := faultstest.NewStore(t, new(`{"pools":[]}`))
			f := setField()
			put(t, f, storeHandle(s.Spec()))
			s.Put(theirs)
			wantError(t, "Revert()", back(t, f, storeHandle(s.Spec()), results.RestoredDrift), "someone else", "left alone", "12 bytes", "journal")
			got, ok := s.Body()
			if ok != (theirs != nil) || (ok && got != *theirs) {
				t.Errorf("after Revert the store holds %q, %t; want what someone else wrote", got, ok)
			}
			if e, err := f.Evidence(t.Context(), attach(t, storeHandle(s.Spec()))); err != nil || e.Touched != 0 {
				t.Errorf("Evidence() = %+v, %v; want none: it is not in force", e, err)
			}
		})
	}
}

// The same bytes under another version are still ours; the original bytes need no undo.
func TestConfigPushComparesBytes(t *testing.T) {
	s := faultstest.NewStore(t, new(`{"pools":[]}`))
	f := setField()
	put(t, f, storeHandle(s.Spec()))
	s.Put(new(`{"pools":null}`))
	must(t, back(t, f, storeHandle(s.Spec()), results.RestoredOK))
	put(t, f, storeHandle(s.Spec()))
	s.Put(new(`{"pools":[]}`))
	must(t, back(t, f, storeHandle(s.Spec()), results.RestoredUnneed))
}

// A config that changed between Prepare and Inject is not the one that Revert would bring back.
func TestConfigPushInjectsOnWhatItSaw(t *testing.T) {
	s := faultstest.NewStore(t, new(`{"pools":[]}`))
	f := setField()
	must(t, f.Prepare(t.Context(), attach(t, storeHandle(s.Spec()))))
	s.Put(new(`{"pools":[1]}`))
	err := f.Inject(t.Context(), attach(t, storeHandle(s.Spec())))
	wantError(t, "Inject()", err, "store router", "changed meanwhile")
	if !errors.Is(err, targets.ErrChanged) {
		t.Errorf("Inject() = %v, want it to be ErrChanged", err)
	}
	if got, _ := s.Body(); got != `{"pools":[1]}` {
		t.Errorf("after Inject the store holds %s, want what was there", got)
	}
}

// A store's word is not enough, neither for the harm nor for its undo.
func TestConfigPushReadsBack(t *testing.T) {
	s := faultstest.NewStore(t, new(`{"pools":[]}`))
	f := setField()
	must(t, f.Prepare(t.Context(), attach(t, storeHandle(s.Spec()))))
	s.Trouble(faultstest.Ignore)
	wantError(t, "Inject()", f.Inject(t.Context(), attach(t, storeHandle(s.Spec()))), "something else than was just written")
	s.Put(new(`{"pools":null}`))
	wantError(t, "Revert()", back(t, f, storeHandle(s.Spec()), results.RestoredFailed), "still holds the pushed config")
}

// A write that the server carries out after the undo finds another version than it was made from.
func TestConfigPushComesLate(t *testing.T) {
	for name, injected := range map[string]bool{"inject never returned": false, "inject returned": true} {
		t.Run(name, func(t *testing.T) {
			s := faultstest.NewStore(t, new(`{"pools":[]}`))
			h := storeHandle(s.Spec())
			store, err := attach(t, h).Store("router")
			must(t, err)
			f := setField()
			must(t, f.Prepare(t.Context(), attach(t, h)))
			if injected {
				must(t, f.Inject(t.Context(), attach(t, h)))
				s.Put(new(`{"pools":[]}`))
			}
			late, err := store.Read(t.Context()) // what a hanging push was made from
			must(t, err)
			must(t, back(t, f, h, results.RestoredUnneed))
			err = store.Swap(t.Context(), late, f.Pushed)
			if injected != (err == nil) || (err != nil && !errors.Is(err, targets.ErrChanged)) {
				t.Errorf("the late push = %v, want it refused unless inject has returned: %t", err, injected)
			}
			if before := late.Version; !injected {
				again, err := store.Read(t.Context())
				must(t, err)
				must(t, back(t, f, h, results.RestoredUnneed))
				d, err := store.Read(t.Context())
				must(t, err)
				if again.Version == before || d.Version != again.Version {
					t.Errorf("versions %s, %s, %s: want one write by the first undo and none by the next", before, again.Version, d.Version)
				}
			}
		})
	}
}

// A store that takes no write is no reason to call an undo failed that had nothing to undo.
func TestConfigPushFenceFails(t *testing.T) {
	s := faultstest.NewStore(t, new(`{"pools":[]}`))
	f := setField()
	must(t, f.Prepare(t.Context(), attach(t, storeHandle(s.Spec()))))
	s.Trouble(faultstest.Refuse)
	must(t, back(t, f, storeHandle(s.Spec()), results.RestoredUnneed))
	note(t, f, "late", "not ruled out", "the store refuses")
}

// A path can be set only in a file that is there; a whole document may well be pushed where none was.
func TestConfigPushIntoAMissingFile(t *testing.T) {
	there, typo := filepath.Join(t.TempDir(), "there.json"), filepath.Join(t.TempDir(), "typo.json")
	must(t, os.WriteFile(there, []byte("{}"), 0o600))
	set := &faults.ConfigPush{Store: "router", Set: map[string]any{"a": 1}}
	want := []string{"store router: there is no file " + typo + " in which a path could be set", "in stores", "body"}
	wantError(t, "Prepare()", set.Prepare(t.Context(), attach(t, storeHandle(targets.Store{File: typo}))), want...)
	for _, tt := range []struct {
		fault *faults.ConfigPush
		store targets.Store
		want  []string
	}{
		{set, targets.Store{File: typo}, want},
		{set, targets.Store{File: there}, nil},
		{set, targets.Store{URL: "http://h/config"}, nil},
		{set, targets.Store{}, nil},
		{&faults.ConfigPush{Store: "router", Body: new("{}")}, targets.Store{File: typo}, nil},
		{&faults.ConfigPush{Store: "other", Set: map[string]any{"a": 1}}, targets.Store{File: typo}, nil},
	} {
		err := tt.fault.Foresee(targets.Spec{Stores: map[string]targets.Store{"router": tt.store}})
		if tt.want == nil {
			must(t, err)
			continue
		}
		wantError(t, "Foresee()", err, tt.want...)
	}
}

// What cannot be undone safely, or is no harm, is refused.
func TestConfigPushRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		body  *string
		fault *faults.ConfigPush
		setUp func(*faultstest.Store)
		want  []string
	}{
		{"no ETag", new("{}"), setField(), (*faultstest.Store).Untag, []string{"no ETag", "If-Match"}},
		{"nothing to set in", nil, setField(), nil, []string{"store router: there is no document at http://", "use body"}},
		{"no JSON", new("a: b"), setField(), nil, []string{"no JSON", "use body"}},
		{"no change", new(`{"pools": null}`), setField(), nil, []string{"no harm"}},
		{"neither", new("{}"), &faults.ConfigPush{Store: "router"}, nil, []string{"exactly one of set"}},
		{"both", new("{}"), &faults.ConfigPush{Store: "router", Set: map[string]any{"a": 1}, Body: new("")}, nil, []string{"exactly one of set"}},
		{"no store", new("{}"), &faults.ConfigPush{Body: new("")}, nil, []string{"store is missing"}},
		{"unknown store", new("{}"), &faults.ConfigPush{Store: "x", Body: new("")}, nil, []string{`"x"`, "[router]"}},
		{"overlapping paths", new("{}"), &faults.ConfigPush{Store: "router", Set: map[string]any{"a": 1, "a.b": 2}}, nil, []string{`"a.b" lies inside of "a"`}},
		{"empty name", new("{}"), &faults.ConfigPush{Store: "router", Set: map[string]any{"a..b": 1}}, nil, []string{`"a..b"`, "empty"}},
		{"no JSON value", new("{}"), &faults.ConfigPush{Store: "router", Set: map[string]any{"a": map[any]any{}}}, nil, []string{`"a"`, "no JSON"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := faultstest.NewStore(t, tt.body)
			if tt.setUp != nil {
				tt.setUp(s)
			}
			wantError(t, "Prepare()", tt.fault.Prepare(t.Context(), attach(t, storeHandle(s.Spec()))), tt.want...)
		})
	}
}

// A set changes the bytes of its value, and no others.
func TestConfigPushSet(t *testing.T) {
	for _, tt := range []struct {
		name, doc string
		set       map[string]any
		want      string // "": an error with parts
		parts     []string
	}{
		{"a field", `{"a": 1, "b": [1, 2]}`, map[string]any{"a": nil}, `{"a": null, "b": [1, 2]}`, nil},
		{"deep, odd spacing", "{\n  \"a\" : { \"b\":true } ,\"n\":12345678901234567890.50}\n", map[string]any{"a.b": "x<y"}, "{\n  \"a\" : { \"b\":\"x<y\" } ,\"n\":12345678901234567890.50}\n", nil},
		{"an element", `{"pools":[{"w":1},{"w":22}]}`, map[string]any{"pools.1.w": 0.5}, `{"pools":[{"w":1},{"w":0.5}]}`, nil},
		{"a new field", `{"a":1}`, map[string]any{"b": 2}, `{"a":1,"b":2}`, nil},
		{"a new field before space", "{\"a\":\"}\"\n}", map[string]any{"b": 2}, "{\"a\":\"}\",\"b\":2\n}", nil},
		{"into an empty object", "{ }", map[string]any{"b.c.d": []any{1}}, `{"b":{"c":{"d":[1]}} }`, nil},
		{"a name with a dot", `{"a.b":{"c":1}}`, map[string]any{`a\.b.c`: 2}, `{"a.b":{"c":2}}`, nil},
		{"several", `{"a":1,"b":2,"c":3}`, map[string]any{"c": "long", "a": "longer", "d": map[string]any{"x": nil}}, `{"a":"longer","b":2,"c":"long","d":{"x":null}}`, nil},
		{"the last of two", `{"a":1,"a":2}`, map[string]any{"a": 3}, `{"a":1,"a":3}`, nil},
		{"inside of a number", `{"a":1}`, map[string]any{"a.b": 2}, "", []string{`"a.b"`, "a is no object"}},
		{"past an array's end", `{"a":[1]}`, map[string]any{"a.1": 2}, "", []string{"array of 1"}},
		{"not an object at all", `3`, map[string]any{"a": 2}, "", []string{"no object"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := faultstest.NewStore(t, &tt.doc)
			f := &faults.ConfigPush{Store: "router", Set: tt.set}
			err := f.Prepare(t.Context(), attach(t, storeHandle(s.Spec())))
			if tt.want == "" {
				wantError(t, "Prepare()", err, tt.parts...)
				return
			}
			if got := string(f.Pushed); err != nil || got != tt.want {
				t.Errorf("set %v in %s = %s, %v; want %s", tt.set, tt.doc, got, err, tt.want)
			}
		})
	}
}

// Digits that float64 cannot hold survive the journal's JSON.
func TestConfigPushKeepsDigits(t *testing.T) {
	s := faultstest.NewStore(t, new(`{}`))
	j, err := faults.OpenJournal(t.TempDir())
	must(t, err)
	a, err := j.Arm(t.Context(), attach(t, storeHandle(s.Spec())), faults.Intent{
		Run: "r", ID: "i", Kind: "config.push", TTL: 1e12,
		Fault: &faults.ConfigPush{Store: "router", Set: map[string]any{"n": int64(9007199254740993)}},
	})
	must(t, err)
	must(t, a.Inject(t.Context()))
	if got, _ := s.Body(); !strings.Contains(got, "9007199254740993") {
		t.Errorf("the store holds %s, want all digits of 9007199254740993", got)
	}
	if r := a.Revert(t.Context()); r.Restored != results.RestoredOK {
		t.Errorf("Revert() = %+v, want restored", r)
	}
}
