package attacks_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// drawn are the first n requests of a schedule.
func drawn(t *testing.T, n int, w attacks.Workload, change func(*attacks.Config)) []attacks.Request {
	t.Helper()
	cfg := attacks.Config{Profile: attacks.Profile{Poisson: &attacks.Poisson{Rate: 100}}, Workload: w, Seed: 7}
	if change != nil {
		change(&cfg)
	}
	var all []attacks.Request
	for r, err := range cfg.Schedule(results.Baseline) {
		if err != nil {
			t.Fatalf("Schedule of %+v: %v", w, err)
		}
		if all = append(all, r); len(all) == n {
			break
		}
	}
	return all
}

// about fails unless x is about want.
func about(t *testing.T, what string, x, want, within float64) {
	t.Helper()
	if math.Abs(x-want) > within*want {
		t.Errorf("%s is %v, want %v within %v%%", what, x, want, 100*within)
	}
}

func fixed(prompt, output int) attacks.Class {
	return attacks.Class{PromptTokens: attacks.Length{Fixed: prompt}, OutputTokens: attacks.Length{Fixed: output}}
}

// Each kind of length has the quantiles that are written.
func TestLengthsAreDistributedAsWritten(t *testing.T) {
	for _, tt := range []struct {
		name string
		l    attacks.Length
		want map[float64]int // quantiles
	}{
		{"fixed", attacks.Length{Fixed: 30}, map[float64]int{0: 30, 0.5: 30, 1: 30}},
		{"uniform", attacks.Length{Min: 100, Max: 300}, map[float64]int{0: 100, 0.25: 150, 0.5: 200, 0.75: 250, 1: 300}},
		{"lognormal", attacks.Length{P50: 200, P90: 800}, map[float64]int{0.1: 50, 0.5: 200, 0.9: 800}},
		{"lognormal in bounds", attacks.Length{P50: 200, P90: 800, Min: 100, Max: 900}, map[float64]int{0: 100, 0.1: 100, 0.5: 200, 0.9: 800, 1: 900}},
		{"no width", attacks.Length{P50: 70, P90: 70}, map[float64]int{0: 70, 0.5: 70, 1: 70}},
	} {
		c := fixed(1, 1)
		c.PromptTokens = tt.l
		var got []int
		for _, r := range drawn(t, 20_000, attacks.Workload{c}, nil) {
			got = append(got, r.PromptTokens)
		}
		slices.Sort(got)
		for q, want := range tt.want {
			about(t, fmt.Sprintf("%s: quantile %v", tt.name, q), float64(got[min(int(q*float64(len(got))), len(got)-1)]), float64(want), 0.05)
		}
	}
}

// Every preset has the quantiles that it says, of the two columns of its source.
func TestPresetLengths(t *testing.T) {
	for name, want := range map[string][4]int{
		attacks.Chat: {1020, 2735, 129, 424}, attacks.Code: {1469, 5194, 13, 55}, attacks.LongContext: {6909, 27367, 350, 597},
	} {
		var prompts, outputs []int
		for _, r := range drawn(t, 20_000, attacks.Workload{{Preset: name}}, nil) {
			prompts, outputs = append(prompts, r.PromptTokens), append(outputs, r.OutputTokens)
		}
		slices.Sort(prompts)
		slices.Sort(outputs)
		for i, got := range []int{prompts[10_000], prompts[18_000], outputs[10_000], outputs[18_000]} {
			about(t, fmt.Sprintf("%s: figure %d", name, i), float64(got), float64(want[i]), 0.05)
		}
	}
	for _, p := range attacks.Presets() {
		if len(p.Doc) < 20 || p.Name == "" {
			t.Errorf("preset %q has the doc %q", p.Name, p.Doc)
		}
		for _, r := range drawn(t, 1000, attacks.Workload{{Preset: p.Name}}, nil) {
			if r.PromptTokens < 1 || r.OutputTokens < 1 {
				t.Fatalf("preset %s: %+v", p.Name, r)
			}
		}
	}
	if cv := (attacks.Workload{{Feature: "code"}}).CV(); cv < 8 || cv > 13 {
		t.Errorf("CV of code = %v", cv)
	}
	if cv := (attacks.Workload{{Preset: attacks.Code}, {Preset: attacks.Chat}}).CV(); cv != 0 {
		t.Errorf("CV of code and chat = %v, want 0", cv)
	}
}

