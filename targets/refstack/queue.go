package refstack

import (
	"math"
	"slices"
	"time"
)

// QueueRules say how a Queue admits and orders. The zero value is the flaw
// that serving stacks shipped with for years: an unbounded line in the order
// of arrival.
type QueueRules struct {
	// Limit bounds the prompt tokens that wait: the time to first token that is still acceptable
	// times the prefill rate. Optional; default 0, unbounded.
	Limit int
	// Tiers are served strictly in this order, and the k-th of n may fill only (n-k+1)/n of Limit,
	// so that no lower tier can keep a higher one out. Tiers that are not named rank last.
	// Optional; nil is one line for all.
	Tiers []string
	// Rate is how many prompt tokens a second leave the queue; it turns a refusal into a Retry-After.
	// Optional; default 0, a second.
	Rate float64
}

// A Ticket is one request in a Queue.
type Ticket struct {
	// Tokens of the prompt. Required.
	Tokens int
	// Tier of the client. Optional.
	Tier string

	place ticketPlace
}

type ticketPlace uint8

const (
	ticketNew ticketPlace = iota
	ticketWaiting
	ticketServed
	ticketGone
)

// A Queue is where a region's requests wait until a replica has room. It is
// not safe for concurrent use.
type Queue struct {
	rules  QueueRules
	lines  [][]*Ticket // one for each tier, and one for all others
	tokens int
	length int
}

// NewQueue returns an empty queue.
func NewQueue(rules QueueRules) *Queue {
	return &Queue{rules: rules, lines: make([][]*Ticket, len(rules.Tiers)+1)}
}

// SetLimit changes the bound. What waits already stays.
func (q *Queue) SetLimit(tokens int) { q.rules.Limit = tokens }

// Offer puts t at the end of its tier's line, or refuses it and says after how long the queue will
// have drained: whole seconds, at least one. An empty queue refuses nothing.
func (q *Queue) Offer(t *Ticket) (retryAfter time.Duration, ok bool) {
	line := q.line(t.Tier)
	if q.rules.Limit > 0 && q.length > 0 && q.tokens+t.Tokens > q.share(line) {
		return q.drainTime(), false
	}
	t.place = ticketWaiting
	q.lines[line] = append(q.lines[line], t)
	q.tokens += t.Tokens
	q.length++
	return 0, true
}

// Next is the ticket that is to be served next, or nil. It stays in the queue.
func (q *Queue) Next() *Ticket {
	for i, line := range q.lines {
		for len(line) > 0 && line[0].place != ticketWaiting {
			line[0] = nil
			line = line[1:]
		}
		q.lines[i] = line
		if len(line) > 0 {
			return line[0]
		}
	}
	return nil
}

// Take removes t, which was Next, because it is served now.
func (q *Queue) Take(t *Ticket) { q.leave(t, ticketServed) }

// Cancel removes t wherever it waits. A ticket that does not wait is left alone.
func (q *Queue) Cancel(t *Ticket) { q.leave(t, ticketGone) }

// leave marks t; Next drops it from its line.
func (q *Queue) leave(t *Ticket, place ticketPlace) {
	if t.place != ticketWaiting {
		return
	}
	t.place = place
	q.tokens -= t.Tokens
	q.length--
}

// Len is how many tickets wait, and Tokens how many prompt tokens they hold.
func (q *Queue) Len() int { return q.length }

// Tokens is the sum of the prompts that wait.
func (q *Queue) Tokens() int { return q.tokens }

func (q *Queue) line(tier string) int {
	if i := slices.Index(q.rules.Tiers, tier); i >= 0 {
		return i
	}
	return len(q.rules.Tiers)
}

// share is how many tokens may wait, counting t's own, for a ticket of that line to be let in.
func (q *Queue) share(line int) int {
	n := len(q.rules.Tiers)
	if n == 0 {
		return q.rules.Limit
	}
	return q.rules.Limit * max(n-line, 1) / n
}

func (q *Queue) drainTime() time.Duration {
	if q.rules.Rate <= 0 {
		return time.Second
	}
	return time.Duration(max(1, math.Ceil(float64(q.tokens)/q.rules.Rate))) * time.Second
}
