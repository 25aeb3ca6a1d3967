package experiments

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/failwhale/failwhale/faults"
)

// A FaultPlan is one entry of faults: what to break, when, and for how long at most.
//
//   - config.push: {id: cfg, store: router_config, set: {pools: null}, at: 0s, ttl: 60s}
//
// id, at and ttl are the envelope's; all other keys are the kind's own parameters.
type FaultPlan struct {
	// Kind is the name of the kind: config.push.
	Kind string
	// ID names the fault in the log, the journal and the report. Optional; default Kind. Unique.
	ID string
	// At is when it is injected, counted from the start of the fault phase. Optional; default 0s.
	At time.Duration
	// TTL is how long after Inject it is reverted whatever happens: a net under the run, which
	// reverts at the end of the fault phase. Optional; default what is left of the fault phase
	// then, and DefaultTTLMargin more.
	TTL time.Duration
	// Fault has its parameters set. Nil in a plan that was loaded to judge a log.
	Fault faults.Fault
}

// DefaultTTLMargin is what a run needs at most between the planned end of the fault phase and the
// last revert: a slow injection has pushed it back, or an undo waits for a region to start again.
const DefaultTTLMargin = 30 * time.Second

// An envelope is the part of an entry that is not the fault's.
type envelope struct {
	ID  string        `yaml:"id"`
	At  time.Duration `yaml:"at"`
	TTL time.Duration `yaml:"ttl"`
}

// A faultDecoder reads the one-key maps of faults.
type faultDecoder struct {
	*decoder
	opts LoadOptions
}

func (d faultDecoder) decode(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		got := what(n)
		if n.Kind == yaml.MappingNode {
			got = fmt.Sprintf("a mapping of %d keys", len(n.Content)/2)
		}
		d.problem(n, path, "needs one kind with its parameters, as in region.kill: {region: east}, not %s", got)
		return
	}
	for _, p := range d.pairs(n, path) {
		fault := FaultPlan{Kind: p.key, ID: p.key}
		kind, known := d.kind(p)
		if !known && !d.opts.judging {
			var names []string
			for _, k := range d.opts.Kinds {
				names = append(names, k.Name)
			}
			hint := DidYouMean(p.key, names)
			if hint == "" {
				hint = "; known are " + oneOf(names)
			}
			d.problem(p.node, join(path, p.key), "unknown kind of fault%s", hint)
		}
		if body := d.enter(p.val, join(path, p.key)); body != nil {
			d.body(body, join(path, p.key), kind, &fault)
			d.leave(body)
		}
		v.Set(reflect.ValueOf(fault))
	}
}

func (d faultDecoder) kind(p pair) (kind faults.Kind, known bool) {
	for _, k := range d.opts.Kinds {
		if k.Name == p.key {
			return k, true
		}
	}
	return faults.Kind{}, false
}

// body splits an entry's mapping into envelope and parameters and decodes both.
func (d faultDecoder) body(n *yaml.Node, path string, kind faults.Kind, fault *FaultPlan) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "needs a mapping of its parameters, not %s: write %s: {…}", what(n), fault.Kind)
		return
	}
	common, own := split(n, keys(reflect.TypeFor[envelope]()))
	e := envelope{ID: fault.ID}
	d.structure(common, path, reflect.ValueOf(&e).Elem())
	fault.ID, fault.At, fault.TTL = e.ID, e.At, e.TTL
	switch {
	case fault.ID == "" || fault.ID[0] == '.' || strings.Trim(fault.ID, idLetters) != "":
		d.problem(d.nodeAt(join(path, "id")), join(path, "id"), "%q is not a name: use letters, digits, - _ and .", clip(fault.ID))
	case e.At < 0:
		d.problem(d.nodeAt(join(path, "at")), join(path, "at"), "%s is before the fault phase begins: write 0s", e.At)
	case e.TTL < 0:
		d.problem(d.nodeAt(join(path, "ttl")), join(path, "ttl"), "%s is negative: write 60s", e.TTL)
	}
	if kind.New == nil || d.opts.judging {
		return
	}
	fault.Fault = kind.New()
	params := reflect.ValueOf(fault.Fault)
	if params.Kind() != reflect.Pointer || params.Elem().Kind() != reflect.Struct {
		d.problem(n, path, "the kind is not a struct: it cannot be read from a file")
		return
	}
	before := len(d.problems)
	d.structure(own, path, params.Elem(), keys(reflect.TypeFor[envelope]())...)
	if len(d.problems) == before {
		d.validate(own, path, params)
	}
}

// idLetters are what a fault's id may be made of: it names files.
const idLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// split divides a mapping's entries: those with a key in names, and the others.
func split(n *yaml.Node, names []string) (with, without *yaml.Node) {
	a, b := *n, *n
	a.Content, b.Content = nil, nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		to := &b
		for _, name := range names {
			if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == name {
				to = &a
			}
		}
		to.Content = append(to.Content, n.Content[i], n.Content[i+1])
	}
	return &a, &b
}