// Each mistake has a message that says what to write, and classes that leave much out are fine.
func TestValidateClass(t *testing.T) {
	length := func(l attacks.Length) func(*attacks.Class) { return func(c *attacks.Class) { c.PromptTokens = l } }
	for _, tt := range []struct {
		name   string
		change func(*attacks.Class)
		want   string
	}{
		{"min alone", length(attacks.Length{Min: 5}), "prompt_tokens: max is missing beside min 5: write {min: 5, max: 10}"},
		{"max alone", length(attacks.Length{Max: 10}), "prompt_tokens: min is missing beside max 10: write {min: 5, max: 10}"},
		{"upside down", length(attacks.Length{Min: 9, Max: 4}), "prompt_tokens: max 4 is below min 9: swap them"},
		{"p50 alone", length(attacks.Length{P50: 9}), "prompt_tokens: p90 is missing beside p50 9: write {p50: 9, p90: 27}, or 9 alone"},
		{"p90 alone", length(attacks.Length{P90: 9}), "prompt_tokens: p50 is missing beside p90 9: write {p50: 3, p90: 9}"},
		{"p90 below p50", length(attacks.Length{P50: 9, P90: 8}), "prompt_tokens: p90 8 is below p50 9: swap them"},
		{"max below p90", length(attacks.Length{P50: 9, P90: 18, Max: 17}), "prompt_tokens: max 17 is below p90 18: raise it, or lower p90"},
		{"min over p50", length(attacks.Length{P50: 9, P90: 18, Min: 10}), "prompt_tokens: min 10 is over p50 9: lower it, or raise p50"},
		{"negative", length(attacks.Length{Min: -1, Max: 3_000_000}), "prompt_tokens: min -1 is not between 1 and 2000000\nprompt_tokens: max 3000000 is not between 1 and 2000000"},
		{"half", length(attacks.Length{}), "prompt_tokens is missing: write prompt_tokens: 200, or preset: chat"},
		{"two sources", func(c *attacks.Class) { c.LengthsFrom = "x.csv" }, "lengths_from has both lengths of a request: remove prompt_tokens\nlengths_from has both lengths of a request: remove output_tokens"},
		{"no prefix", func(c *attacks.Class) { c.Prefix = &attacks.Prefix{} }, "prefix: tokens 0 is not between 1 and 2000000"},
		{"no turns", func(c *attacks.Class) { c.Turns = &attacks.Turns{} }, "turns: count is missing: write count: 3"},
		{
			"thinks backwards", func(c *attacks.Class) {
				c.Turns = &attacks.Turns{Count: attacks.Length{Fixed: 2}, Think: attacks.Think{P50: time.Second, P90: time.Millisecond}}
			}, "turns: think: p90 1ms is below p50 1s: swap them",
		},
		{"models", func(c *attacks.Class) { c.Models = map[string]attacks.Share{"a": 0.5, "b": 0.7} }, "models: shares come to 120%: make them 100%"},
		{"half a model", func(c *attacks.Class) { c.Models = map[string]attacks.Share{"a": 0.5} }, "models: shares come to 50%: make them 100%"},
		{"golden without an answer", func(c *attacks.Class) { c.Golden = []attacks.Golden{{Ask: "?"}} }, "golden[0]: has no answer: write answer: 42, which is all of it, or contains: 42"},
		{"golden with two", func(c *attacks.Class) { c.Golden = []attacks.Golden{{Ask: "?", Answer: "1", Contains: "1"}} }, "golden[0]: has answer and contains: keep one"},
		{
			"golden talk", func(c *attacks.Class) {
				c.Golden, c.Turns = []attacks.Golden{{Ask: "?", Answer: "1"}}, &attacks.Turns{Count: attacks.Length{Fixed: 2}}
			}, "golden stands beside turns, and a known answer is to one question: give it a class of its own",
		},
		{"no dialect", func(c *attacks.Class) { c.Dialect = "openai" }, `dialect "openai" isn't one of [`},
		{"relative path", func(c *attacks.Class) { c.Path = "v1/ask" }, `path "v1/ask" does not begin with a slash: write /v1/ask`},
		{"path with a query", func(c *attacks.Class) { c.Path = "/v1/ask?a=b" }, `path "/v1/ask?a=b" cannot hold '?': a query belongs into the endpoint's url`},
	} {
		c := fixed(10, 10)
		tt.change(&c)
		var got []string
		for _, err := range c.Validate() {
			got = append(got, err.Error())
		}
		if text := strings.Join(got, "\n"); text != tt.want && (!strings.HasSuffix(tt.want, "[") || !strings.HasPrefix(text, tt.want)) {
			t.Errorf("%s: Validate = %q, want %q", tt.name, text, tt.want)
		}
	}
	for _, c := range []attacks.Class{
		{},
		{Feature: "mine"},
		{Feature: "code", PromptTokens: attacks.Length{Fixed: 5}},
		{Preset: attacks.Agent, Golden: []attacks.Golden{{Ask: "?", Answer: "!"}}},
		{LengthsFrom: "gone.csv"},
		{Models: map[string]attacks.Share{"a": 0.2, "b": 0.8}},
		{Path: "/v2/rag/ask"},
	} {
		if errs := c.Validate(); len(errs) > 0 {
			t.Errorf("%+v: %v; want nothing wrong", c, errs)
		}
	}
}

