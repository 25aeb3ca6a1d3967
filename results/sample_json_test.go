package results_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

// fullSample has every field set, to whole 10 µs.
func fullSample() *results.Sample {
	return &results.Sample{
		Index: 7, Due: 15 * time.Second, Sent: 15*time.Second + 50*time.Microsecond, Done: 16 * time.Second,
		FirstByte: 15100 * ms, Role: 15110 * ms,
		Chunks: []results.Chunk{
			{At: 15200 * ms, Tokens: 1},
			{At: 15220 * ms, Tokens: 3},
			{At: 15220 * ms, Tokens: 1, Coalesced: true},
			{At: 15220 * ms, Tokens: 2, Coalesced: true},
			{At: 15260*ms + 10*time.Microsecond, Tokens: 1},
		},
		Usage:  results.Usage{Prompt: 100, Cached: 64, Output: 8, Reasoning: 2, Source: results.UsageServer},
		Status: 200, Outcome: results.StreamError, Error: "engine said \"no\"\n<oom> \u00e9", Finish: "length",
		Attempts: []results.Attempt{
			{Sent: 15 * time.Second, Done: 15010 * ms, Status: 503, Outcome: results.HTTPStatus, Error: "busy"},
			{Sent: 15020 * ms, Done: 15030 * ms, Outcome: results.Connect},
			{Sent: 15030 * ms, Outcome: results.Cancelled, Endpoint: "east \u2028", Hedge: true, Prompt: 100, Output: 5},
		},
		Hedged: true, Suppressed: true, Bytes: 1 << 40, Conversation: 1<<64 - 1, Turn: 3, Unstreamed: true, Echoed: true, Left: results.LeftTime,
		Reconnects: 2, Labels: results.Labels{"tier": "paid", "region": "east", "über": "a\tb"},
	}
}

// The log's form, byte for byte: a log of version 1 stays readable, so this test must not change.
func TestSampleJSON(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   *results.Sample
		want string
	}{
		{"zero", &results.Sample{}, `{"n":0,"outcome":"unknown"}`},
		{
			"full", fullSample(),
			`{"n":7,"due":15000000,"sent":15000050,"done":16000000,"first_byte":15100000,"role":15110000,` +
				`"at":[1520000,2000,0,0,4001],"tokens":[1,3,1,2],"coalesced":[2,0],` +
				`"usage":{"source":"server","prompt":100,"cached":64,"output":8,"reasoning":2},` +
				`"status":200,"outcome":"stream_error","error":"engine said \"no\"\n\u003coom\u003e é","finish":"length",` +
				`"attempts":[{"outcome":"http_status","sent":15000000,"done":15010000,"status":503,"error":"busy"},` +
				`{"outcome":"connect","sent":15020000,"done":15030000},` +
				`{"outcome":"cancelled","sent":15030000,"endpoint":"east \u2028","hedge":true,"prompt":100,"output":5}],` +
				`"hedged":true,"suppressed":true,"bytes":1099511627776,"conversation":18446744073709551615,"turn":3,"unstreamed":true,"echoed":true,"left":"time",` +
				`"reconnects":2,"labels":{"region":"east","tier":"paid","über":"a\tb"}}`,
		},
	} {
		got, err := json.Marshal(tt.in)
		if err != nil {
			t.Fatalf("%s: json.Marshal: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, string(got)); diff != "" {
			t.Errorf("%s: json.Marshal (-want +got):\n%s", tt.name, diff)
		}
		var back results.Sample
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%s: json.Unmarshal(%s): %v", tt.name, got, err)
		}
		if diff := cmp.Diff(tt.in, &back); diff != "" {
			t.Errorf("%s: json.Unmarshal of json.Marshal (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Each chunk is off by at most half a unit, however many came before it.
func TestSampleJSONErrorsDoNotAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	s := streamed(rng, 1000, time.Millisecond)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("json.Marshal: %v", err)
	}
	var back results.Sample
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatalf("json.Unmarshal: %v", err)
	}
	if len(back.Chunks) != len(s.Chunks) {
		t.Fatalf("json.Unmarshal gave %d chunks; want %d", len(back.Chunks), len(s.Chunks))
	}
	for i, c := range back.Chunks {
		if off := (c.At - s.Chunks[i].At).Abs(); off > 5*time.Microsecond {
			t.Errorf("chunk %d is off by %s; want at most 5µs", i, off)
		}
	}
}

// A sample must not seem to end after an event that the log has behind it, and a time that is
// not 0 must not become "never".
func TestSampleJSONTimesAreCutOff(t *testing.T) {
	text, err := json.Marshal(&results.Sample{Due: 1, Sent: 1999, Done: 2999999})
	if want := `{"n":0,"due":1,"sent":1,"done":2999,"outcome":"unknown"}`; err != nil || string(text) != want {
		t.Errorf("json.Marshal = (%s, %v); want (%s, nil)", text, err, want)
	}
}

