package refstack_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/refstack"
)

// A hardened stack, from a first chat through the loss of a region and a bad config.
func TestHardenedStack(t *testing.T) {
	s := startStack(t, targets.Hardened)
	t.Run("serves", func(t *testing.T) { s.T = t; serves(s) })
	t.Run("has the roles that plans are checked by", func(t *testing.T) { s.T = t; hasRoles(s) })
	t.Run("repeats", func(t *testing.T) { s.T = t; repeats(s) })
	t.Run("refuses in OpenAI's words", func(t *testing.T) { s.T = t; refuses(s) })
	t.Run("metrics", func(t *testing.T) { s.T = t; exposes(s) })
	t.Run("a dead region is steered around", func(t *testing.T) { s.T = t; outlivesRegion(s) })
	t.Run("a stopped region is steered around", func(t *testing.T) { s.T = t; outlivesStop(s) })
	t.Run("a null config is refused", func(t *testing.T) { s.T = t; refusesConfig(s) })
	t.Run("a good config is followed", func(t *testing.T) { s.T = t; followsConfig(s) })
	t.Run("a slow store is left out", func(t *testing.T) { s.T = t; leavesStore(s) })
	s.T = t
}

func hasRoles(s *testStack) {
	want, _ := targets.Spec{Reference: &targets.Reference{Replicas: 2}}.Roles()
	got := map[string][]string{
		"region": slices.Collect(maps.Keys(s.Regions)), "store": slices.Collect(maps.Keys(s.Stores)),
		"dependency": slices.Collect(maps.Keys(s.Dependencies)), "gpu": slices.Collect(maps.Keys(s.GPUs)),
	}
	for role := range want {
		slices.Sort(want[role])
		slices.Sort(got[role])
		if !slices.Equal(want[role], got[role]) {
			s.Errorf("the stack has %s %q; Spec.Roles() says %q", role, got[role], want[role])
		}
	}
}