// Lengths of a trace are drawn in the pairs that it has, the same for the same seed.
func TestLengthsFromATrace(t *testing.T) {
	var b strings.Builder
	b.WriteString(attacks.TraceHeader)
	for i := 1; i <= 4; i++ {
		b.Write(attacks.AppendTrace(nil, attacks.Request{Due: time.Duration(i), PromptTokens: 100 * i, OutputTokens: i}))
	}
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w := attacks.Workload{{LengthsFrom: file}}
	all := drawn(t, 4000, w, nil)
	counts := map[int]int{}
	for _, r := range all {
		if r.PromptTokens != 100*r.OutputTokens {
			t.Fatalf("%+v: want a pair of the trace", r)
		}
		counts[r.OutputTokens]++
	}
	for i := 1; i <= 4; i++ {
		about(t, fmt.Sprintf("requests of pair %d", i), float64(counts[i]), 1000, 0.15)
	}
	if again := drawn(t, 4000, w, nil); !cmp.Equal(all, again) {
		t.Error("the same seed draws other lengths")
	}
	missing := attacks.Workload{{LengthsFrom: "gone.csv"}}
	cfg, _ := config("http://127.0.0.1:1")
	cfg.Workload = missing
	if _, err := attacks.New(cfg); err == nil || !strings.Contains(err.Error(), "workload[0]: lengths_from: open trace: ") {
		t.Errorf("New with a trace that is not there = %v", err)
	}
	if wrong := missing.CheckLengths(); len(wrong) != 1 || wrong[0] == nil {
		t.Errorf("CheckLengths = %v", wrong)
	}
}

// Classes come by their shares, each with its own lengths, models and prefix groups; and what one of them gains
// changes nothing of what the others do.
func TestClassesComeByShare(t *testing.T) {
	chat, code := fixed(10, 1), fixed(20, 2)
	chat.Feature, chat.Share = "chatty", 0.7
	code.Feature, code.Models = "coding", map[string]attacks.Share{"big": 0.25, "small": 0.75}
	code.Prefix = &attacks.Prefix{Tokens: 50, Groups: 4}
	code.PromptTokens = attacks.Length{Min: 100, Max: 9000} // which one more number out of the same stream would change
	all := drawn(t, 20_000, attacks.Workload{chat, code}, nil)
	features, models, groups := map[string]int{}, map[string]int{}, map[int]int{}
	for _, r := range all {
		if features[r.Feature]++; r.Feature == "coding" {
			models[r.Model]++
			groups[r.Group]++
		} else if r.Model != "" || r.Group != 0 || r.PromptTokens != 10 {
			t.Fatalf("%+v", r)
		}
	}
	about(t, "chatty", float64(features["chatty"]), 14_000, 0.03)
	about(t, "big", float64(models["big"]), 1500, 0.1)
	about(t, "small", float64(models["small"]), 4500, 0.1)
	for g := range 4 {
		about(t, "group", float64(groups[g+1]), 1500, 0.1)
	}
	less := code
	less.Models, less.Prefix = nil, nil
	for i, r := range drawn(t, 20_000, attacks.Workload{chat, less}, nil) {
		want := all[i]
		want.Model, want.Group = "", 0
		if !cmp.Equal(r, want) {
			t.Fatalf("without models and prefixes request %d is %+v, want %+v", i, r, want)
		}
	}
}

