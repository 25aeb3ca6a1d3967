package experiments

import (
	"fmt"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// Past these the run says more about the load generator than about the stack, and decides nothing: in some
// phase more than lagShare of the requests were sent over lagBound late, which is to say that its p99(lag) is
// over lagBound. Latency counts from Due, so that 50 ms of our own lateness are a quarter of the
// tightest TTFT that anyone promises (200 ms) and would decide claims. It is asked of each phase, because a
// calm baseline must not excuse a fault phase that was late. Of fewer requests than lagRequests a single late
// one is no p99.
const (
	lagBound    = 50 * time.Millisecond
	lagShare    = 0.01
	lagRequests = 20
)

// generatorBound begins what is said of such a run, in reports and in a run's own EventError.
const generatorBound = "generator-bound"

// GeneratorBound says that this machine was too late with its own requests for the records so far to tell
// anything of the stack, and in which phase; "" if it was not. A run that stops for it writes the text into an
// EventError's Detail, and the report says the same.
func (j *Judge) GeneratorBound() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.generatorBound()
}

// generatorBound is what the run said when it stopped for it, or what the first phase says that was late.
func (j *Judge) generatorBound() string {
	for _, e := range j.events {
		if e.Kind == results.EventError && strings.HasPrefix(e.Detail, generatorBound) {
			return e.Detail
		}
	}
	for p := range phase(judgedPhases) {
		lag := j.all.whole[p].of(wantLag)
		late := lag.N() - lag.CountAtMost(lagBound.Seconds())
		if late == 0 || lag.N() < lagRequests && late == 1 || float64(late) <= lagShare*float64(lag.N()) {
			continue
		}
		of := fmt.Sprintf(" of the %s phase", p.name())
		if j.loadAlone() { // it has no phases to speak of
			of = ""
		}
		return fmt.Sprintf("%s: %d of %d requests%s were sent over %s late (p99 %s), so the figures tell of this machine and not of the stack",
			generatorBound, late, lag.N(), of, lagBound, results.Seconds(lag.Quantile(0.99)))
	}
	return ""
}

// lag is our own lateness over all judged phases.
func (j *Judge) lag() *results.Distribution {
	all := new(results.Distribution)
	for i := range j.all.whole {
		all.Merge(j.all.whole[i].of(wantLag))
	}
	return all
}
