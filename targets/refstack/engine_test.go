package refstack_test

import (
	"math"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/refstack"
)

// drive steps e until it is idle and returns how long that took.
func drive(e *refstack.Engine, clock float64) time.Duration {
	var total time.Duration
	for {
		d, ok := e.Begin(clock)
		if !ok {
			return total
		}
		total += d
		e.End()
	}
}

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*want {
		t.Errorf("%s = %.4g, want %.4g within %.0f %%", what, got, want, 100*tolerance)
	}
}

// The vLLM project's continuous benchmark: a fixed batch of 8, 32 tokens in, 128 out, H100.
func TestEngineMatchesPublishedBatchLatency(t *testing.T) {
	for _, c := range []struct {
		model  refstack.Model
		wantMS float64
	}{
		{refstack.Llama8BH100(), 997.5},
		{refstack.Llama70BH100(), 2444},
	} {
		e := refstack.NewEngine(c.model, refstack.EngineLimits{})
		for range 8 {
			if err := e.Add(&refstack.Sequence{Prompt: 32, Output: 128}); err != nil {
				t.Fatal(err)
			}
		}
		got := drive(e, 1)
		within(t, c.model.Name+": batch of 8, 32 in, 128 out, in ms", float64(got)/1e6, c.wantMS, 0.15)
		if st := e.Stats(); st.OutputTokens != 8*128 || st.PromptTokens != 8*32 {
			t.Errorf("Stats() = %d prompt and %d output tokens, want 256 and 1024", st.PromptTokens, st.OutputTokens)
		}
	}
}

// At half the clock prefill takes twice as long, and decoding hardly longer until the batch is
// large: 1, 4, 10 and 19 % at 32, 64, 128 and 256 sequences of the chat trace's length.
func TestHalfTheClockHurtsPrefillMoreThanDecoding(t *testing.T) {
	m := refstack.Llama8BH100()
	prefill := refstack.StepLoad{Tokens: 4096, Pairs: 4096 * 2048}
	within(t, "prefill time at half the clock", float64(m.StepTime(prefill, 0.5))/float64(m.StepTime(prefill, 1)), 2, 0.05)
	for batch, want := range map[int]float64{32: 0.01, 64: 0.04, 128: 0.10, 256: 0.19} {
		load := refstack.StepLoad{Tokens: batch, Context: batch * (1155 + 211)}
		got := float64(m.StepTime(load, 0.5))/float64(m.StepTime(load, 1)) - 1
		if math.Abs(got-want) > 0.03 {
			t.Errorf("decoding %d at half the clock is %.1f %% slower, want %.0f %% within 3 points", batch, 100*got, 100*want)
		}
	}
	decode := refstack.StepLoad{Tokens: 8, Context: 8 * 100}
	if nominal, unset := m.StepTime(decode, 1), m.StepTime(decode, 0); unset != nominal {
		t.Errorf("StepTime(%+v, 0) = %v, want %v as at the nominal clock", decode, unset, nominal)
	}
}

// A long prompt is computed in pieces, and a short one behind it gets what is left of the budget.
func TestEngineChunksPromptsUnderItsBudget(t *testing.T) {
	e := refstack.NewEngine(refstack.Llama8BH100(), refstack.EngineLimits{StepTokens: 1000})
	long := &refstack.Sequence{Prompt: 2500, Output: 2}
	short := &refstack.Sequence{Prompt: 100, Output: 3}
	for _, s := range []*refstack.Sequence{long, short} {
		if err := e.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	type after struct{ tokens, long, short int }
	for i, want := range []after{{1000, 0, 0}, {1000, 0, 0}, {600, 1, 1}, {2, 2, 2}, {1, 2, 3}} {
		if _, ok := e.Begin(1); !ok {
			t.Fatalf("step %d: Begin found nothing to do", i)
		}
		n := e.End()
		if got := (after{n, long.Emitted(), short.Emitted()}); got != want {
			t.Errorf("step %d = %+v, want %+v", i, got, want)
		}
	}
	if d, ok := e.Begin(1); ok {
		t.Errorf("Begin after the last token = %v, true, want nothing to do", d)
	}
	if u := e.Stats().KVUsage; u != 0 {
		t.Errorf("KVUsage after the last token = %v, want 0", u)
	}
}

// Two sequences that do not fit together to their ends: the later one is put back and comes out whole.
func TestEnginePreemptsTheLastWhenBlocksRunOut(t *testing.T) {
	model := refstack.Llama8BH100()
	model.KVTokens = 160 // ten blocks
	e := refstack.NewEngine(model, refstack.EngineLimits{})
	first := &refstack.Sequence{Prompt: 64, Output: 60}
	last := &refstack.Sequence{Prompt: 64, Output: 60}
	for _, s := range []*refstack.Sequence{first, last} {
		if err := e.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	for !first.Done() {
		if _, ok := e.Begin(1); !ok {
			t.Fatal("Begin found nothing to do before the first sequence was done")
		}
		e.End()
	}
	if last.Done() {
		t.Error("the last sequence was done with the first: want it preempted")
	}
	drive(e, 1)
	st := e.Stats()
	if !last.Done() || last.Emitted() != 60 {
		t.Errorf("the preempted sequence emitted %d of 60 tokens", last.Emitted())
	}
	if st.Preemptions == 0 || st.KVUsage != 0 || st.Running+st.Waiting != 0 {
		t.Errorf("Stats() = %+v, want preemptions, and nothing held", st)
	}
}

// A client that leaves costs nothing further, in the line as in the middle of a step.
func TestEngineCancelFreesAtEveryStage(t *testing.T) {
	for _, steps := range []int{0, 1, 3} {
		e := refstack.NewEngine(refstack.Llama8BH100(), refstack.EngineLimits{})
		s := &refstack.Sequence{Prompt: 64, Output: 10, OnToken: func(*refstack.Sequence) {}}
		if err := e.Add(s); err != nil {
			t.Fatal(err)
		}
		for range steps {
			e.Begin(1)
			e.End()
		}
		e.Begin(1) // mid-step
		e.Cancel(s)
		e.Cancel(s)
		e.End()
		if st := e.Stats(); st.Running+st.Waiting != 0 || st.KVUsage != 0 || st.Outstanding != 0 {
			t.Errorf("after %d steps and Cancel: Stats() = %+v, want nothing held", steps, st)
		}
		if s.Emitted() != steps {
			t.Errorf("after %d steps and Cancel: %d tokens, want %d", steps, s.Emitted(), steps)
		}
	}
}

// A sequence larger than the cache would wait for ever.
func TestEngineRefusesWhatCanNeverEnd(t *testing.T) {
	model := refstack.Llama8BH100()
	model.KVTokens = 160
	e := refstack.NewEngine(model, refstack.EngineLimits{})
	for _, s := range []*refstack.Sequence{{Prompt: 100, Output: 61}, {Prompt: 0, Output: 1}, {Prompt: 1}} {
		if err := e.Add(s); err == nil {
			t.Errorf("Add(%d in, %d out) = nil, want an error", s.Prompt, s.Output)
		}
	}
}