// A part of the profile that is for a tier or a feature has requests of those alone.
func TestPartsOfATierAndAFeature(t *testing.T) {
	chat, code := fixed(10, 1), fixed(20, 2)
	chat.Feature, code.Feature = "chatty", "coding"
	w := attacks.Workload{chat, code}
	with := func(part attacks.Part) func(*attacks.Config) {
		part.Profile = attacks.Profile{Poisson: &attacks.Poisson{Rate: 100}}
		return func(c *attacks.Config) {
			c.Profile.Plus = []attacks.Part{part}
			c.Clients = []attacks.Client{{Tier: "paid", Tenant: "acme"}, {Tier: "free", Tenant: "acme"}, {Tier: "free", Tenant: "ajax"}}
		}
	}
	all := drawn(t, 4000, w, with(attacks.Part{Tier: "free", Feature: "coding"}))
	counts := map[string]int{}
	for _, r := range all {
		counts[r.Tier+" "+r.Feature]++
	}
	about(t, "free coding", float64(counts["free coding"]), 2000+2000/3., 0.1)
	about(t, "paid chatty", float64(counts["paid chatty"]), 2000/6., 0.2)
	for _, tt := range []struct {
		part attacks.Part
		want string
	}{
		{attacks.Part{Tier: "fre"}, `profile: plus[0]: tier "fre" isn't one of [free paid]`},
		{attacks.Part{Tenant: "acne"}, `profile: plus[0]: tenant "acne" isn't one of [acme ajax]`},
		{attacks.Part{Feature: "code"}, `profile: plus[0]: feature "code" isn't one of [chatty coding]`},
		{attacks.Part{Tier: "paid", Tenant: "x"}, `profile: plus[0]: tenant "x" isn't one of [acme ajax]`},
		{attacks.Part{Tier: "paid", Tenant: "ajax"}, `profile: plus[0]: tenant "ajax" has no client of the tier "paid": add one, or leave out one of the two`},
	} {
		cfg, _ := config("http://127.0.0.1:1")
		cfg.Workload = w
		with(tt.part)(&cfg)
		if _, err := attacks.New(cfg); err == nil || err.Error() != tt.want {
			t.Errorf("part %+v: New = %v, want %v", tt.part, err, tt.want)
		}
	}
}

