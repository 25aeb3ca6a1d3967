package refstack

// A Policy says which replica a request goes to.
type Policy string

// Policies. The zero value is RoundRobin.
const (
	// RoundRobin sends to one after the other, however slow: it counts requests, not work.
	RoundRobin Policy = "round_robin"
	// LeastOutstandingTokens sends to the replica with the least work left, so that a slow one
	// gets new work only as fast as it finishes old.
	LeastOutstandingTokens Policy = "least_outstanding_tokens"
)

// A ReplicaLoad is what a Router knows of one replica.
type ReplicaLoad struct {
	// Outstanding is the work left on it; see EngineStats and Outstanding.
	Outstanding float64
	// Full replicas get nothing.
	Full bool
}

// DecodeWeight is what one output token counts for, in prompt tokens, where a
// Router compares work: an output token takes a whole step (7.7 ms for an 8B
// model on an H100, shared by the batch), a prompt token 0.025 ms. At a batch
// of about thirty an output token costs as much GPU time as ten prompt tokens.
const DecodeWeight = 10

// Outstanding is the work of st in prompt tokens: those still to be computed,
// and the output tokens still to come at DecodeWeight each.
func Outstanding(st EngineStats) float64 {
	return float64(st.Backlog) + DecodeWeight*float64(st.Outstanding-st.Backlog)
}

// A Router spreads requests over replicas. Its zero value is ready; it is not
// safe for concurrent use.
type Router struct{ turn int }

// Pick returns the index of the replica that the next request goes to, or -1
// if all are full. Ties go in turn.
func (r *Router) Pick(policy Policy, loads []ReplicaLoad) int {
	best := -1
	for k := range loads {
		i := (r.turn + k) % len(loads)
		if loads[i].Full {
			continue
		}
		if best < 0 || loads[i].Outstanding < loads[best].Outstanding {
			best = i
		}
		if policy != LeastOutstandingTokens {
			break
		}
	}
	if best >= 0 {
		r.turn = best + 1
	}
	return best
}
