package attacks

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// validate returns what is wrong with f, or nil. Which endpoints there are it does not know.
func (f *Failover) validate() []error {
	if f == nil {
		return nil
	}
	if len(f.To) == 0 {
		return []error{errors.New("to has no endpoint: name one of the stack's others")}
	}
	var errs []error
	for i, name := range f.To {
		if slices.Contains(f.To[:i], name) {
			errs = append(errs, fmt.Errorf("to has %q twice: remove one", name))
		}
	}
	return errs
}

// otherDoors makes the doors that any of the clients may fail over to, each once. A client's own key is for the
// endpoint of the attack, and so are its headers that hold a secret: no other one is shown them.
func (cfg *Config) otherDoors(clients []Client) (all []*door, errs []error) {
	keyless := slices.Clone(clients)
	for i := range keyless {
		keyless[i].Key, keyless[i].Headers = "", maps.Clone(keyless[i].Headers)
		maps.DeleteFunc(keyless[i].Headers, func(_, value string) bool { return strings.Contains(value, "${") })
	}
	made := map[string]bool{}
	for i := range clients {
		if clients[i].Failover == nil {
			continue
		}
		for _, name := range clients[i].Failover.To {
			e, known := cfg.Others[name]
			switch {
			case name == cfg.Name:
				errs = append(errs, fmt.Errorf("clients[%d]: failover: to has %q, where the attack goes by itself: remove it", i, name))
			case !known:
				errs = append(errs, fmt.Errorf("clients[%d]: failover: to has %q, which isn't one of the stack's other endpoints [%s]",
					i, name, strings.Join(slices.Sorted(maps.Keys(cfg.Others)), " ")))
			case !made[name]:
				made[name] = true
				other := *cfg
				other.Dialect = nil // it is that of the first
				d, err := other.newDoor(name, e, keyless)
				errs = append(errs, prefix("endpoint "+name, err))
				all = append(all, d)
			}
		}
	}
	return all, errs
}

// findWays returns the doors in the order in which each client tries them.
func (a *Attack) findWays() [][]*door {
	all := make([][]*door, len(a.clients))
	for i := range a.clients {
		all[i] = a.doors[:1:1]
		if f := a.clients[i].Failover; f != nil {
			for _, name := range f.To {
				all[i] = append(all[i], a.doors[slices.IndexFunc(a.doors, func(d *door) bool { return d.name == name })])
			}
		}
	}
	return all
}

// modelAt is the model that a turn asks for at a door: that of its class, or else the door's own.
func (a *Attack) modelAt(turn *turn, d *door) string {
	if len(a.load.classes[turn.class].Models) > 0 {
		return turn.ask.Model
	}
	return d.model
}

// requestAt is a turn as it goes over the wire to a door: as it was written for the first, and written anew for another.
func (a *Attack) requestAt(turn *turn, d *door) ([]byte, error) {
	if d == a.doors[0] {
		return turn.request, nil
	}
	anew := *turn
	anew.ask.Model = a.modelAt(turn, d)
	return d.request(&anew)
}