// The server sees what the samples say: of each class its path, its body and its models; and of each client its headers
// for each class.
func TestEachClassIsAskedInItsWay(t *testing.T) {
	server := targetstest.New(t, echo)
	cfg, sink := config(server.URL() + "/v1")
	cfg.Endpoint.Model = "base"
	chat, own := fixed(50, 11), fixed(60, 22)
	chat.Feature, chat.Models = "chat", map[string]attacks.Share{"a": 0.5, "b": 0.5}
	own.Feature, own.Path = "rag", "/rag/ask"
	own.Body = map[string]any{
		"messages": nil, "question": map[string]any{"text": "Q: {{prompt}}", "limit": "{{max_tokens}}", "by": []any{"{{model}}/x", true}}, "temperature": 0.5,
	}
	cfg.Workload = attacks.Workload{chat, own}
	cfg.Clients = []attacks.Client{{Tier: "paid", Key: "${PAID}"}, {Tier: "free"}}
	cfg.LookupEnv = env
	samples := attackUntil(t, cfg, sink, 40)
	a := newAttack(t, cfg)
	of := map[string]*results.Sample{}
	for _, s := range samples {
		of[a.Nonce(s.Index)] = s
	}
	seen := map[string]int{}
	for _, r := range server.Requests() {
		nonce := nonceIn.FindString(string(r.Body))
		s := of[nonce]
		if s == nil {
			continue // under way when the test had seen enough
		}
		var body struct {
			Model       string            `json:"model"`
			Messages    []targets.Message `json:"messages"`
			Temperature float64           `json:"temperature"`
			Question    struct {
				Text  string `json:"text"`
				Limit int    `json:"limit"`
				By    []any  `json:"by"`
			} `json:"question"`
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		key := ""
		if s.Labels["tier"] == "paid" {
			key = "Bearer sk-paid"
		}
		if got := r.Header.Get("Authorization"); got != key {
			t.Errorf("%v: Authorization %q", s.Labels, got)
		}
		switch s.Labels["feature"] {
		case "chat":
			if r.Path != "/v1/chat/completions" || body.Model != s.Labels["model"] || len(body.Messages) != 2 {
				t.Errorf("chat with %v: %s %s", s.Labels, r.Path, r.Body)
			}
			seen[body.Model]++
		case "rag":
			if r.Path != "/v1/rag/ask" || s.Labels["model"] != body.Model || body.Messages != nil || body.Temperature != 0.5 || body.Question.Limit != 22 ||
				!strings.HasPrefix(body.Question.Text, "Q: You answer") || !cmp.Equal(body.Question.By, []any{"base/x", true}) {
				t.Errorf("rag with %v: %s %s", s.Labels, r.Path, r.Body)
			}
			seen["rag"]++
		default:
			t.Errorf("sample with labels %v", s.Labels)
		}
	}
	if got := slices.Sorted(maps.Keys(seen)); !cmp.Equal(got, []string{"a", "b", "rag"}) {
		t.Errorf("asked for %v", got)
	}
}

// A class of another dialect than its endpoint's is asked in that one.
func TestAClassHasADialectOfItsOwn(t *testing.T) {
	server := targetstest.New(t, echo)
	cfg, sink := config(server.URL())
	cfg.Workload = attacks.Workload{{Preset: attacks.Completions}}
	attackUntil(t, cfg, sink, 5)
	for _, r := range server.Requests() {
		if r.Path != "/v1/completions" {
			t.Errorf("asked at %s", r.Path)
		}
	}
}

// A schedule is written as a trace that can be replayed, with what is known of each request beside it.
func TestTheTraceOfClassesCanBeReplayed(t *testing.T) {
	c := fixed(20, 2)
	c.Feature, c.Models, c.Prefix = `say "hi"`, map[string]attacks.Share{"big": 1}, &attacks.Prefix{Tokens: 50, Groups: 4}
	text := []byte(attacks.TraceHeader)
	all := drawn(t, 50, attacks.Workload{c}, func(cfg *attacks.Config) { cfg.Clients = []attacks.Client{{Tier: "paid"}} })
	for _, r := range all {
		text = attacks.AppendTrace(text, r)
	}
	type line struct {
		Tier, Feature, Model string
		Group                int `json:"prefix_group"`
	}
	for i, one := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		var got line
		if err := json.Unmarshal([]byte(one), &got); err != nil || got != (line{Tier: "paid", Feature: `say "hi"`, Model: "big", Group: all[i].Group}) {
			t.Fatalf("line %s = %+v, %v", one, got, err)
		}
	}
	tr := trace(t, string(text))
	n := 0
	for a, err := range (attacks.Profile{Trace: &tr}).Arrivals(results.Baseline, 1) {
		if err != nil || a.At != all[n].Due || a.Shape.PromptTokens != 20 {
			t.Fatalf("replayed %+v, %v; want %+v", a, err, all[n])
		}
		n++
	}
	if n != len(all) {
		t.Errorf("replayed %d requests of %d", n, len(all))
	}
}

