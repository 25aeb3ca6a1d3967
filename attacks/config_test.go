package attacks_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

func env(name string) (string, bool) {
	value, ok := map[string]string{"PAID": "sk-paid", "FREE": "sk-free", "EMPTY": "", "BAD": "a\nb"}[name]
	return value, ok
}

// New names everything that is wrong at once, and no secret.
func TestNewRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*attacks.Config)
		want   []string
	}{
		{"nothing", func(c *attacks.Config) { *c = attacks.Config{} }, []string{"profile", "url", "clock", "sink", "run id"}},
		{"no profile", func(c *attacks.Config) { c.Profile = attacks.Profile{} }, []string{"{poisson: {rate: 100/s}}"}},
		{"two profiles", func(c *attacks.Config) { c.Profile.Poisson = &attacks.Poisson{Rate: 1} }, []string{"keep one"}},
		{"no rate", func(c *attacks.Config) { c.Profile.Constant.Rate = 0 }, []string{"profile: constant: rate is 0: write 100/s"}},
		{"half a workload", func(c *attacks.Config) { c.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 5}}} }, []string{"output_tokens is missing"}},
		{"unknown preset", func(c *attacks.Config) { c.Workload = attacks.Workload{{Preset: "x"}} }, []string{`"x" isn't one of [chat-short chat code `}},
		{"shares over 100%", func(c *attacks.Config) { c.Clients = []attacks.Client{{Share: 0.6}, {Share: 0.6}} }, []string{"come to 120%"}},
		{"shares under 100%", func(c *attacks.Config) { c.Clients = []attacks.Client{{Share: 0.6}} }, []string{"come to 60%"}},
		{"no share left", func(c *attacks.Config) { c.Clients = []attacks.Client{{Share: 1}, {}} }, []string{"shares come to 100% and leave next to nothing for the 1 client"}},
		{"hardly a share left", func(c *attacks.Config) { c.Clients = []attacks.Client{{Share: 0.997}, {}} }, []string{"shares come to 99.7% and leave next to nothing"}},
		{
			"client", func(c *attacks.Config) { c.Clients = []attacks.Client{{}, {Deadline: -1, Idle: -1, Retries: 99}} },
			[]string{"clients[1]: deadline", "clients[1]: idle", "clients[1]: retries 99"},
		},
		{"key written out", func(c *attacks.Config) { c.Clients = []attacks.Client{{Key: "sesame"}} }, []string{"clients[0]: key is written out"}},
		{"no scheme", func(c *attacks.Config) { c.Endpoint.URL = "host:80" }, []string{"endpoint: ", "http://host:port"}},
		{"password in the url", func(c *attacks.Config) { c.Endpoint.URL = "http://u:sesame@h" }, []string{"user or a password"}},
		{"key is not set", func(c *attacks.Config) { c.Endpoint.Key = "${GONE}" }, []string{"key: environment variable GONE is not set"}},
		{"key is empty", func(c *attacks.Config) { c.Endpoint.Key = "${EMPTY}" }, []string{"EMPTY is not set"}},
		{"key of a client", func(c *attacks.Config) { c.Clients = []attacks.Client{{Key: "${GONE}"}} }, []string{"GONE"}},
		{"bad reference", func(c *attacks.Config) { c.Endpoint.Key = "${A B}" }, []string{`"${A B}"`, "${NAME}"}},
		{"open reference", func(c *attacks.Config) { c.Endpoint.Key = "${A" }, []string{`"${A"`}},
		{"bad key", func(c *attacks.Config) { c.Endpoint.Key = "${BAD}" }, []string{"control characters"}},
		{"bad header value", func(c *attacks.Config) { c.Endpoint.Headers = map[string]string{"X": "${BAD}"} }, []string{`"X"`, "control characters"}},
		{"bad header name", func(c *attacks.Config) { c.Endpoint.Headers = map[string]string{"X Y": "1"} }, []string{`"X Y"`}},
		{"our header", func(c *attacks.Config) { c.Endpoint.Headers = map[string]string{"content-length": "1"} }, []string{"set by the attack"}},
		{"header twice", func(c *attacks.Config) { c.Endpoint.Headers = map[string]string{"X-org": "1", "x-org": "2"} }, []string{`headers "X-org" and "x-org"`}},
		{"header is not set", func(c *attacks.Config) { c.Endpoint.Headers = map[string]string{"X": "${GONE} ${GONE2}"} }, []string{"GONE is", "GONE2 is"}},
		{
			"key twice", func(c *attacks.Config) {
				c.Endpoint.Key, c.Endpoint.Headers = "${PAID}", map[string]string{"authorization": "Basic sesame"}
			},
			[]string{`header "authorization" and the key`},
		},
		{"unknown dialect", func(c *attacks.Config) { c.Endpoint.Dialect = "openai" }, []string{`endpoint: dialect "openai" isn't one of`}},
		{"no such ca", func(c *attacks.Config) { c.Endpoint.CA = "/no/such.pem" }, []string{"read ca", "/no/such.pem"}},
		{"empty ca", func(c *attacks.Config) { c.Endpoint.CA = empty }, []string{"holds no certificate"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _ := config("http://127.0.0.1:1")
			cfg.LookupEnv = env
			tt.change(&cfg)
			_, err := attacks.New(cfg)
			if err == nil {
				t.Fatal("New succeeded, want an error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("New = %v; want %q in it", err, want)
				}
			}
			for _, secret := range []string{"sesame", "a\nb"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("New = %v; holds a secret", err)
				}
			}
		})
	}
}

