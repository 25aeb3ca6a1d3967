package results

import (
	"fmt"
	"slices"
	"time"
)

// A Verdict is what became of a claim or of a whole experiment. The zero value
// is Undecided: no data never reads as success.
type Verdict uint8

// Verdicts.
const (
	Undecided Verdict = iota
	Held
	Refuted
)

// String gives undecided, held or refuted.
func (v Verdict) String() string { return [...]string{"undecided", "held", "refuted"}[min(v, Refuted)] }

// MarshalText writes the name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a name; a name that it does not know is an error.
func (v *Verdict) UnmarshalText(text []byte) error {
	for known := Undecided; known <= Refuted; known++ {
		if known.String() == string(text) {
			*v = known
			return nil
		}
	}
	return fmt.Errorf("verdict %q isn't one of [undecided held refuted]", text)
}

// An Exit is the exit code of a command. The zero value is success.
type Exit int

// Exit codes, as the README lists them.
const (
	ExitHeld        Exit = 0   // held
	ExitRefuted     Exit = 1   // refuted
	ExitUsage       Exit = 2   // bad usage or experiment file
	ExitNotSteady   Exit = 3   // baseline not steady, nothing injected
	ExitUndecided   Exit = 4   // undecided, or an internal error
	ExitNotInForce  Exit = 5   // a fault could not be put in force
	ExitHarm        Exit = 6   // harm may remain
	ExitInterrupted Exit = 130 // interrupted, and reverted
)

// Worst returns the code that speaks for several, the loudest first: 6, 130, 2, 1, 5, 3, 4, 0.
func Worst(codes ...Exit) Exit {
	for _, loud := range []Exit{
		ExitHarm, ExitInterrupted, ExitUsage, ExitRefuted, ExitNotInForce, ExitNotSteady, ExitUndecided,
	} {
		for _, c := range codes {
			if c == loud {
				return c
			}
		}
	}
	return ExitHeld
}

// A Finding is what became of one hypothesis or guard.
type Finding struct {
	// Claim is the hypothesis as the plan has it; or the guard, which reads as the breach: held is never breached.
	Claim   string  `json:"claim"`
	Guard   bool    `json:"guard,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Observed and Bound are figures with their units, as a table shows them: "97.2 %", ">= 99 %".
	Observed string `json:"observed"`
	Bound    string `json:"bound"`
	// Why says what decided it, in a sentence without a full stop.
	Why string `json:"why,omitempty"`
	// N is how many samples spoke; of a guard, held or breached, all that it watched, in whichever phase.
	N int `json:"n"`
}

// AfterAKill is what a user does about a run that was killed before its faults were reverted.
const AfterAKill = "run `failwhale revert`; if it finds nothing to undo, the reaper has undone it"

// A Report is the judgement of one run's log. It holds no path and no time of
// judging: the same log gives the same bytes.
type Report struct {
	Version    int    `json:"version"`
	Experiment string `json:"experiment"`
	About      string `json:"about,omitempty"`
	// Stack is what was tested, in one line without secrets; empty where the log does not tell.
	Stack    string        `json:"stack,omitempty"`
	Verdict  Verdict       `json:"verdict"`
	Exit     Exit          `json:"exit"`
	Why      string        `json:"why"` // the sentence that explains Exit
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration_ns"` // of the log, start to last record
	Seed     uint64        `json:"seed"`
	// Overrides are the command-line settings that changed the plan.
	Overrides map[string]string `json:"overrides,omitempty"`
	// Torn: the log has no proper end; the run was killed. What is there was judged.
	Torn     bool          `json:"torn,omitempty"`
	Findings []Finding     `json:"findings"`
	Phases   []PhaseStats  `json:"phases"` // baseline, fault, recovery: those that began
	Slices   []SliceStats  `json:"slices"` // by label, for labels with more than one value
	Faults   []FaultReport `json:"faults"`
	Events   []Event       `json:"events"` // phases, guards, gates, errors: the run's own story, without the faults' events
	// Lag is our own lateness over all judged phases.
	Lag Quantiles `json:"lag"`
	// ClosedLoop: the load was users who wait for their answers. A request was due when it was sent: Lag is 0, and
	// what a slow stack kept from being asked is in no figure.
	ClosedLoop bool `json:"closed_loop,omitempty"`
	// NoLoad: none was put on, real traffic was judged by what the servers told of it. Phases have their lengths alone.
	NoLoad bool `json:"no_load,omitempty"`
	// SlowReaders are the clients that read slowly by plan, whose times are of their own making; "": nobody.
	SlowReaders SlowReaders `json:"slow_readers,omitempty"`
	// EarlyLeaks are answers with another's nonce to requests that count in no phase: those of the warm-up.
	EarlyLeaks int `json:"leaks_in_warmup,omitempty"`
	// NoEcho says why finding no leaks says nothing, and what would help; "": it does say something, or there were leaks.
	NoEcho string `json:"no_echo,omitempty"`
	// Server is what the stack's servers say of themselves, by labels and phase, beside what we saw of them; Self what
	// this process says of itself, nil in logs that have none of it.
	Server []ServerStats `json:"server"`
	Self   *SelfStats    `json:"self,omitempty"`
	// SLO is what goodput counts by, as a user writes it: "ttft=2s,tpot=100ms". Empty: nothing was asked for.
	SLO string `json:"slo,omitempty"`
	// MeanStream is the mean time from Sent to Done of complete requests in baseline; with it
	// and the fault's length one computes the loss that a region's death forces.
	MeanStream time.Duration `json:"mean_stream_ns"`
}