// Peak tokens are those of the classes together.
func TestPeakOfClasses(t *testing.T) {
	small, large := fixed(1, 10), fixed(1, 110)
	small.Feature, large.Feature = "small", "large"
	p := attacks.Profile{Constant: &attacks.Constant{Rate: 1000}}
	peak, err := attacks.PeakOf(p, attacks.Workload{small, large}, results.Baseline, 1, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	about(t, "tokens a second", peak.Tokens, 60_000, 0.1)
	p.Plus = []attacks.Part{{Profile: p, Feature: "large"}}
	if peak, err = attacks.PeakOf(p, attacks.Workload{small, large}, results.Baseline, 1, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	about(t, "tokens a second with a part", peak.Tokens, 170_000, 0.1)
}

// Labels says what of a workload claims can be about.
func TestLabelsOfAWorkload(t *testing.T) {
	w := attacks.Workload{{Feature: "code", Models: map[string]attacks.Share{"big": 0.5, "small": 0.5}}, {Preset: attacks.Chat, Models: map[string]attacks.Share{"big": 1}}}
	features, models := w.Labels()
	if !cmp.Equal(features, []string{"chat", "code"}) || !cmp.Equal(models, []string{"big", "small"}) {
		t.Errorf("Labels = %v, %v", features, models)
	}
	if f, m := attacks.Workload(nil).Labels(); f != nil || m != nil {
		t.Errorf("Labels of the default = %v, %v", f, m)
	}
}

// Think times have the quantiles that are written.
func TestThinkTimesAreDistributedAsWritten(t *testing.T) {
	for _, tt := range []struct {
		think attacks.Think
		want  [3]time.Duration // least, median, 90th percentile
	}{
		{attacks.Think{}, [3]time.Duration{}},
		{attacks.Think{Fixed: time.Second}, [3]time.Duration{time.Second, time.Second, time.Second}},
		{attacks.Think{Min: time.Second, Max: 3 * time.Second}, [3]time.Duration{time.Second, 2 * time.Second, 2800 * time.Millisecond}},
		{attacks.Think{Min: time.Second, P50: 5 * time.Second, P90: 20 * time.Second, Max: time.Minute}, [3]time.Duration{time.Second, 5 * time.Second, 20 * time.Second}},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		all := make([]time.Duration, 20_000)
		for i := range all {
			all[i] = attacks.DrawThink(tt.think, rng)
		}
		slices.Sort(all)
		for i, at := range []int{0, 10_000, 18_000} {
			about(t, fmt.Sprintf("%+v: figure %d", tt.think, i), all[at].Seconds(), tt.want[i].Seconds(), 0.05)
		}
		if tt.think.Max > 0 && all[len(all)-1] > tt.think.Max {
			t.Errorf("%+v: drew %s", tt.think, all[len(all)-1])
		}
	}
}

// A class's model is asked for at every endpoint; one without models asks for each endpoint's own.
func TestModelsOfAClassFailOver(t *testing.T) {
	down := targetstest.New(t, targetstest.Always(refusal("503 Busy", "")...))
	up := targetstest.New(t, echo)
	cfg, sink := config(down.URL())
	cfg.Endpoint.Model = "first"
	cfg.Others = map[string]targets.Endpoint{"spare": {URL: up.URL(), Model: "second"}}
	cfg.Clients = []attacks.Client{{Failover: &attacks.Failover{To: []string{"spare"}}}}
	models, plain := fixed(50, 5), fixed(50, 6)
	models.Models = map[string]attacks.Share{"lora": 1}
	cfg.Workload = attacks.Workload{models, plain}
	attackUntil(t, cfg, sink, 20)
	for name, server := range map[string]*targetstest.Server{"first": down, "second": up} {
		seen := map[string]int{}
		for _, r := range server.Requests() {
			var body struct {
				Model     string `json:"model"`
				MaxTokens int    `json:"max_tokens"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			if want := map[int]string{5: "lora", 6: name}[body.MaxTokens]; body.Model != want {
				t.Errorf("the %s endpoint was asked for %s, want %s", name, body.Model, want)
			}
			seen[body.Model]++
		}
		if len(seen) != 2 {
			t.Errorf("the %s endpoint was asked for %v", name, seen)
		}
	}
}