// What no writer of ours wrote is an error, never a panic or a wrong figure.
func TestSampleJSONRefuses(t *testing.T) {
	for _, text := range []string{
		`{"at":[1,2,]}`, `{"at":[1.5]}`, `{"at":[-]}`, `{"at":["1"]}`, `{"at":{}}`, `{"at":[99999999999999999999]}`, `{"at":[1, 2]}`,
		`{"at":[1,2],"tokens":[2,5]}`, `{"at":[1,2],"tokens":[-1,5]}`, `{"at":[1,2],"coalesced":[0,0,0]}`,
		`{"at":[-1]}`, `{"at":[922337203685477580]}`, `{"at":[9223372036854775807,9223372036854775807]}`, `{"outcome":"fine"}`, `{"due":-1}`, `{"due":9223372036854775807}`, `{"due":"x"}`, `[]`,
	} {
		var s results.Sample
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("json.Unmarshal(%s) = (%+v, nil); want an error", text, s)
		}
	}
	var s results.Sample
	if err := json.Unmarshal([]byte(`{"at":[],"new_in_version_1.5":{"a":[1]},"n":3}`), &s); err != nil || s.Index != 3 {
		t.Errorf("json.Unmarshal with a field it does not know = (%+v, %v); want Index 3 and no error", s, err)
	}
}

// Reading never panics, and what was read is written and read again as the same.
func FuzzSampleJSON(f *testing.F) {
	text, err := json.Marshal(fullSample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"bytes":-1,"turn":-2,"conversation":1,"left":"\xff","echoed":false,"attempts":[{"hedge":true}]}`))
	f.Add([]byte(`{"n":1,"at":[5,-2],"tokens":[0,0]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var once, twice results.Sample
		if json.Unmarshal(text, &once) != nil {
			return
		}
		written, err := json.Marshal(&once)
		if err != nil {
			t.Fatalf("json.Marshal(%+v): %v", once, err)
		}
		if err := json.Unmarshal(written, &twice); err != nil {
			t.Fatalf("json.Unmarshal(%s): %v", written, err)
		}
		again, err := json.Marshal(&twice)
		if err != nil || string(again) != string(written) {
			t.Errorf("written again = (%s, %v); want (%s, nil)", again, err, written)
		}
	})
}

// streamed is a complete request of n tokens, one each 20 ms with the given jitter.
func streamed(rng *rand.Rand, n int, jitter time.Duration) *results.Sample {
	due := time.Duration(rng.Int64N(int64(time.Minute)))
	sent := due + time.Duration(rng.Int64N(int64(200*time.Microsecond)))
	at := sent + time.Duration(float64(120*ms)*rng.ExpFloat64())
	s := &results.Sample{
		Index: rng.Uint64N(6000), Due: due, Sent: sent, FirstByte: at - ms, Status: 200, Outcome: results.Complete, Finish: "length",
		Usage: results.Usage{Prompt: 30 + rng.IntN(300), Output: n, Source: results.UsageServer},
		Bytes: int64(180*n + rng.IntN(2*n+1)), Echoed: true,
		Labels: results.Labels{"tier": [...]string{"paid", "free"}[rng.IntN(2)], "region": [...]string{"east", "west", "central"}[rng.IntN(3)]},
	}
	for range n {
		s.Chunks = append(s.Chunks, results.Chunk{At: at, Tokens: 1})
		at += max(20*time.Microsecond, 20*ms+time.Duration(float64(jitter)*rng.NormFloat64()))
	}
	s.Done = at
	return s
}

// What a finished request costs the run, and what it costs a report.
func BenchmarkSampleJSON(b *testing.B) {
	s := streamed(rand.New(rand.NewPCG(1, 2)), 100, 500*time.Microsecond)
	text, err := s.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := s.MarshalJSON(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			var back results.Sample
			if err := json.Unmarshal(text, &back); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// AsLogged is what the log gives back, of samples to the nanosecond and of texts that are none.
func TestAsLoggedIsWhatTheLogGivesBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	at := func() time.Duration { return time.Duration(rng.Int64N(int64(time.Minute))) }
	odd := fullSample()
	odd.Due, odd.Sent, odd.Done, odd.FirstByte, odd.Role = at(), at(), at(), at(), 1
	for i := range odd.Chunks {
		odd.Chunks[i].At = time.Duration(i+1)*time.Second + at()/1e6
	}
	odd.Error, odd.Finish, odd.Usage.Source = "cut in \xe2\x82", "\xff", "ser\xfever"
	odd.Attempts[0].Sent, odd.Attempts[0].Error, odd.Attempts[1].Endpoint, odd.Left = at(), "\x80 \u2028", "ea\xffst", "\xfe"
	odd.Labels = results.Labels{"a\xff": "1", "a\xfe": "2", "b": "\xffx", "c": "plain"}
	room := make([]results.Chunk, 0, 1)
	for name, s := range map[string]*results.Sample{
		"zero": {}, "full": fullSample(), "odd": odd, "empty": {Labels: results.Labels{}, Chunks: []results.Chunk{}, Attempts: []results.Attempt{}},
	} {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("%s: json.Marshal: %v", name, err)
		}
		var want results.Sample
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s: json.Unmarshal: %v", name, err)
		}
		before := *s
		for _, chunks := range [][]results.Chunk{nil, room, make([]results.Chunk, 3, 100)} {
			if diff := cmp.Diff(want, s.AsLogged(chunks)); diff != "" {
				t.Errorf("%s: AsLogged (-the log's +got):\n%s", name, diff)
			}
		}
		if diff := cmp.Diff(before, *s); diff != "" {
			t.Errorf("%s: AsLogged changed the sample (-before +after):\n%s", name, diff)
		}
	}
}
