package refstack

import (
	"fmt"
	"time"
)

// EngineLimits bound one engine. The zero value of a field takes its default.
type EngineLimits struct {
	// StepTokens is the token budget of one step. Optional; default 8192, as vLLM V1 sets
	// max_num_batched_tokens for its API server on a GPU of 70 GiB or more.
	StepTokens int
	// Sequences is how many may run at once. Optional; default 1024, as vLLM sets max_num_seqs there.
	Sequences int
	// BlockTokens is the size of a KV block. Optional; default 16.
	BlockTokens int
}

// A Sequence is one request inside an engine. Prompt, Output and OnToken are
// set before Add and not changed after it; the engine owns the rest until the
// sequence ends or is cancelled.
type Sequence struct {
	// Prompt and Output are token counts. Required, at least 1 each: end-of-sequence is ignored,
	// so exactly Output tokens come.
	Prompt, Output int
	// OnToken is called by End for each token. Optional.
	OnToken func(*Sequence)

	emitted  int // output tokens so far
	computed int // tokens whose KV is in the cache
	blocks   int // KV blocks held
	planned  int // tokens in the step under way
	state    sequenceState
}

type sequenceState uint8

const (
	seqNew sequenceState = iota
	seqWaiting
	seqRunning
	seqEnded
)

// Emitted is how many output tokens have come.
func (s *Sequence) Emitted() int { return s.emitted }

// Done reports whether the last output token has come.
func (s *Sequence) Done() bool { return s.emitted >= s.Output }

// left is how many tokens are to be computed before the next one can come: the
// whole prompt at first, 1 while decoding, everything again after a preemption.
func (s *Sequence) left() int { return s.Prompt + s.emitted - s.computed }

// An Engine is one replica's continuous batching, without a clock of its own:
// the owner calls Begin, lets the returned time pass, and calls End. It
// schedules as vLLM V1 does: no prefill and decode phases, each running
// sequence gets tokens in order under one budget (so prompts are chunked), the
// last running one is preempted and recomputed when KV blocks run out, and
// waiting ones are admitted as soon as their first chunk fits, unless something
// was preempted in the same step. Prefix caching is left out: every prompt is
// computed. It is not safe for concurrent use.
type Engine struct {
	model   Model
	limits  EngineLimits
	blocks  int // all KV blocks
	free    int
	waiting []*Sequence
	running []*Sequence
	step    bool
	planned int // tokens of the step under way
	stats   EngineStats
}

// EngineStats counts what an engine has done and holds.
type EngineStats struct {
	// Running and Waiting are sequences now.
	Running, Waiting int
	// Backlog is how many prompt tokens are still to be computed.
	Backlog int
	// Outstanding is Backlog and the output tokens still to come: all the work that is left.
	Outstanding int
	// KVUsage is the share of KV blocks held, 0 to 1.
	KVUsage float64
	// Steps, PromptTokens, OutputTokens and Preemptions count since the engine began.
	Steps, PromptTokens, OutputTokens, Preemptions uint64
}

// NewEngine returns an idle engine.
func NewEngine(model Model, limits EngineLimits) *Engine {
	if limits.StepTokens <= 0 {
		limits.StepTokens = 8192
	}
	if limits.Sequences <= 0 {
		limits.Sequences = 1024
	}
	if limits.BlockTokens <= 0 {
		limits.BlockTokens = 16
	}
	n := model.KVTokens / limits.BlockTokens
	return &Engine{model: model, limits: limits, blocks: n, free: n}
}

// Add puts s at the end of the waiting line. It refuses a sequence that could never run to its
// end because it needs more KV cache than there is.
func (e *Engine) Add(s *Sequence) error {
	if s.Prompt < 1 || s.Output < 1 {
		return fmt.Errorf("add sequence: prompt of %d and output of %d tokens: want at least 1 each", s.Prompt, s.Output)
	}
	if need := e.blocksFor(s.Prompt + s.Output); need > e.blocks {
		return fmt.Errorf("add sequence: %d tokens need %d KV blocks and the engine has %d", s.Prompt+s.Output, need, e.blocks)
	}
	s.state = seqWaiting
	e.waiting = append(e.waiting, s)
	return nil
}

// Cancel takes s out, at whatever stage it is, and frees what it held. A sequence that has ended,
// or was never added, is left alone.
func (e *Engine) Cancel(s *Sequence) {
	switch s.state {
	case seqWaiting:
		e.waiting = without(e.waiting, s)
	case seqRunning:
		e.running = without(e.running, s)
		e.release(s)
	default:
		return
	}
	s.state = seqEnded
}

// Begin plans the next step at clock (see Model.StepTime) and returns how long it takes. False
// means that there is nothing to do.
func (e *Engine) Begin(clock float64) (time.Duration, bool) {
	load := e.plan()
	if load.Tokens == 0 {
		return 0, false
	}
	e.step = true
	e.planned = load.Tokens
	return e.model.StepTime(load, clock), true
}

// End ends the step that Begin planned: every sequence whose tokens are all computed gets its next
// one, in the order of the batch. It returns how many tokens the step worked on, 0 without a step.
func (e *Engine) End() int {
	if !e.step {
		return 0
	}
	e.step = false
	e.stats.Steps++
	kept := e.running[:0]
	for _, s := range e.running {
		if e.advance(s); s.Done() {
			e.release(s)
			s.state = seqEnded
			continue
		}
		kept = append(kept, s)
	}
	clear(e.running[len(kept):])
	e.running = kept
	return e.planned
}

// advance books what the step computed for s and hands out its token, if one came.
func (e *Engine) advance(s *Sequence) {
	if s.planned == 0 {
		return
	}
	if prefill := min(s.planned, max(0, s.Prompt-s.computed)); prefill > 0 {
		e.stats.PromptTokens += uint64(prefill)
	}
	s.computed += s.planned
	s.planned = 0
	if s.left() > 0 {
		return
	}
	s.emitted++
	e.stats.OutputTokens++
	if s.OnToken != nil {
		s.OnToken(s)
	}
}

// Stats is what the engine has done and holds.
func (e *Engine) Stats() EngineStats {
	st := e.stats
	st.Running, st.Waiting = len(e.running), len(e.waiting)
	for _, list := range [2][]*Sequence{e.running, e.waiting} {
		for _, s := range list {
			// A decoding sequence always has one token to compute; it is no backlog.
			st.Backlog += max(0, s.left()-min(s.emitted, 1))
			st.Outstanding += s.Output - s.emitted
		}
	}
	st.Outstanding += st.Backlog
	if e.blocks > 0 {
		st.KVUsage = float64(e.blocks-e.free) / float64(e.blocks)
	}
	return st
}

func without(list []*Sequence, s *Sequence) []*Sequence {
	for i, x := range list {
		if x == s {
			copy(list[i:], list[i+1:])
			list[len(list)-1] = nil
			return list[:len(list)-1]
		}
	}
	return list
}