// SlowReaders says how many of the clients read slowly by plan; "": none.
type SlowReaders string

// Some, or all of them.
const (
	SlowSome SlowReaders = "some"
	SlowAll  SlowReaders = "all"
)

// Timed reports whether any stream brought a token, so that there is anything whose time was taken at the socket.
func (r *Report) Timed() bool {
	return slices.ContainsFunc(r.Phases, func(p PhaseStats) bool { return p.Stall.N > 0 })
}

// PhaseStats are the figures of one phase, or of one slice of it.
type PhaseStats struct {
	Phase     Phase         `json:"phase"`
	Duration  time.Duration `json:"duration_ns"`
	Requests  int           `json:"requests"` // attempted: without what we cancelled; each turn of a conversation is one
	Complete  int           `json:"complete"`
	Cancelled int           `json:"cancelled,omitempty"` // by the clients' plans (see Left) and at the end of the run
	// CutAfter200 counts failures that a status check calls success: status 2xx, outcome not complete.
	CutAfter200 int `json:"failed_with_2xx"`
	// FailedWith2xx are the outcomes of these, most frequent first, without error texts.
	FailedWith2xx []OutcomeStats `json:"failed_with_2xx_outcomes"`
	// Refused are 429 and 503 before the first byte: not in TTFT, only in success. Infinite are
	// failures that count in TTFT as +∞; users who gave up waiting (Left by time, WithoutToken) do so, too, and are none.
	Refused  int     `json:"refused"`
	Infinite int     `json:"ttft_infinite"`
	Success  float64 `json:"success"` // 0..1; 0 when Requests is 0
	// TokensPerSecond are the tokens that arrived within the phase, of whichever requests, in the attempt that served them
	// or was their last: also for users who left later. GoodputTokens are those of complete ones. An answer in one piece
	// arrives at its end.
	TokensPerSecond float64 `json:"tokens_per_second"`
	GoodputTokens   float64 `json:"goodput_tokens"`
	TokensPerChunk  float64 `json:"tokens_per_chunk"` // of streams; where it is not 1, an ITL is not the time of a token
	// Coalesced is the share of chunks, 0..1, that came in one read with the chunk before: their gaps are not in the ITL.
	Coalesced float64 `json:"coalesced"`
	// CountedBy says who counted the tokens, of how many requests that brought any; "unknown" where the sample does not say.
	CountedBy map[UsageSource]int `json:"tokens_counted_by,omitempty"`
	// Amplification is attempts per request, also of those whose users left: see Attempts.
	Amplification float64 `json:"amplification"`
	// Leaks are answers with another's nonce. Of Answers, which had any text in which a nonce could stand, Echoed carried
	// their own: with none of these a swap would not have been seen, and 0 leaks say nothing.
	Leaks   int `json:"leaks"`
	Answers int `json:"answers"`
	Echoed  int `json:"answers_echoed"`
	// Attempts say why requests were tried more than once, or were not; nil where there is nothing to say. Wasted is what was thrown away; nil: nothing.
	Attempts *AttemptStats `json:"attempts,omitempty"`
	Wasted   *WasteStats   `json:"wasted_tokens,omitempty"`
	// Conversations is nil where every request stood alone. Left are the users who left by plan, by how.
	Conversations *ConversationStats `json:"conversations,omitempty"`
	Left          []LeftStats        `json:"left,omitempty"`
	// Unstreamed counts the requests (Cancelled with them) whose answers come in one piece: they are not in TTFT, ITL, TPOT
	// and Stall, which therefore have fewer.
	Unstreamed int       `json:"unstreamed,omitempty"`
	Reconnects int       `json:"reconnects"`
	TTFT       Quantiles `json:"ttft"`
	ITL        Quantiles `json:"itl"`
	TPOT       Quantiles `json:"tpot"`
	E2E        Quantiles `json:"e2e"`
	Stall      Quantiles `json:"stall"`
	// TTFTSent and E2ESent count from Sent instead of Due. Slices have none.
	TTFTSent Quantiles `json:"ttft_sent,omitzero"`
	E2ESent  Quantiles `json:"e2e_sent,omitzero"`
	// SLO says how many requests kept its bounds; nil where there are none.
	SLO      *SLOStats      `json:"slo,omitempty"`
	Outcomes []OutcomeStats `json:"outcomes"` // those that occurred, Complete first, then most frequent first
}

