package targets_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// What a reference leaves open has one default, and a knob follows resilience.
func TestResolved(t *testing.T) {
	all := func(r targets.Resilience) targets.Knobs {
		return targets.Knobs{Edge: r, Router: r, Config: r, Sessions: r, Queue: r}
	}
	mixed := all(targets.Flawed)
	mixed.Queue = targets.Hardened
	for _, tc := range []struct {
		in, want targets.Reference
		differ   []string
	}{
		{
			targets.Reference{},
			targets.Reference{Regions: []string{"east", "west", "central"}, Replicas: 4, Resilience: targets.Hardened, Knobs: all(targets.Hardened)},
			nil,
		},
		{
			targets.Reference{Regions: []string{"a"}, Replicas: 2, Resilience: targets.Flawed, Knobs: targets.Knobs{Queue: targets.Hardened}},
			targets.Reference{Regions: []string{"a"}, Replicas: 2, Resilience: targets.Flawed, Knobs: mixed},
			[]string{"queue=hardened"},
		},
	} {
		got := tc.in.Resolved()
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%+v.Resolved() (-want +got):\n%s", tc.in, diff)
		}
		for _, r := range []targets.Reference{tc.in, got} {
			if diff := cmp.Diff(tc.differ, r.Differing()); diff != "" {
				t.Errorf("%+v.Differing() (-want +got):\n%s", r, diff)
			}
		}
	}
}

// The names that faults can use, as far as a file tells.
func TestRoles(t *testing.T) {
	for name, tc := range map[string]struct {
		spec  targets.Spec
		want  map[string][]string
		known bool
	}{
		"reference": {
			targets.Spec{Reference: &targets.Reference{Regions: []string{"a", "b"}, Replicas: 1}},
			map[string][]string{"region": {"a", "b"}, "store": {"router_config"}, "dependency": {"session_store"}, "gpu": {"a/0", "b/0"}},
			true,
		},
		"one region": {
			targets.Spec{Reference: &targets.Reference{Regions: []string{"a"}, Replicas: 2}},
			map[string][]string{"region": {"a"}, "store": {"router_config"}, "dependency": nil, "gpu": {"a/0", "a/1"}},
			true,
		},
		"endpoints": {
			targets.Spec{
				Endpoints: map[string]targets.Endpoint{"main": {}}, Stores: map[string]targets.Store{"y": {}, "x": {}}, GPUs: map[string]targets.GPU{"g": {}},
			},
			map[string][]string{"region": nil, "store": {"x", "y"}, "dependency": nil, "gpu": {"g"}},
			true,
		},
		"attach": {targets.Spec{Attach: "stack.json"}, nil, false},
	} {
		got, known := tc.spec.Roles()
		if known != tc.known {
			t.Errorf("%s: Roles() is known: %t; want %t", name, known, tc.known)
		}
		if diff := cmp.Diff(tc.want, got); known && diff != "" {
			t.Errorf("%s: Roles() (-want +got):\n%s", name, diff)
		}
	}
}
