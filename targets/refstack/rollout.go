package refstack

import (
	"bytes"
	"fmt"
	"time"
)

// RolloutRules say how a Rollout takes on a new version.
type RolloutRules struct {
	// Reader is this consumer's name. Required.
	Reader string
	// Soak is how long the canary must have run a version, in good health, before the others follow. Required.
	Soak time.Duration
	// Check decodes and checks a document. Required.
	Check func(text []byte) (RouterConfig, error)
}

// A Version is one document as the store had it.
type Version struct {
	// ETag names it. Two versions with the same text differ.
	ETag string
	Text []byte
}

// A Canary is what the store knows of the first reader by name that still
// reads: every reader sees the same one, and each says of itself what it runs.
type Canary struct {
	// Name is the reader's; empty: nobody reads yet.
	Name string `json:"name"`
	// Applied is the ETag that it runs, For how long it has, and Healthy what it says of itself.
	Applied string        `json:"applied"`
	For     time.Duration `json:"for"`
	Healthy bool          `json:"healthy"`
}

// Service counts what a consumer has answered since it began, and how much of that was its own failure.
type Service struct{ Answered, Failed uint64 }

// A Rollout is the hardened consumer of a config: it checks a new version,
// lets the canary run it first, follows only once the canary has soaked it in
// good health, goes back if it is the canary and its own answers turn bad, and
// keeps the last version that was good whatever the store says. It is told the
// time and not safe for concurrent use.
type Rollout struct {
	rules     RolloutRules
	good      Version // last known good
	candidate Version
	config    RouterConfig // of candidate
	soaking   bool         // candidate is in force here, on trial
	since     time.Time    // of soaking
	before    Service      // at since
	restore   bool         // a trial ended early: good is to be put back in force
	rejected  string       // ETag
	reason    error
}

// NewRollout returns a rollout that has good in force.
func NewRollout(rules RolloutRules, good Version) *Rollout {
	return &Rollout{rules: rules, good: good}
}

// Good is the last version that was good here.
func (r *Rollout) Good() Version { return r.good }

// InForce is the ETag of what runs here: the last good version, or the candidate on trial.
func (r *Rollout) InForce() string {
	if r.soaking {
		return r.candidate.ETag
	}
	return r.good.ETag
}

// Rejected is the ETag of the last version that was refused, and why.
func (r *Rollout) Rejected() (etag string, reason error) { return r.rejected, r.reason }

// Offer says that the store has v now. A version that does not check is rejected at once; one that
// supersedes a version on trial ends the trial. The text that is good already is good under any ETag.
func (r *Rollout) Offer(v Version) {
	if v.ETag == r.good.ETag || v.ETag == r.candidate.ETag || v.ETag == r.rejected {
		return
	}
	r.endTrial()
	if bytes.Equal(v.Text, r.good.Text) {
		r.good = v
		return
	}
	c, err := r.rules.Check(v.Text)
	if err != nil {
		r.rejected, r.reason = v.ETag, err
		return
	}
	r.candidate, r.config = v, c
}

// endTrial forgets the candidate; if it was in force, Tick puts the good version back.
func (r *Rollout) endTrial() {
	r.restore = r.restore || r.soaking
	r.soaking, r.candidate = false, Version{}
}

// Tick decides. It returns the config that is to be in force from now on, or nil where nothing changes.
func (r *Rollout) Tick(now time.Time, canary Canary, s Service) *RouterConfig {
	if r.soaking && turnedBad(r.before, s) {
		r.rejected, r.reason = r.candidate.ETag, fmt.Errorf(
			"soak router config: %d of %d answers failed since it was put in force", s.Failed-r.before.Failed, s.Answered-r.before.Answered)
		r.endTrial()
	}
	switch {
	case r.restore:
		r.restore = false
		return r.lastGood()
	case r.soaking:
		if now.Sub(r.since) >= r.rules.Soak {
			r.good, r.candidate, r.soaking = r.candidate, Version{}, false
		}
	case r.candidate.ETag == "":
	case canary.Name == r.rules.Reader:
		r.soaking, r.since, r.before = true, now, s
		return new(r.config)
	case canary.Applied == r.candidate.ETag && canary.Healthy && canary.For >= r.rules.Soak:
		r.good, r.candidate = r.candidate, Version{}
		return new(r.config)
	}
	return nil
}

// lastGood decodes the good version. It was checked when it became good, so an error cannot be; if
// it is, what runs goes on.
func (r *Rollout) lastGood() *RouterConfig {
	c, err := r.rules.Check(r.good.Text)
	if err != nil {
		return nil
	}
	return &c
}

// Healthy is what the reader says of itself to those that follow it.
func (r *Rollout) Healthy(s Service) bool { return !r.soaking || !turnedBad(r.before, s) }

// turnedBad reports whether, since before, at least five answers and more than one in twenty failed:
// publicly reported incidents begin at about 5 % of errors.
func turnedBad(before, now Service) bool {
	failed, answered := now.Failed-before.Failed, now.Answered-before.Answered
	return failed >= 5 && 20*failed > answered
}
