package results_test

import (
	"fmt"
	"os"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A run is written through a Recorder, and read again from its log alone.
func Example() {
	root, err := os.MkdirTemp("", "runs")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root) //nolint:errcheck // a temporary directory
	dir, err := results.CreateRunDir(root, "a region dies", time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := results.CreateLog(dir.Log())
	if err != nil {
		fmt.Println(err)
		return
	}
	recorder := results.NewRecorder(results.NewClock(), log)
	served := &results.Sample{
		Due: 100 * time.Millisecond, Sent: 100 * time.Millisecond, Done: 400 * time.Millisecond,
		Chunks: []results.Chunk{{At: 300 * time.Millisecond, Tokens: 1}}, Status: 200, Outcome: results.Complete,
	}
	lost := &results.Sample{Due: 200 * time.Millisecond, Sent: 200 * time.Millisecond, Outcome: results.Reset}
	for _, s := range []*results.Sample{served, lost} {
		if err := recorder.Add(results.Record{Sample: s}); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := log.Close(); err != nil {
		fmt.Println(err)
		return
	}

	for rec, err := range results.ReadLog(dir.Log()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		d, inf, counts := rec.Sample.TTFT()
		fmt.Println(rec.Sample.Outcome, d, inf, counts)
	}
	// Output:
	// complete 200ms false true
	// reset 0s true true
}