func serves(s *testStack) {
	seen := map[string]int{}
	for i := range 30 {
		c := s.chat(request{nonce: nonce(i), words: 20, output: 5})
		s.complete(c, nonce(i), 5)
		seen[c.region]++
		if !strings.HasPrefix(c.replica, c.region+"/") {
			s.Errorf("X-Replica = %q in region %q", c.replica, c.region)
		}
	}
	if len(seen) != 3 {
		s.Errorf("30 users were served by %v, want all three regions", seen)
	}
	if c := s.chat(request{region: "west", output: 1}); c.region != "west" {
		s.Errorf("with X-Region: west the answer came from %q", c.region)
	}
	_, _, text := s.call(http.MethodPost, s.Endpoints["edge"].URL+"/v1/chat/completions",
		`{"max_completion_tokens":7,"messages":[{"role":"user","content":[{"type":"text","text":"id fw-12345678-123456789abc"}]}]}`,
		"Authorization", "Bearer sk-free")
	var whole struct {
		Choices []struct {
			Message struct{ Content string }
			Finish  string `json:"finish_reason"`
		}
		Usage struct {
			Output int `json:"completion_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(text), &whole); err != nil || len(whole.Choices) != 1 || whole.Usage.Output != 7 ||
		!strings.HasPrefix(whole.Choices[0].Message.Content, "fw-12345678-123456789abc ") || whole.Choices[0].Finish != "length" {
		s.Errorf("an answer in one piece = %s (%v), want 7 tokens after the nonce", text, err)
	}
}

// A user who asks for an exact repetition gets that and nothing else, a word a token; whatever else they ask, a story.
func repeats(s *testStack) {
	for _, c := range []struct {
		content      string
		max          int
		text, finish string
		tokens       int
	}{
		{"Repeat exactly: 42", 9, "42", "stop", 1},
		{"The reader has the id fw-12345678-123456789abc.\n\nRepeat exactly: a \"b\"\n c é  d", 9, "a \"b\"\n c é  d", "stop", 6},
		{"Repeat exactly: one two three", 2, "one two ", "length", 2},
		{"Do not Repeat exactly: 42", 3, "", "length", 3},
		{"Repeat exactly: ", 3, "", "length", 3},
	} {
		for _, stream := range []bool{true, false} {
			body, err := json.Marshal(map[string]any{
				"stream": stream, "stream_options": map[string]bool{"include_usage": true}, "max_tokens": c.max,
				"messages": []map[string]string{{"role": "user", "content": "Repeat exactly: 7"}, {"role": "assistant", "content": "7"}, {"role": "user", "content": c.content}},
			})
			if err != nil {
				s.Fatal(err)
			}
			_, _, answer := s.call(http.MethodPost, s.Endpoints["edge"].URL+"/v1/chat/completions", string(body), "Authorization", "Bearer sk-paid")
			got, chunks := readAnswer(s, answer)
			if c.text != "" && got.Message.Content != c.text || c.text == "" && got.Message.Content == "7" || got.Finish != c.finish || stream && chunks != c.tokens {
				s.Errorf("%q, stream %t: %q, %q in %d chunks; want %q, %q in %d", c.content, stream, got.Message.Content, got.Finish, chunks, c.text, c.finish, c.tokens)
			}
			if want := fmt.Sprintf(`"completion_tokens":%d,`, c.tokens); !strings.Contains(answer, want) {
				s.Errorf("%q, stream %t: %s; want %s", c.content, stream, answer, want)
			}
		}
	}
}

type choice struct {
	Message, Delta struct{ Content string }
	Finish         string `json:"finish_reason"`
}

// readAnswer joins an answer, streamed or not, and counts the chunks that had text.
func readAnswer(s *testStack, answer string) (all choice, chunks int) {
	s.Helper()
	for line := range strings.Lines(answer) {
		var e struct{ Choices []choice }
		line = strings.TrimSpace(strings.TrimPrefix(line, "data: "))
		if line == "" || line == "[DONE]" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.Fatalf("%s: %v", line, err)
		}
		for _, c := range e.Choices {
			all.Message.Content += c.Message.Content + c.Delta.Content
			all.Finish += c.Finish
			if c.Delta.Content != "" {
				chunks++
			}
		}
	}
	return all, chunks
}

func refuses(s *testStack) {
	edge := s.Endpoints["edge"].URL
	const chats = "/v1/chat/completions"
	for name, c := range map[string]struct {
		method, path, key, body string
		code                    int
		want                    string
	}{
		"no key":            {"POST", chats, "", "{}", 401, "invalid_api_key"},
		"another key":       {"POST", chats, "sk-gold", "{}", 401, "invalid_api_key"},
		"bad JSON":          {"POST", chats, "sk-paid", `{"messages":`, 400, "invalid_request_error"},
		"wrong type":        {"POST", chats, "sk-paid", `{"messages":"hello"}`, 400, "invalid_request_error"},
		"no messages":       {"POST", chats, "sk-paid", `{"messages":[]}`, 400, "messages is empty"},
		"no tokens":         {"POST", chats, "sk-paid", `{"max_tokens":0,"messages":[{"content":"x"}]}`, 400, "max_tokens is 0"},
		"too many tokens":   {"POST", chats, "sk-paid", `{"max_tokens":99999,"messages":[{"content":"x"}]}`, 400, "max_tokens is 99999"},
		"several answers":   {"POST", chats, "sk-paid", `{"n":2,"messages":[{"content":"x"}]}`, 400, "n is 2"},
		"unknown model":     {"POST", chats, "sk-paid", `{"model":"9b","messages":[{"content":"x"}]}`, 404, "model_not_found"},
		"too long a prompt": {"POST", chats, "sk-paid", `{"messages":[{"content":"` + strings.Repeat("word ", 110_000) + `"}]}`, 400, "context_length_exceeded"},
		"unknown path":      {"POST", "/v1/embeddings", "sk-paid", "{}", 404, "isn't served"},
		"models":            {"GET", "/v1/models", "sk-paid", "", 200, refstack.ModelName},
		"models, no key":    {"GET", "/v1/models", "", "", 401, "invalid_api_key"},
	} {
		headers := []string{"Authorization", "Bearer " + c.key}
		code, _, text := s.call(c.method, edge+c.path, c.body, headers...)
		if code != c.code || !strings.Contains(text, c.want) || code >= 400 && !strings.HasPrefix(text, `{"error":{"message":`) {
			s.Errorf("%s: %s %s = %d %.300s, want %d and an OpenAI error with %q", name, c.method, c.path, code, text, c.code, c.want)
		}
	}
	if code, _, text := s.call(http.MethodPost, edge+chats, "{}", "X-Region", "north"); code != 400 || !strings.Contains(text, "[east west central]") {
		s.Errorf("with X-Region: north = %d %s, want 400 and the regions", code, text)
	}
	if code, _, text := s.call(http.MethodPost, s.Supervisor.URL+"/v1/processes/region-north/kill", ""); code != 404 || !strings.Contains(text, "region-west") {
		s.Errorf("kill region-north = %d %s, want 404 and the names", code, text)
	}
}

// address is where a region's own process listens: the status URL of its GPUs' host file has it.
func address(s *testStack, region string) string {
	s.Helper()
	u, err := url.Parse(s.Regions[region].URL)
	if err != nil {
		s.Fatal(err)
	}
	return u.Host
}

func exposes(s *testStack) {
	_, _, text := s.call(http.MethodGet, s.Regions["east"].URL+"/metrics", "")
	for _, want := range []string{
		`vllm:num_requests_running{engine="0",model_name="8b-chat"} 0`, `vllm:num_requests_waiting{engine="1"`, `vllm:kv_cache_usage_perc{`,
		`vllm:time_to_first_token_seconds_bucket{engine="0",model_name="8b-chat",le="0.25"}`, `vllm:inter_token_latency_seconds_sum{`,
		`vllm:iteration_tokens_total_count{engine="0",model_name="8b-chat"}`, `vllm:e2e_request_latency_seconds_count{`,
		`vllm:generation_tokens_total{`, `vllm:request_success_total{finished_reason="length",model_name="8b-chat"`,
		`refstack_session_store_connections`, `refstack_sessions_total{outcome="ok",region="east",what="load"}`,
	} {
		if !strings.Contains(text, want) {
			s.Errorf("metrics of region east lack %s", want)
		}
	}
	cancelsWork(s)
	_, _, text = s.call(http.MethodGet, s.Endpoints["edge"].URL+"/metrics", "")
	if want := `refstack_edge_requests_total{outcome="served",region="west"}`; !strings.Contains(text, want) {
		s.Errorf("metrics of the edge lack %s", want)
	}
}

// cancelsWork checks that a client that leaves takes its work along, through the edge.
func cancelsWork(s *testStack) {
	running := func() string {
		_, _, text := s.call(http.MethodGet, "http://"+address(s, "east")+"/metrics", "")
		var lines []string
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "vllm:num_requests_running{") {
				lines = append(lines, strings.TrimSpace(line[strings.LastIndex(line, " "):]))
			}
		}
		return strings.Join(lines, " ")
	}
	res, cancel, err := s.open(request{region: "east", output: 4096})
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	s.eventually("a stream of 4096 tokens is running in region east", func() bool { return strings.Contains(running(), "1") })
	cancel()
	s.eventually("nothing runs in region east after the client has left", func() bool { return running() == "0 0" })
}

func outlivesRegion(s *testStack) {
	before := s.count(s.Regions["east"].Touched)
	home := address(s, "east")
	res, cancel, err := s.open(request{region: "east", words: 20, output: 2000})
	if err != nil {
		s.Fatal(err)
	}
	defer cancel()
	defer func() { _ = res.Body.Close() }()
	first := make([]byte, 64)
	if _, err := io.ReadFull(res.Body, first); err != nil {
		s.Fatal(err)
	}
	s.order("kill", "region-east", targets.ProcessHeld)
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		s.Error("a stream whose region was killed ended cleanly, want a broken connection")
	}
	if c, err := new(net.Dialer).DialContext(s.Context(), "tcp", home); err == nil {
		_ = c.Close()
		s.Errorf("%s accepts connections after region east was killed", home)
	}
	for i := range 9 {
		c := s.chat(request{nonce: nonce(i), region: "east", output: 3})
		if s.complete(c, nonce(i), 3); c.region == "east" {
			s.Error("region east answered after it was killed")
		}
	}
	if got := s.count(s.Regions["east"].Touched); got < before+9 {
		s.Errorf("requests that met region east's failure = %d, want at least %d", got, before+9)
	}
	s.order("kill", "region-east", targets.ProcessHeld) // again
	s.order("start", "region-east", targets.ProcessRunning)
	s.order("start", "region-east", targets.ProcessRunning) // again
	if address(s, "east") != home {
		s.Errorf("region east came back at %s, want %s", address(s, "east"), home)
	}
	s.eventually("region east serves its users again", func() bool {
		return s.chat(request{region: "east", output: 1}).region == "east"
	})
	// Its restart took the session store along, and the others' breakers with it.
	s.eventually("sessions are kept again", func() bool {
		res, cancel, err := s.open(request{region: "west", output: 1})
		if err != nil {
			s.Fatal(err)
		}
		defer cancel()
		defer func() { _ = res.Body.Close() }()
		return res.Header.Get("X-Session") != "stateless"
	})
}

func outlivesStop(s *testStack) {
	s.order("stop", "region-west", targets.ProcessStopped)
	s.order("stop", "region-west", targets.ProcessStopped) // again
	for i := range 3 {
		c := s.chat(request{nonce: nonce(i), region: "west", output: 3})
		if s.complete(c, nonce(i), 3); c.region == "west" {
			s.Error("region west answered while it was stopped")
		}
	}
	s.order("start", "region-west", targets.ProcessRunning)
	s.eventually("region west serves its users again", func() bool {
		return s.chat(request{region: "west", output: 1}).region == "west"
	})
	// A stack with a stopped process must end too: startStack's cleanup sees to it.
	s.order("stop", "region-central", targets.ProcessStopped)
}

// push replaces the router config and returns what was there, and the way back.
func (s *testStack) push(edit func(was string) string) (undo func()) {
	s.Helper()
	store := s.Stores["router_config"].URL
	_, h, was := s.call(http.MethodGet, store, "")
	code, h, text := s.call(http.MethodPut, store, edit(was), "If-Match", h.Get("ETag"))
	if code != http.StatusNoContent {
		s.Fatalf("PUT %s = %d %s, want 204", store, code, text)
	}
	return func() {
		s.Helper()
		if code, _, text := s.call(http.MethodPut, store, was, "If-Match", h.Get("ETag")); code != http.StatusNoContent {
			s.Fatalf("PUT of what was there = %d %s, want 204", code, text)
		}
	}
}

func nullPools(was string) string {
	var doc map[string]any
	if err := json.Unmarshal([]byte(was), &doc); err != nil {
		return "unreadable"
	}
	doc["pools"] = nil
	text, err := json.Marshal(doc)
	if err != nil {
		return "unwritable"
	}
	return string(text)
}

func refusesConfig(s *testStack) {
	before := s.processes()
	undo := s.push(nullPools)
	s.eventually("every reader has read it", func() bool { return s.count(s.Stores["router_config"].Readers) >= 2 })
	for _, region := range []string{"east", "west"} {
		c := s.chat(request{region: region, output: 3})
		if s.complete(c, "", 3); c.region != region {
			s.Errorf("region %s did not serve with a bad config in the store, %s did", region, c.region)
		}
	}
	undo()
	for name, p := range s.processes() {
		if p.Restarts != before[name].Restarts || p.PID != before[name].PID {
			s.Errorf("%s restarted: %+v, before %+v", name, p, before[name])
		}
	}
}

func followsConfig(s *testStack) {
	s.order("start", "region-central", targets.ProcessRunning)
	s.push(func(was string) string {
		return strings.Replace(was, `"output_tokens": 4096`, `"output_tokens": 40`, 1)
	})
	for _, region := range []string{"central", "east", "west"} { // central is the first by name
		s.eventually("region "+region+" has the new limit", func() bool {
			return s.chat(request{region: region, output: 41}).status == http.StatusBadRequest
		})
	}
	s.complete(s.chat(request{region: "west", output: 40}), "", 40)
	s.push(func(was string) string { return strings.Join(strings.Fields(strings.Replace(was, "0,", "", 1)), " ") }) // replica 0 of 0, 1
	s.eventually("region west routes to replica 1 alone", func() bool {
		for range 4 {
			if s.chat(request{region: "west", output: 1}).replica != "west/1" {
				return false
			}
		}
		return true
	})
}

func leavesStore(s *testStack) {
	d := s.Dependencies["session_store"]
	const id = "test"
	for _, link := range d.Links {
		code, _, text := s.call(http.MethodPut, d.Control+"/v1/links/"+link+"/fault",
			`{"id":"`+id+`","lease":"60s","latency":"300ms","direction":"down","seed":1}`)
		if code != http.StatusOK {
			s.Fatalf("PUT fault on %s = %d %s", link, code, text)
		}
	}
	s.eventually("region west is stateless", func() bool {
		res, cancel, err := s.open(request{region: "west", output: 1})
		if err != nil {
			s.Fatal(err)
		}
		defer cancel()
		defer func() { _ = res.Body.Close() }()
		return res.StatusCode == http.StatusOK && res.Header.Get("X-Session") == "stateless"
	})
	s.complete(s.chat(request{region: "west", output: 3}), "", 3)
	for _, link := range d.Links {
		s.call(http.MethodDelete, d.Control+"/v1/links/"+link+"/fault?id="+id, "")
	}
}
