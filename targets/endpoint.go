package targets

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Endpoint returns the front door of this name; an empty name means the only one.
func (s *Stack) Endpoint(name string) (Endpoint, error) {
	if name != "" {
		return role("endpoint", s.handle.Endpoints, name)
	}
	if len(s.handle.Endpoints) != 1 {
		names := slices.Sorted(maps.Keys(s.handle.Endpoints))
		return Endpoint{}, fmt.Errorf("the stack has %d endpoints: set attack.endpoint to one of [%s]", len(names), strings.Join(names, " "))
	}
	for _, e := range s.handle.Endpoints {
		return e, nil
	}
	return Endpoint{}, nil // not reached
}
