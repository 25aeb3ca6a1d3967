package attacks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A server that ends its streams in order, but without a word that they are
// finished, serves nobody.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"Once upon\"}}]}\n\n")
	}))
	defer server.Close()

	var first atomic.Pointer[results.Sample]
	attack, err := attacks.New(attacks.Config{
		Endpoint: targets.Endpoint{URL: server.URL},
		Profile:  attacks.Profile{Poisson: &attacks.Poisson{Rate: 100}},
		Workload: attacks.Workload{{Preset: attacks.ChatShort}},
		Clients:  []attacks.Client{{Tier: "paid", Deadline: 10 * time.Second}},
		Seed:     1, Run: "example", Clock: results.NewClock(),
		Sink: sinkFunc(func(r results.Record) error { first.CompareAndSwap(nil, r.Sample); return nil }),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	attack.Begin(results.Baseline)
	stop := time.AfterFunc(200*time.Millisecond, attack.Stop)
	defer stop.Stop()
	if err := attack.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	s := first.Load()
	fmt.Println(s.Status, s.Outcome, s.Error, s.Labels)
	// Output: 200 truncated stream ended without a finish reason and without [DONE] {tier="paid"}
}