// A client sends its own key, else its tier's, else the endpoint's; and the endpoint's headers.
func TestKeysAndHeaders(t *testing.T) {
	server := targetstest.New(t, echo)
	cfg, sink := config(server.URL() + "/v1/")
	cfg.LookupEnv = env
	cfg.Endpoint.Key = "default-key"
	cfg.Endpoint.Keys = map[string]string{"free": "${FREE}", "paid": "unused"}
	cfg.Endpoint.Model = "tiny"
	cfg.Endpoint.Headers = map[string]string{"x-org": "o-${PAID}", "user-agent": "curl"}
	cfg.Clients = []attacks.Client{{Tier: "paid", Key: "${PAID}"}, {Tier: "free"}, {Tier: "other"}}
	cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 500}, OutputTokens: attacks.Length{Fixed: 77}}}
	got := attackUntil(t, cfg, sink, 30)
	byNonce := map[string]string{}
	a := newAttack(t, cfg)
	for _, s := range got {
		byNonce[a.Nonce(s.Index)] = s.Labels["tier"]
	}
	keys := map[string]string{"paid": "Bearer sk-paid", "free": "Bearer sk-free", "other": "Bearer default-key"}
	for _, r := range server.Requests() {
		tier := byNonce[nonceIn.FindString(string(r.Body))]
		want := http.Header{
			"Authorization": {keys[tier]}, "X-Org": {"o-sk-paid"}, "User-Agent": {"curl"}, "Content-Type": {"application/json"},
			"Accept": {"text/event-stream"}, "Accept-Encoding": {"identity"}, "Content-Length": r.Header["Content-Length"],
		}
		if r.Method != http.MethodPost || r.Path != "/v1/chat/completions" || len(r.Header) != len(want) {
			t.Errorf("%s %s %v; want POST /v1/chat/completions %v", r.Method, r.Path, r.Header, want)
		}
		for name := range want {
			if !slices.Equal(r.Header[name], want[name]) {
				t.Errorf("%s client: header %s is %q, want %q", tier, name, r.Header[name], want[name])
			}
		}
		var body struct {
			Model     string            `json:"model"`
			MaxTokens int               `json:"max_tokens"`
			Stream    bool              `json:"stream"`
			Messages  []targets.Message `json:"messages"`
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatalf("body %s: %v", r.Body, err)
		}
		text := body.Messages[len(body.Messages)-1].Content
		length := len(text) + len(body.Messages[0].Content)
		if body.Model != "tiny" || body.MaxTokens != 77 || !body.Stream || !strings.Contains(text, " id "+nonceIn.FindString(text)) ||
			length < 2000 || length > 2020 {
			t.Errorf("body %s: %d characters; want model tiny, 77 tokens, a stream, a nonce, 2000 characters", r.Body, length)
		}
	}
}

// TLS is trusted by the endpoint's CA and refused without; the stamps and the pool work as without it.
func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if _, err := w.Write([]byte(aLine + aLine + end)); err != nil {
			t.Error(err)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is refused on purpose
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, sink := config(server.URL)
	cfg.Endpoint.CA = file
	for _, s := range attackUntil(t, cfg, sink, 5) {
		if s.Outcome != results.Complete || len(s.Chunks) != 2 || !s.Chunks[1].Coalesced || s.Chunks[0].At < s.Sent {
			t.Errorf("sample %+v; want complete with two chunks of one read", s)
		}
	}
	got := one(t, server.URL, attacks.Client{})
	if got.Outcome != results.TLS || !strings.Contains(got.Error, "certificate") {
		t.Errorf("without the CA: %s: %s; want tls", got.Outcome, got.Error)
	}
}

