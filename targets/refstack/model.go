package refstack

import (
	"math"
	"time"
)

// A Model is what one forward step of one engine costs. A step over T tokens,
// whose decoding sequences attend to C tokens of context and whose prefill
// chunks compare P pairs of positions, takes, at clock ratio f,
//
//	overhead + √(floor² + (token·T/f)²) + context·C + pair·P/f + reduce(T)
//
// The 2-norm of the memory-bound floor and the compute-bound slope follows the
// measured profiles through their knee (128 to 256 tokens on an H100), where a
// plain maximum is off by a fifth to a third. All times are in milliseconds at
// the nominal clock. The coefficients are fitted to the profiles that
// microsoft/vidur publishes (data/profiling); the attention terms are computed
// from KV bytes and FLOPs.
type Model struct {
	// Name is for people.
	Name string
	// OverheadMS is CPU and launch time of a step; the GPU's clock does not change it.
	OverheadMS float64
	// FloorMS is the time to stream the weights from memory once.
	FloorMS float64
	// TokenMS is the compute time of one token.
	TokenMS float64
	// ContextMS is the time to read one token of KV cache for a decoding sequence.
	ContextMS float64
	// PairMS is the attention time of one (query, key) pair of a prefill.
	PairMS float64
	// ReduceMS and ReduceTokenMS are the all-reduce of a tensor-parallel step: constant and per token.
	ReduceMS, ReduceTokenMS float64
	// KVTokens is how many tokens of KV cache fit beside the weights at 0.9 utilization.
	KVTokens int
}

// NominalMHz is the SM clock at which Models are stated: an H100's maximum boost.
const NominalMHz = 1980

// Llama8BH100 is Llama-3-8B in bf16 on one H100: what the reference stack's replicas run.
func Llama8BH100() Model {
	return Model{
		Name: "Llama-3-8B bf16, H100 TP1", OverheadMS: 1, FloorMS: 6.7, TokenMS: 0.0246,
		ContextMS: 5.2e-5, PairMS: 1.3e-6, KVTokens: 440_000,
	}
}

// Llama70BH100 is Llama-3-70B in bf16 on four H100s. It is here to hold the formula to a second
// published point.
func Llama70BH100() Model {
	return Model{
		Name: "Llama-3-70B bf16, H100 TP4", OverheadMS: 1.5, FloorMS: 14.5, TokenMS: 0.0556,
		ContextMS: 3.3e-5, PairMS: 1.6e-6, ReduceMS: 3, ReduceTokenMS: 0.012, KVTokens: 470_000,
	}
}

// A StepLoad is what one step works on.
type StepLoad struct {
	// Tokens in the step, of prefill chunks and of decoding sequences alike.
	Tokens int
	// Context is the sum of the context lengths of the decoding sequences.
	Context int
	// Pairs is the sum over prefill chunks of chunk · (tokens before it + chunk/2).
	Pairs float64
}

// StepTime is how long a step over load takes at clock, the ratio of the SM
// clock to NominalMHz. Compute (prefill, above all) scales with 1/clock; what
// is bound by memory does not, until the clock falls below one half, where the
// memory system starves too and the floor grows with the root. A clock that is
// not positive counts as nominal.
func (m Model) StepTime(load StepLoad, clock float64) time.Duration {
	if clock <= 0 {
		clock = 1
	}
	floor := m.FloorMS
	if clock < 0.5 {
		floor *= math.Sqrt(0.5 / clock)
	}
	ms := m.OverheadMS + math.Hypot(floor, m.TokenMS*float64(load.Tokens)/clock) +
		m.ContextMS*float64(load.Context) + m.PairMS*load.Pairs/clock
	if m.ReduceMS > 0 {
		ms += m.ReduceMS + m.ReduceTokenMS*float64(load.Tokens)
	}
	return time.Duration(ms * float64(time.Millisecond))
}
