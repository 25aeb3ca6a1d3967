package targets

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Roles of the reference stack that are no region's.
const (
	RouterConfig = "router_config" // the store of the routers' config
	SessionStore = "session_store" // the database of conversations, which lives in the first region
)

// GPUName is the role of a region's GPU in the reference stack: "east/0".
func GPUName(region string, replica int) string { return fmt.Sprintf("%s/%d", region, replica) }

// Resolved fills in what r leaves open: regions, replicas, resilience and every knob. It shares nothing with r.
func (r Reference) Resolved() Reference {
	r.Regions = slices.Clone(r.Regions)
	if len(r.Regions) == 0 {
		r.Regions = []string{"east", "west", "central"}
	}
	r.Replicas = cmp.Or(r.Replicas, 4)
	r.Resilience = cmp.Or(r.Resilience, Hardened)
	for _, knob := range r.Knobs.all() {
		*knob.set = cmp.Or(*knob.set, r.Resilience)
	}
	return r
}

// Differing gives the knobs that are set and differ from Resilience, as Knobs.Set reads them: "queue=hardened".
func (r Reference) Differing() []string {
	var settings []string
	for _, knob := range r.Knobs.all() {
		if *knob.set != "" && *knob.set != cmp.Or(r.Resilience, Hardened) {
			settings = append(settings, knob.name+"="+string(*knob.set))
		}
	}
	return settings
}

// A knob is one of Knobs by its name.
type knob struct {
	name string
	set  *Resilience
}

// all gives the knobs in the order of the alphabet.
func (k *Knobs) all() []knob {
	return []knob{
		{"config", &k.Config}, {"edge", &k.Edge}, {"queue", &k.Queue}, {"router", &k.Router}, {"sessions", &k.Sessions},
	}
}

// Roles gives the names that faults can use, by what they name: "region", "store", "dependency" and "gpu", as a
// fault's parameters are called. Known is false for a stack that says so only once it is open.
func (s Spec) Roles() (names map[string][]string, known bool) {
	if s.Reference == nil {
		return map[string][]string{
			"region": nil, // only a supervisor can take one away
			"store":  slices.Sorted(maps.Keys(s.Stores)), "dependency": slices.Sorted(maps.Keys(s.Dependencies)),
			"gpu": slices.Sorted(maps.Keys(s.GPUs)),
		}, len(s.Endpoints) > 0
	}
	r := s.Reference.Resolved()
	names = map[string][]string{"region": r.Regions, "store": {RouterConfig}, "dependency": nil, "gpu": nil}
	if len(r.Regions) > 1 { // with one region, nothing reaches the store over a link
		names["dependency"] = []string{SessionStore}
	}
	for _, region := range r.Regions {
		for i := range r.Replicas {
			names["gpu"] = append(names["gpu"], GPUName(region, i))
		}
	}
	return names, true
}