// Where the environment names a proxy, a connection that fails says that it was not asked; never its value.
func TestProxiesAreNotUsed(t *testing.T) {
	for _, tt := range []struct{ name, url, want string }{
		{"HTTPS_PROXY", "https://pipe.test", "HTTPS_PROXY is set"},
		{"https_proxy", "https://pipe.test", "https_proxy is set"},
		{"HTTP_PROXY", "http://pipe.test", "HTTP_PROXY is set"},
		{"HTTPS_PROXY", "http://pipe.test", ""},
	} {
		cfg, sink := config(tt.url)
		cfg.LookupEnv = func(name string) (string, bool) { return "http://u:sesame@proxy", name == tt.name }
		a := newAttack(t, cfg)
		a.SetDial(func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED })
		a.BeginFor(results.Baseline, 10*time.Millisecond)
		wait := run(t, a)
		got := sink.wait(t, 1)[0]
		a.Stop()
		wait()
		if got.Outcome != results.Connect || !strings.Contains(got.Error, tt.want) ||
			strings.Contains(got.Error, "sesame") || tt.want == "" && strings.Contains(got.Error, "prox") {
			t.Errorf("with %s, %s is %s: %s; want connect, %q", tt.name, tt.url, got.Outcome, got.Error, tt.want)
		}
	}
}

// What experiment files say is read, and what they should say instead is told.
func TestScalars(t *testing.T) {
	for text, want := range map[string]attacks.Rate{"100/s": 100, "6000/m": 100, "6000/min": 100, "1800/h": 0.5, "0.5/s": 0.5, " 2 / s ": 2, "0/s": 0} {
		var r attacks.Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("Rate %q = %v, %v; want %v", text, r, err, want)
		}
		again, err := want.MarshalText()
		if err != nil || r.UnmarshalText(again) != nil || r != want {
			t.Errorf("Rate %v was written as %q, read as %v", want, again, r)
		}
	}
	for text, want := range map[string]string{
		"100": "write 100/s", "abc": "write 100/s", "": "write 100/s", "x/s": "no number", "-1/s": "not between",
		"1e9/s": "not between", "NaN/s": "not between", "5/d": "write 5/s",
	} {
		var r attacks.Rate
		if err := r.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || r != 0 {
			t.Errorf("Rate %q = %v, %v; want an error with %q", text, r, err, want)
		}
	}
	for text, want := range map[string]attacks.Share{"50%": 0.5, "100%": 1, "0.5%": 0.005, " 7 %": 0.07} {
		var s attacks.Share
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("Share %q = %v, %v; want %v", text, s, err, want)
		}
	}
	for _, text := range []string{"0.5", "0%", "101%", "-1%", "x%", "", "NaN%"} {
		var s attacks.Share
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "write 50%") {
			t.Errorf("Share %q = %v, %v; want an error", text, s, err)
		}
	}
	for _, preset := range attacks.Presets() {
		name := preset.Name
		var w attacks.Workload
		if err := w.UnmarshalText([]byte(name)); err != nil || w[0].Preset != name || len(w.Validate()) > 0 {
			t.Errorf("Workload %q = %+v, %v", name, w, err)
		}
	}
	var w attacks.Workload
	if err := w.UnmarshalText([]byte("chatty")); err == nil || !strings.Contains(err.Error(), "chat-short") {
		t.Errorf("Workload chatty = %v; want an error that lists the names", err)
	}
}

// The preset chat has the lengths of the trace that it is made from.
func TestChatLengths(t *testing.T) {
	jobs := phases(t, func(c *attacks.Config) { c.Profile.Poisson.Rate = 1000; c.Clients = nil }, results.Baseline)
	var prompts, outputs []int
	for _, j := range jobs[0] {
		var body struct {
			MaxTokens int               `json:"max_tokens"`
			Messages  []targets.Message `json:"messages"`
		}
		if err := json.Unmarshal([]byte(j.Body), &body); err != nil {
			t.Fatal(err)
		}
		prompts = append(prompts, len(body.Messages[1].Content)/4)
		outputs = append(outputs, body.MaxTokens)
	}
	slices.Sort(prompts)
	slices.Sort(outputs)
	n := len(outputs)
	for _, q := range []struct {
		name      string
		got, want int
	}{
		{"prompt p50", prompts[n/2], 1020},
		{"prompt p90", prompts[n*9/10], 2735},
		{"output p50", outputs[n/2], 129},
		{"output p90", outputs[n*9/10], 424},
	} {
		if d := float64(q.got) / float64(q.want); d < 0.9 || d > 1.1 {
			t.Errorf("%s is %d, want %d", q.name, q.got, q.want)
		}
	}
	if outputs[n-1] > 1000 || prompts[n-1] > 14100 || outputs[0] < 1 {
		t.Errorf("lengths go from %d to %d and %d", outputs[0], outputs[n-1], prompts[n-1])
	}
}
