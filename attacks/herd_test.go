package attacks_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A herd is as many as it says, evenly spaced from its start to its end.
func TestAHerdIsAsManyAsItSays(t *testing.T) {
	for _, h := range []attacks.Herd{
		{Users: 1},
		{Users: 3, Within: 100 * time.Millisecond},
		{Users: 7, At: 3 * time.Second},
		{Users: 997, At: time.Millisecond, Within: 1234567891},
		{Users: 100_000, Within: time.Minute},
	} {
		t.Run(fmt.Sprint(h), func(t *testing.T) {
			within := h.Within
			if within == 0 {
				within = time.Second
			}
			due := take(attacks.Profile{Herd: &h}, 1, 2*h.Users)
			if len(due) != h.Users || due[0] != h.At {
				t.Fatalf("%d are due, the first at %s; want %d and %s", len(due), due[0], h.Users, h.At)
			}
			gap := within / time.Duration(h.Users)
			for i, at := range due {
				if want := h.At + time.Duration(float64(within)*float64(i)/float64(h.Users)); (at - want).Abs() > gap/100+1 {
					t.Fatalf("user %d comes at %s; want %s", i, at, want)
				}
			}
		})
	}
}

// Who comes back after an outage has no connection left: each of a herd makes its own, while the others keep theirs.
func TestAHerdComesOnNewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, sink := config("http://pipe.test")
		cfg.Profile = attacks.Profile{
			Constant: &attacks.Constant{Rate: 2},
			Plus:     []attacks.Part{{Profile: attacks.Profile{Herd: &attacks.Herd{Users: 20, Within: 10 * time.Second}}, During: results.Recovery}},
		}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		a.BeginFor(results.Baseline, 5*time.Second)
		time.Sleep(5*time.Second + 1)
		if server.Accepts() != 1 {
			t.Errorf("%d connections before the herd; want 1, used over and over", server.Accepts())
		}
		a.BeginFor(results.Recovery, 15*time.Second)
		time.Sleep(15 * time.Second)
		a.Stop()
		wait()
		if got := len(sink.sorted()); got != 10+30+20 || server.Accepts() != 1+20 {
			t.Errorf("%d requests on %d connections; want 60 on 21", got, server.Accepts())
		}
	})
}
