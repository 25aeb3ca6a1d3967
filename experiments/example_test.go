package experiments_test

import (
	"fmt"
	"time"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// Load tells of every mistake at once.
func ExampleLoad() {
	_, err := experiments.Load("outage.yaml", []byte(`experiment: outage
stack: {reference: {}}
attack: {profile: {poisson: {rate: 100}}}
phases: {baseline: 15, fault: 20s}
faults: [region.kil: {region: east}]
hypotheses: [p99(ttft) < 2 during fault]
`), experiments.LoadOptions{})
	fmt.Println(err)
	// Output:
	// outage.yaml:3:36: attack.profile.poisson.rate: rate "100" has no unit: write 100/s, or a number with /s, /m or /h
	// outage.yaml:4:20: phases.baseline: 15 has no unit: write 15s, or 15ms
	// outage.yaml:5:10: faults[0].region.kil: unknown kind of fault; did you mean region.kill?
	// outage.yaml:6:26: hypotheses[0]: p99(ttft) needs a duration, and 2 has no unit: write 2s, or 150% of baseline
}

// A judge takes records as they come and says what they came to; no data never reads as success.
func ExampleJudge() {
	plan, err := experiments.Load("control.yaml", []byte(`experiment: control
stack: {reference: {}}
attack: {profile: {poisson: {rate: 100/s}}}
phases: {baseline: 15s, fault: 20s}
hypotheses: [success >= 99% during fault]
`), experiments.LoadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	judge := experiments.NewJudge(plan)
	for i, kind := range []results.EventKind{results.EventLoadEnd, results.EventEnd} {
		event := &results.Event{At: time.Duration(i) * time.Second, Kind: kind}
		if err := judge.Add(results.Record{Event: event}); err != nil {
			fmt.Println(err)
		}
	}
	report := judge.Report()
	fmt.Printf("%s, exit %d: %s\n", report.Verdict, report.Exit, report.Why)
	// Output:
	// undecided, exit 4: success >= 99% during fault (no request of the fault phase tells)
}
