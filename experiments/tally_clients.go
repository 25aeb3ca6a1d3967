package experiments

import (
	"cmp"
	"slices"

	"github.com/failwhale/failwhale/results"
)

// A clientTally counts what clients did, of the requests that belong here: how often they tried and why, who left,
// what was paid for and thrown away, which conversations they held.
type clientTally struct {
	asked, tries           int // requests and their attempts; without those that the end of the run cancelled
	lost                   map[lostAttempt]int
	hedges, hedgesWon      int
	failovers, suppressed  int
	drew                   int // requests that received tokens, in whichever attempt
	drawn, wasted, prompt  int // tokens received in all attempts; those and prompt tokens that were thrown away
	begun, turns           int // conversations, and requests that are of one
	turnsFailed            int
	left, leftEmpty        [len(leftWays)]int // by way, and without a token
	unstreamed             int
	answers, echoed, plans int // answers that could carry a nonce, that carried their own; leavers
}

// leftWays are the ways in which a client leaves by its plan.
var leftWays = [...]results.Left{results.LeftStart, results.LeftTokens, results.LeftTime} //nolint:gochecknoglobals // a closed set, never written

// A lostAttempt is why an attempt did not serve. Status is only told of an http_status.
type lostAttempt struct {
	outcome results.Outcome
	status  int
}

// request counts a sample that belongs here.
func (t *clientTally) request(s *results.Sample) {
	if s.Counted() || s.Leaver() {
		t.asked++
		t.tries += s.Tries()
	}
	for _, a := range s.Attempts {
		t.attempt(a)
	}
	if s.Hedged || slices.ContainsFunc(s.Attempts, func(a results.Attempt) bool { return a.Hedge }) {
		t.hedges++ // once a request at most, and where it did not win there may be two such attempts
	}
	if s.Hedged && (s.Outcome == results.Complete || len(s.Chunks) > 0) {
		t.hedgesWon++
	}
	t.failovers += s.Failovers()
	if s.Suppressed {
		t.suppressed++
	}
	if n := s.ReceivedInAll(); n > 0 {
		t.drew++
		t.drawn += n
	}
	t.wasted += s.Wasted()
	t.prompt += s.WastedPrompt()
	if s.Turn > 0 {
		t.turns++
	}
	if s.Turn == 1 {
		t.begun++
	}
	if s.Turn > 0 && s.Counted() && s.Outcome != results.Complete {
		t.turnsFailed++
	}
	if s.Unstreamed {
		t.unstreamed++
	}
	if s.Answer() {
		t.answers++
		if s.Echoed {
			t.echoed++
		}
	}
	if s.Leaver() {
		t.leave(s)
	}
}

func (t *clientTally) attempt(a results.Attempt) {
	why := lostAttempt{outcome: a.Outcome}
	if a.Outcome == results.HTTPStatus {
		why.status = a.Status
	}
	if t.lost == nil {
		t.lost = map[lostAttempt]int{}
	}
	t.lost[why]++
}

func (t *clientTally) leave(s *results.Sample) {
	t.plans++
	i := slices.Index(leftWays[:], s.Left)
	t.left[i]++
	if len(s.Chunks) == 0 && !s.Unstreamed {
		t.leftEmpty[i]++
	}
}

// gaveUp is how many count in the TTFT as infinite and did not fail.
func (t *clientTally) gaveUp() int { return t.leftEmpty[slices.Index(leftWays[:], results.LeftTime)] }

// unanswered calls requests that named no label by what became of them.
func (t *clientTally) unanswered() string {
	if t.plans > 0 {
		return "requests that failed or were given up"
	}
	return "failed requests"
}

// merge adds all that o counted.
func (t *clientTally) merge(o *clientTally) {
	t.asked += o.asked
	t.tries += o.tries
	for why, n := range o.lost {
		if t.lost == nil {
			t.lost = map[lostAttempt]int{}
		}
		t.lost[why] += n
	}
	t.hedges += o.hedges
	t.hedgesWon += o.hedgesWon
	t.failovers += o.failovers
	t.suppressed += o.suppressed
	t.drew += o.drew
	t.drawn += o.drawn
	t.wasted += o.wasted
	t.prompt += o.prompt
	t.begun += o.begun
	t.turns += o.turns
	t.turnsFailed += o.turnsFailed
	for i := range t.left {
		t.left[i] += o.left[i]
		t.leftEmpty[i] += o.leftEmpty[i]
	}
	t.unstreamed += o.unstreamed
	t.answers += o.answers
	t.echoed += o.echoed
	t.plans += o.plans
}

// fill writes what there is into a report's figures.
func (t *clientTally) fill(p *results.PhaseStats) {
	p.Amplification = over(float64(t.tries), float64(t.asked))
	p.Unstreamed, p.Answers, p.Echoed = t.unstreamed, t.answers, t.echoed
	if len(t.lost) > 0 || t.suppressed > 0 {
		p.Attempts = &results.AttemptStats{
			Requests: t.asked, Attempts: t.tries, Lost: t.lostAttempts(), Hedges: t.hedges, HedgesWon: t.hedgesWon, Failovers: t.failovers, Suppressed: t.suppressed,
		}
	}
	if t.wasted > 0 || t.prompt > 0 {
		p.Wasted = &results.WasteStats{Output: t.wasted, Of: t.drawn, Share: over(float64(t.wasted), float64(t.drawn)), Prompt: t.prompt}
	}
	if t.turns > 0 {
		p.Conversations = &results.ConversationStats{Begun: t.begun, Turns: t.turns, Failed: t.turnsFailed}
	}
	for i, n := range t.left {
		if n > 0 {
			p.Left = append(p.Left, results.LeftStats{Way: leftWays[i], Count: n, WithoutToken: t.leftEmpty[i]})
		}
	}
}

// lostAttempts lists why attempts did not serve, the most frequent first.
func (t *clientTally) lostAttempts() []results.LostStats {
	var all []results.LostStats
	for why, n := range t.lost {
		all = append(all, results.LostStats{Outcome: why.outcome, Status: why.status, Count: n})
	}
	slices.SortFunc(all, func(a, b results.LostStats) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Status, b.Status))
	})
	return all
}
