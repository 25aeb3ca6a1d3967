package refstack

import "slices"

// plan gives tokens of the next step to sequences, running ones first, and
// says what the step will have to do.
func (e *Engine) plan() StepLoad {
	var load StepLoad
	budget := e.limits.StepTokens
	preempted := false
	for i := 0; i < len(e.running) && budget > 0; i++ {
		s := e.running[i]
		n := min(s.left(), budget)
		for !e.hold(s, n) {
			preempted = true
			victim := e.running[len(e.running)-1]
			e.preempt(victim)
			if victim == s {
				return load
			}
		}
		e.give(s, n, &load)
		budget -= n
	}
	if preempted {
		return load
	}
	for len(e.waiting) > 0 && len(e.running) < e.limits.Sequences && budget > 0 {
		s := e.waiting[0]
		n := min(s.left(), budget)
		if !e.hold(s, n) {
			break
		}
		e.waiting[0] = nil
		e.waiting = e.waiting[1:]
		s.state = seqRunning
		e.running = append(e.running, s)
		e.give(s, n, &load)
		budget -= n
	}
	return load
}

// give plans n tokens of s.
func (e *Engine) give(s *Sequence, n int, load *StepLoad) {
	s.planned = n
	load.Tokens += n
	if n == 1 && s.emitted > 0 {
		load.Context += s.computed + 1
		return
	}
	load.Pairs += float64(n) * (float64(s.computed) + float64(n)/2)
}

// hold makes sure that s holds KV blocks for n tokens more than it has computed.
func (e *Engine) hold(s *Sequence, n int) bool {
	need := e.blocksFor(s.computed+n) - s.blocks
	if need > e.free {
		return false
	}
	if need > 0 {
		e.free -= need
		s.blocks += need
	}
	return true
}

// preempt sends the last running sequence back to the head of the line. Its
// blocks are freed, so its prompt and what it said so far are computed again.
func (e *Engine) preempt(s *Sequence) {
	e.running[len(e.running)-1] = nil
	e.running = e.running[:len(e.running)-1]
	e.release(s)
	s.computed = 0
	s.planned = 0
	s.state = seqWaiting
	e.waiting = slices.Insert(e.waiting, 0, s)
	e.stats.Preemptions++
}

// release frees the blocks of s.
func (e *Engine) release(s *Sequence) {
	e.free += s.blocks
	s.blocks = 0
}

func (e *Engine) blocksFor(tokens int) int {
	return (tokens + e.limits.BlockTokens - 1) / e.limits.BlockTokens
}
