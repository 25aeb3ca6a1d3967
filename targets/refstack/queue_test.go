package refstack_test

import (
	"slices"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/refstack"
)

// serveAll takes everything out and returns the tickets' tokens in that order.
func serveAll(q *refstack.Queue) []int {
	var order []int
	for t := q.Next(); t != nil; t = q.Next() {
		q.Take(t)
		order = append(order, t.Tokens)
	}
	return order
}

// The zero rules are one unbounded line in the order of arrival, whoever comes.
func TestQueueWithoutRules(t *testing.T) {
	q := refstack.NewQueue(refstack.QueueRules{})
	var want []int
	for i := range 1000 {
		tier := []string{"free", "paid"}[i%2]
		if _, ok := q.Offer(&refstack.Ticket{Tokens: 1000 + i, Tier: tier}); !ok {
			t.Fatalf("Offer of ticket %d = refused, want an unbounded queue", i)
		}
		want = append(want, 1000+i)
	}
	if got := serveAll(q); !slices.Equal(got, want) {
		t.Errorf("served %v, want the order of arrival", got)
	}
}

// Tiers are served in order, each in the order of arrival; a tier without a name in the rules is last.
func TestQueueServesTiersInOrder(t *testing.T) {
	q := refstack.NewQueue(refstack.QueueRules{Limit: 1000, Tiers: []string{"paid", "free"}})
	for i, tier := range []string{"free", "paid", "", "free", "paid"} {
		if _, ok := q.Offer(&refstack.Ticket{Tokens: i + 1, Tier: tier}); !ok {
			t.Fatalf("Offer of ticket %d (%s) = refused, want room", i, tier)
		}
	}
	if q.Len() != 5 || q.Tokens() != 15 {
		t.Errorf("Len, Tokens = %d, %d, want 5, 15", q.Len(), q.Tokens())
	}
	if got, want := serveAll(q), []int{2, 5, 1, 4, 3}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
	if q.Len() != 0 || q.Tokens() != 0 {
		t.Errorf("Len, Tokens after all = %d, %d, want 0, 0", q.Len(), q.Tokens())
	}
}

// The bound counts tokens, keeps half of it from the lower tier, and a refusal
// says when the queue will have drained.
func TestQueueBound(t *testing.T) {
	q := refstack.NewQueue(refstack.QueueRules{Limit: 1000, Tiers: []string{"paid", "free"}, Rate: 100})
	for _, step := range []struct {
		ticket refstack.Ticket
		ok     bool
		after  time.Duration
	}{
		{refstack.Ticket{Tokens: 5000, Tier: "free"}, true, 0}, // an empty queue refuses nothing
		{refstack.Ticket{Tokens: 1, Tier: "paid"}, false, 50 * time.Second},
	} {
		if after, ok := q.Offer(&step.ticket); ok != step.ok || after != step.after {
			t.Errorf("Offer(%+v) = %v, %v, want %v, %v", step.ticket, after, ok, step.after, step.ok)
		}
	}
	serveAll(q)
	for _, step := range []struct {
		tokens int
		tier   string
		ok     bool
		after  time.Duration
	}{
		{400, "free", true, 0},
		{101, "free", false, 4 * time.Second}, // free may fill half
		{100, "free", true, 0},
		{501, "paid", false, 5 * time.Second},
		{500, "paid", true, 0},
		{1, "paid", false, 10 * time.Second},
	} {
		after, ok := q.Offer(&refstack.Ticket{Tokens: step.tokens, Tier: step.tier})
		if ok != step.ok || after != step.after {
			t.Errorf("Offer(%d tokens, %s) with %d waiting = %v, %v, want %v, %v", step.tokens, step.tier, q.Tokens(), after, ok, step.after, step.ok)
		}
	}
}

// A client that leaves makes room at once, wherever its ticket is.
func TestQueueCancel(t *testing.T) {
	q := refstack.NewQueue(refstack.QueueRules{Limit: 100})
	tickets := []*refstack.Ticket{{Tokens: 10}, {Tokens: 20}, {Tokens: 30}, {Tokens: 40}}
	for _, ticket := range tickets {
		q.Offer(ticket)
	}
	q.Take(q.Next())
	for _, i := range []int{2, 2, 0} { // waiting, gone already, served already
		q.Cancel(tickets[i])
	}
	if q.Len() != 2 || q.Tokens() != 60 {
		t.Errorf("Len, Tokens = %d, %d, want 2, 60", q.Len(), q.Tokens())
	}
	if _, ok := q.Offer(&refstack.Ticket{Tokens: 40}); !ok {
		t.Error("Offer(40 tokens) after a cancel = refused, want room")
	}
	if got, want := serveAll(q), []int{20, 40, 40}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}
