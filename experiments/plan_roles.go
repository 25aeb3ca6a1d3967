package experiments

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/failwhale/failwhale/faults"
)

// roles checks that what faults name is a role of the stack, where the file tells which there are, and warns of what
// this machine has not now. It knows no kind of fault: a parameter that is called region, store, dependency or gpu names
// a role, in every kind.
func (c *checker) roles() {
	c.foresee()
	names, known := c.plan.Stack.Roles()
	if !known || !c.fine("stack") {
		return
	}
	for i, f := range c.plan.Faults {
		params := reflect.Indirect(reflect.ValueOf(f.Fault))
		if params.Kind() != reflect.Struct {
			continue
		}
		path := join(fmt.Sprintf("faults[%d]", i), f.Kind)
		for field, value := range params.Fields() {
			role := field.Tag.Get("yaml")
			have, isRole := names[role]
			if !isRole || value.Kind() != reflect.String || value.String() == "" || slices.Contains(have, value.String()) {
				continue
			}
			c.atPath(join(path, role), "the stack has no %s %q%s", role, clip(value.String()), c.orRole(role, value.String(), have))
		}
	}
}

// foresee warns of faults that could not be injected as things are: they may be mended before the run, or be so elsewhere.
func (c *checker) foresee() {
	for i, f := range c.plan.Faults {
		path := join(fmt.Sprintf("faults[%d]", i), f.Kind)
		if own, ok := f.Fault.(faults.Foreseer); ok && c.fine(path) && c.fine("stack") {
			if err := own.Foresee(c.plan.Stack); err != nil {
				c.warn(path, "could not be injected as things are here: %s", err)
			}
		}
	}
}

// orRole says which roles there are instead.
func (c *checker) orRole(role, name string, have []string) string {
	switch {
	case len(have) > 8: // GPUs
		if hint := DidYouMean(name, have); hint != "" {
			return hint
		}
		return fmt.Sprintf("; there are %s to %s", have[0], have[len(have)-1])
	case len(have) > 0:
		return orKnown(name, have)
	case role == "region":
		return ": only the reference stack's regions can be named, endpoints have nobody who could take one away"
	default:
		return ": it has none"
	}
}
