package faults_test

import (
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/wire"
)

func linkHandle(d targets.Dependency) targets.Handle {
	return endpoints(func(h *targets.Handle) { h.Dependencies = map[string]targets.Dependency{"db": d} })
}

// A connection that was open before the fault is slow while it lasts.
func TestDependencyLatencyOnALiveConnection(t *testing.T) {
	l := faultstest.NewLink(t)
	f := &faults.DependencyLatency{Dependency: "db", Latency: 30 * time.Millisecond, Direction: wire.Both}
	l.Ping(t)
	put(t, f, linkHandle(l.Spec()))
	if got := l.Ping(t); got < 60*time.Millisecond {
		t.Errorf("a round trip took %s, want at least 60ms: the latency each way", got)
	}
	e, err := f.Evidence(t.Context(), attach(t, linkHandle(l.Spec())))
	if err != nil || e.Touched != 2 {
		t.Errorf("Evidence() after one round trip = %+v, %v; want 2 chunks", e, err)
	}
	must(t, back(t, f, linkHandle(l.Spec()), results.RestoredOK))
}

// A link that someone else delays is theirs, before our fault and after.
func TestDependencyLatencyLeavesOthersAlone(t *testing.T) {
	l := faultstest.NewLink(t)
	f := &faults.DependencyLatency{Dependency: "db", Latency: time.Millisecond}
	put(t, f, linkHandle(l.Spec()))
	_, err := l.Proxy.ClearFault("db", f.Holder)
	must(t, err)
	_, err = l.Proxy.SetFault("db", wire.Fault{ID: "theirs", Lease: time.Minute, Latency: time.Millisecond})
	must(t, err)
	must(t, back(t, f, linkHandle(l.Spec()), results.RestoredUnneed))
	if got := l.Fault(); got != "theirs" {
		t.Errorf("after Revert the link has fault %q, want theirs", got)
	}
	wantError(t, "Prepare()", f.Prepare(t.Context(), attach(t, linkHandle(l.Spec()))), "theirs", "db")
}

// The jitter of one dependency is the same in each run, and another's is another.
func TestDependencyLatencySeed(t *testing.T) {
	seed := func(name string) uint64 {
		l := faultstest.NewLink(t)
		h := endpoints(func(h *targets.Handle) { h.Dependencies = map[string]targets.Dependency{name: l.Spec()} })
		put(t, &faults.DependencyLatency{Dependency: name, Latency: time.Millisecond}, h)
		return l.Proxy.Links()[0].Fault.Fault.Seed
	}
	if a, again, b := seed("db"), seed("db"), seed("cache"); a != again || a == b || a == 0 {
		t.Errorf("seeds of db, db and cache = %d, %d, %d; want the first two equal", a, again, b)
	}
}

// A renewal extends what is there, and brings nothing back.
func TestDependencyLatencyRenew(t *testing.T) {
	l := faultstest.NewLink(t)
	h := linkHandle(l.Spec())
	f := &faults.DependencyLatency{Dependency: "db", Latency: time.Millisecond}
	put(t, f, h)
	left := func() float64 { return l.Proxy.Links()[0].Fault.Left }
	for before := left(); left() >= before-0.05; { // until it shows that time passes
		time.Sleep(10 * time.Millisecond)
	}
	before := left()
	must(t, f.Renew(t.Context(), attach(t, h)))
	if got := left(); got <= before {
		t.Errorf("after Renew %.3fs of the lease are left, want more than %.3fs", got, before)
	}
	must(t, back(t, f, h, results.RestoredOK))
	wantError(t, "Renew() after Revert", f.Renew(t.Context(), attach(t, h)), "no longer in force")
	if f.Period() > 5*time.Second/3 {
		t.Errorf("Period() = %s, want a third of the lease at most", f.Period())
	}
}

// What the proxy does not have, or cannot do, is refused with the names that there are.
func TestDependencyLatencyRefuses(t *testing.T) {
	l := faultstest.NewLink(t)
	spec := l.Spec()
	gone := targets.Dependency{Control: "http://127.0.0.1:1", Links: []string{"db"}}
	for _, tt := range []struct {
		name  string
		spec  targets.Dependency
		fault faults.DependencyLatency
		want  []string
	}{
		{"no latency", spec, faults.DependencyLatency{Dependency: "db"}, []string{"latency is 0s", "latency: 200ms"}},
		{"much jitter", spec, faults.DependencyLatency{Dependency: "db", Latency: 1, Jitter: 2}, []string{"jitter"}},
		{"no dependency", spec, faults.DependencyLatency{Latency: 1}, []string{"dependency is missing"}},
		{"unknown dependency", spec, faults.DependencyLatency{Dependency: "x", Latency: 1}, []string{`"x"`, "[db]"}},
		{"unknown link", targets.Dependency{Control: spec.Control, Links: []string{"cache"}}, faults.DependencyLatency{Dependency: "db", Latency: 1}, []string{`"cache"`, "[db]"}},
		{"no proxy", gone, faults.DependencyLatency{Dependency: "db", Latency: 1}, []string{"ask the wire proxy", "refused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, "Prepare()", tt.fault.Prepare(t.Context(), attach(t, linkHandle(tt.spec))), tt.want...)
		})
	}
}

// Kinds are a table for people: names, sentences and parameters.
func TestKinds(t *testing.T) {
	last := ""
	for _, k := range faults.Kinds() {
		if k.Name <= last || k.Doc == "" || strings.HasSuffix(k.Doc, ".") || len(k.Parameters()) == 0 {
			t.Errorf("Kinds() has %q after %q, doc %q, parameters %v; want names in order, and all of it", k.Name, last, k.Doc, k.Parameters())
		}
		last = k.Name
	}
}
