package refstack_test

import (
	"errors"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/refstack"
)

// A trial drives one Rollout by hand: time in seconds, versions by ETag.
type trial struct {
	*testing.T
	r     *refstack.Rollout
	start time.Time
	serve refstack.Service
}

func newTrial(t *testing.T, reader string) *trial {
	t.Helper()
	check := func(text []byte) (refstack.RouterConfig, error) {
		if string(text) == "bad" {
			return refstack.RouterConfig{}, errors.New("it is bad")
		}
		return refstack.RouterConfig{Policy: refstack.Policy(text)}, nil
	}
	rules := refstack.RolloutRules{Reader: reader, Soak: time.Second, Check: check}
	return &trial{T: t, r: refstack.NewRollout(rules, refstack.Version{ETag: "1", Text: []byte("first")}), start: time.Unix(1e6, 0)}
}

func (t *trial) offer(etag, text string) {
	t.Helper()
	t.r.Offer(refstack.Version{ETag: etag, Text: []byte(text)})
}

// tick checks what Tick puts in force ("" is nothing new), and what is then in force and good.
func (t *trial) tick(at float64, canary refstack.Canary, apply, inForce, good string) {
	t.Helper()
	got := ""
	if c := t.r.Tick(t.start.Add(time.Duration(at*1e9)), canary, t.serve); c != nil {
		got = string(c.Policy)
	}
	if got != apply || t.r.InForce() != inForce || t.r.Good().ETag != good {
		t.Errorf("at %.1f s Tick(%+v) applied %q, in force %q, good %q; want %q, %q, %q",
			at, canary, got, t.r.InForce(), t.r.Good().ETag, apply, inForce, good)
	}
}

// The first reader by name takes a new version at once, and it is good once it has soaked.
func TestRolloutCanarySoaks(t *testing.T) {
	c := newTrial(t, "a")
	self := refstack.Canary{Name: "a", Healthy: true}
	c.tick(0, self, "", "1", "1")
	c.offer("2", "second")
	c.tick(0.1, self, "second", "2", "1")
	c.tick(0.6, self, "", "2", "1")
	c.tick(1.2, self, "", "2", "2")
	if !c.r.Healthy(c.serve) {
		t.Error("Healthy() = false, want true")
	}
}

// The others wait for the canary: for that version, for long enough, in good health.
func TestRolloutFollowsTheCanary(t *testing.T) {
	f := newTrial(t, "b")
	f.offer("2", "second")
	f.tick(0, refstack.Canary{}, "", "1", "1")
	f.tick(0.1, refstack.Canary{Name: "a", Applied: "1", For: time.Hour, Healthy: true}, "", "1", "1")
	f.tick(0.2, refstack.Canary{Name: "a", Applied: "2", For: 900 * time.Millisecond, Healthy: true}, "", "1", "1")
	f.tick(0.3, refstack.Canary{Name: "a", Applied: "2", For: 2 * time.Second}, "", "1", "1")
	f.tick(0.4, refstack.Canary{Name: "a", Applied: "2", For: time.Second, Healthy: true}, "second", "2", "2")
	// With the canary gone, the next one by name is it.
	f.offer("3", "third")
	f.tick(0.5, refstack.Canary{Name: "b"}, "third", "3", "2")
}

// A version that does not check never reaches anybody, canary or not, and is not looked at again.
func TestRolloutRejectsWhatDoesNotCheck(t *testing.T) {
	for _, reader := range []string{"a", "b"} {
		r := newTrial(t, reader)
		r.offer("2", "bad")
		r.tick(0, refstack.Canary{Name: "a", Applied: "2", For: time.Hour, Healthy: true}, "", "1", "1")
		if etag, reason := r.r.Rejected(); etag != "2" || reason == nil {
			t.Errorf("reader %s: Rejected() = %q, %v, want 2 and why", reader, etag, reason)
		}
		// What was good comes back under another ETag: nothing is to be done.
		r.offer("3", "first")
		r.tick(0.1, refstack.Canary{Name: "a", Applied: "1", For: time.Hour, Healthy: true}, "", "3", "3")
	}
}

// A canary whose answers turn bad goes back by itself, and says meanwhile that it is not well.
func TestRolloutGoesBack(t *testing.T) {
	c := newTrial(t, "a")
	self := refstack.Canary{Name: "a", Healthy: true}
	c.serve = refstack.Service{Answered: 1000, Failed: 3} // before: not the new version's
	c.offer("2", "second")
	c.tick(0, self, "second", "2", "1")
	c.serve = refstack.Service{Answered: 1100, Failed: 8} // 5 of 100 is not more than one in twenty
	c.tick(0.2, self, "", "2", "1")
	c.serve = refstack.Service{Answered: 1101, Failed: 9}
	if c.r.Healthy(c.serve) {
		t.Error("Healthy() with 6 of 101 answers failed = true, want false")
	}
	c.tick(0.3, self, "first", "1", "1")
	c.offer("2", "second")
	c.tick(0.4, self, "", "1", "1")
}

// A trial that is superseded ends: by a good version in its stead, by a bad one with the last good.
func TestRolloutSuperseded(t *testing.T) {
	self := refstack.Canary{Name: "a", Healthy: true}
	c := newTrial(t, "a")
	c.offer("2", "second")
	c.tick(0, self, "second", "2", "1")
	c.offer("3", "bad")
	c.tick(0.1, self, "first", "1", "1")
	c.offer("4", "fourth")
	c.tick(0.2, self, "fourth", "4", "1")
	c.offer("5", "first") // the undo of a push, while it is on trial
	c.tick(0.3, self, "first", "5", "5")
}