// AttemptStats say how often requests were tried, and why more than once. What the end of the run cancelled is not in it,
// but for the attempts that it had lost.
type AttemptStats struct {
	Requests int `json:"requests"` // with those whose users left
	Attempts int `json:"attempts"`
	// Lost are the attempts that did not serve, by their outcome, most frequent first.
	Lost []LostStats `json:"lost"`
	// Hedges were sent beside another attempt; HedgesWon were the ones that brought tokens. Failovers went on at another endpoint.
	Hedges    int `json:"hedges,omitempty"`
	HedgesWon int `json:"hedges_won,omitempty"`
	Failovers int `json:"failovers,omitempty"`
	// Suppressed are the retries for which the clients' retry budgets had no room. They are no attempts.
	Suppressed int `json:"suppressed,omitempty"`
}

// LostStats count attempts that did not serve: cancelled are those that a hedge overtook, or that were overtaken.
type LostStats struct {
	Outcome Outcome `json:"outcome"`
	Status  int     `json:"status,omitempty"` // of an http_status
	Count   int     `json:"count"`
}

// WasteStats are the tokens that were thrown away: received in attempts that did not serve, or by requests that
// failed in the end.
type WasteStats struct {
	Output int     `json:"output"`
	Of     int     `json:"of"`     // all that were received, in whichever attempt
	Share  float64 `json:"share"`  // Output of Of, 0..1
	Prompt int     `json:"prompt"` // of the same attempts, as far as servers said
}

// ConversationStats count conversations by their first turn. Each turn is a request; what we cancelled has not failed.
type ConversationStats struct {
	Begun  int `json:"begun"`
	Turns  int `json:"turns"`
	Failed int `json:"turns_failed"`
}

// LeftStats count the users who left in one way.
type LeftStats struct {
	Way          Left `json:"way"`
	Count        int  `json:"count"`
	WithoutToken int  `json:"without_token"` // of Count, of streams
}

// SLOStats say how many requests kept every bound of the SLO.
type SLOStats struct {
	// Goodput is how many a second were complete and within every bound: of those that ended in the phase; of an
	// attack, before which there is nothing, of all that were due, so that it is Met by the length of the load.
	Goodput float64 `json:"goodput"`
	// Met is how many of the phase's requests were complete and within every bound; Share is that of all
	// attempted, 0..1.
	Met   int     `json:"met"`
	Share float64 `json:"share"`
	// Missed are the bounds that complete requests did not keep, the most often missed first. One
	// request may miss several.
	Missed []MissedBound `json:"missed"`
}

// A MissedBound is one bound of the SLO, by the metric's name, and how many complete requests it failed.
type MissedBound struct {
	Bound string `json:"bound"`
	Count int    `json:"count"`
}

// Values of a slice that are no single value of its label: labels may have any number of them.
const (
	OtherValue = "(other)" // all values after the first 50, taken together
	NoValue    = "(none)"  // requests without the label: a region that is gone names itself on no response
)

// SliceStats are the figures of one label value in one phase.
type SliceStats struct {
	Label string `json:"label"`
	Value string `json:"value"`
	// Given of NoValue: the load itself gives the label, so that these requests have none; else it may be any.
	Given bool `json:"given,omitempty"`
	PhaseStats
}

// OutcomeStats count one outcome; Error is its commonest error text.
type OutcomeStats struct {
	Outcome Outcome `json:"outcome"`
	Count   int     `json:"count"`
	Error   string  `json:"error,omitempty"`
}

// Quantiles of a distribution; +Inf means never ("inf" in JSON). N 0: all are zero and mean nothing.
type Quantiles struct {
	N    int     `json:"n"`
	Mean Seconds `json:"mean"` // of the finite values
	P50  Seconds `json:"p50"`
	P90  Seconds `json:"p90"`
	P99  Seconds `json:"p99"`
	Max  Seconds `json:"max"`
}

// FaultReport is the story of one fault.
type FaultReport struct {
	ID         string        `json:"id"`
	Kind       string        `json:"kind"`
	Injected   time.Duration `json:"injected_at_ns"` // when Inject was called; 0 with Error: never
	InForce    time.Duration `json:"in_force_at_ns"`
	RevertedAt time.Duration `json:"reverted_at_ns"`
	Detail     string        `json:"detail,omitempty"`
	Evidence   *Evidence     `json:"evidence,omitempty"` // the last seen
	Restored   Restored      `json:"restored,omitempty"`
	Error      string        `json:"error,omitempty"`
}
