package attacks_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A queue serves one request after the other, in the order in which they came, and also those whose client has
// left: it has no bound and does not look.
type queue struct {
	each  time.Duration // for one request
	stall [2]time.Time  // between which it serves nobody

	mu   sync.Mutex
	free time.Time // once all that came so far is served
}

func (q *queue) answer(targetstest.Request) targetstest.Script {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if q.free.Before(now) {
		q.free = now
	}
	if q.free.Add(q.each).After(q.stall[0]) && q.free.Before(q.stall[1]) {
		q.free = q.stall[1]
	}
	q.free = q.free.Add(q.each)
	return targetstest.Script{targetstest.Pause(q.free.Sub(now)), targetstest.Send(targetstest.Answer("a"))}
}

// An outage is a queue for mu = 10/s that stalls for 20 s under lambda = 7/s, whose clients wait 10 s for a first token.
type outage struct {
	goodput []float64     // of the requests sent in each second since the stall began
	back    time.Duration // after the stall's end, when it was over 95% for good; -1: never
	tries   float64       // a request, of those sent since
}

const (
	outageBefore, outageStall, outageAfter = 20 * time.Second, 20 * time.Second, 130 * time.Second
	outageMu, outageLambda, outagePatience = 10, 7, 10
)

func ride(t *testing.T, profile attacks.Profile, client attacks.Client) (o outage) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{each: time.Second / outageMu}
		server := targetstest.NewPipe(t, q.answer)
		cfg, sink := config(server.URL())
		cfg.Profile = profile
		client.FirstToken = outagePatience * time.Second
		cfg.Clients = []attacks.Client{client}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		begin := time.Now().Add(outageBefore)
		q.stall = [2]time.Time{begin, begin.Add(outageStall)}
		a.Begin(results.Baseline)
		wait := run(t, a)
		time.Sleep(outageBefore + outageStall + outageAfter)
		a.Stop()
		wait()
		o = outageOf(sink.sorted())
		tries := 0
		for _, s := range sink.sorted() {
			tries += s.Tries()
		}
		if n := len(server.Requests()); n != tries {
			t.Errorf("the server saw %d requests of %d tries", n, tries)
		}
	})
	return o
}

func outageOf(all []*results.Sample) (o outage) {
	seconds := int((outageStall + outageAfter) / time.Second)
	sent, good, tries := make([]float64, seconds), make([]float64, seconds), 0
	for _, s := range all {
		if second := int((s.Sent - outageBefore) / time.Second); s.Sent >= outageBefore && second < seconds {
			sent[second]++
			tries += s.Tries()
			if s.Outcome == results.Complete {
				good[second]++
			}
		}
	}
	over := func(from, to int) float64 {
		a, b := 0.0, 0.0
		for i := from; i < to; i++ {
			a, b = a+good[i], b+sent[i]
		}
		return a / b
	}
	total := 0.0
	for i := range sent {
		o.goodput = append(o.goodput, over(max(0, i-4), i+1))
		total += sent[i]
	}
	o.tries = float64(tries) / total
	o.back = -1
	for i := seconds - 5; i >= int(outageStall/time.Second) && over(i, i+5) >= 0.95; i-- {
		o.back = time.Duration(i)*time.Second - outageStall
	}
	return o
}

// at is the goodput of the five seconds before so many after the stall's end.
func (o outage) at(after int) float64 { return o.goodput[int(outageStall/time.Second)+after-1] }

func (o outage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.2f tries a request; back after %s; goodput", o.tries, o.back)
	for _, after := range []int{10, 20, 30, 40, 60, 90, 120} {
		fmt.Fprintf(&b, " %.0f%%@%ds", 100*o.at(after), after)
	}
	return b.String()
}

// The arithmetic of a retry storm. A stall of 20 s leaves 140 requests in a queue that serves 10/s, and clients
// leave after 10 s: whoever asks next comes too late. With two retries a request, 7/s are 21/s: the queue
// grows, and serves for ever those who have left. With no more retries than 10% of the requests they are 7.7/s: it
// shrinks by 2.3/s to the hundred that are served in time.
func TestARetryStormOutlivesItsCause(t *testing.T) {
	for name, profile := range map[string]attacks.Profile{
		"even":    {Constant: &attacks.Constant{Rate: outageLambda}},
		"poisson": {Poisson: &attacks.Poisson{Rate: outageLambda}},
	} {
		t.Run(name, func(t *testing.T) {
			stuck := ride(t, profile, attacks.Client{Retries: 2})
			t.Logf("two retries:         %s", stuck)
			if stuck.at(120) >= 0.2 || stuck.back >= 0 {
				t.Errorf("with two retries goodput is %.0f%% 120 s after the stall; want under 20%%: %.1f/s are more than %d/s",
					100*stuck.at(120), 3.0*outageLambda, outageMu)
			}

			bounded := ride(t, profile, attacks.Client{Retries: 2, RetryBudget: 0.1})
			t.Logf("and a budget of 10%%: %s", bounded)
			// What may be retried in the stall is paid for by the ten seconds before the first failure and those after.
			backlog := outageLambda*outageStall.Seconds() + 0.1*outageLambda*(10+outageStall.Seconds()-outagePatience)
			drain := (backlog - outageMu*outagePatience) / (outageMu - outageLambda*1.1)
			checkBack(t, "with a budget of 10%", bounded.back, drain, name == "even")

			calm := ride(t, profile, attacks.Client{})
			t.Logf("no retries:          %s", calm)
			drain = (outageLambda*outageStall.Seconds() - outageMu*outagePatience) / (outageMu - outageLambda)
			checkBack(t, "without retries", calm.back, drain, name == "even")
		})
	}
}

func checkBack(t *testing.T, with string, back time.Duration, drain float64, even bool) {
	t.Helper()
	t.Logf("%s it should be back %.1f s after the stall, and is after %s", with, drain, back)
	slack := 3.0
	if !even {
		slack = 15
	}
	if back < 0 || back.Seconds() < drain-slack || back.Seconds() > drain+slack {
		t.Errorf("%s it is back %s after the stall; want %.1f s, by %.0f s", with, back, drain, slack)
	}
}
