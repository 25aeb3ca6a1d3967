package targets

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Endpoint returns the front door of this name, and what it is called; an empty name means the only one.
func (s *Stack) Endpoint(name string) (string, Endpoint, error) {
	if name != "" {
		e, err := role("endpoint", s.handle.Endpoints, name)
		return name, e, err
	}
	names := slices.Sorted(maps.Keys(s.handle.Endpoints))
	if len(names) != 1 {
		return "", Endpoint{}, fmt.Errorf("the stack has %d endpoints: set attack.endpoint to one of [%s]", len(names), strings.Join(names, " "))
	}
	return names[0], s.handle.Endpoints[names[0]], nil
}
