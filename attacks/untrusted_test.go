package attacks_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// Whatever a server says, a sample holds a few kilobytes of it: the log has them all.
func TestWhatAServerSaysIsBounded(t *testing.T) {
	long := strings.Repeat("9", 1<<20)
	event := func(data string) targetstest.Script { return stream("data: "+data+"\n\n", end) }
	for name, script := range map[string]targetstest.Script{
		"status":     send("HTTP/1.1 500 " + long + "\r\nContent-Length: 0\r\n\r\n"),
		"media type": send("HTTP/1.1 200 OK\r\nContent-Type: text/" + long + "\r\nContent-Length: 2\r\n\r\nhi"),
		"number":     event(`{"choices":[],"usage":{"prompt_tokens":` + long + `}}`),
		"finish":     event(`{"choices":[{"delta":{"content":"hi"},"finish_reason":"` + long + `"}]}`),
		"error":      event(`{"error":{"message":"` + long + `"}}`),
		"label":      then(send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Region: "+long+"\r\n\r\n"+aLine), targetstest.FIN()),
		"encoding":   send("HTTP/1.1 200 OK\r\nContent-Encoding: " + long + "\r\nContent-Length: 2\r\n\r\nhi"),
	} {
		server := targetstest.New(t, targetstest.Always(script...))
		got := oneAt(t, targets.Endpoint{URL: server.URL(), Labels: map[string]targets.Label{"region": {Header: "X-Region"}}}, attacks.Client{})
		if n := len(got.Error) + len(got.Finish) + len(got.Labels["region"]); n > 5<<10 || n < 20 {
			t.Errorf("%s: %s with %d bytes of the server's words; want some, and no more than 5 KB", name, got.Outcome, n)
		}
	}
}

// A server that sends tokens for ever is left: what is kept of each would fill our memory within a deadline.
func TestAnEndlessAnswerIsLeft(t *testing.T) {
	event := `data: {"choices":[{"text":"a"}]}` + "\n\n"
	server := targetstest.New(t, func(targetstest.Request) targetstest.Script {
		all := send(targetstest.StreamHead)
		for range 12 {
			all = append(all, targetstest.Send(targetstest.Chunk(strings.Repeat(event, 100_000))))
		}
		return append(all, targetstest.Hang())
	})
	got := oneAt(t, targets.Endpoint{URL: server.URL(), Dialect: "openai-completions"}, attacks.Client{})
	if got.Outcome != results.Malformed || !strings.Contains(got.Error, "more than 1048576 chunks") || len(got.Chunks) > 1<<20+1000 {
		t.Errorf("%s, %q, with %d chunks; want it malformed with little more than 1048576", got.Outcome, got.Error, len(got.Chunks))
	}
}

// A count that no answer has is none, and its sample is not complete: sums, rates and budgets stay what they can be.
func TestCountsThatCannotBe(t *testing.T) {
	for _, n := range []string{"-1", "-9223372036854775808", "1000000001", "9223372036854775807"} {
		for name, usage := range map[string]string{
			"prompt": `{"prompt_tokens":%s,"completion_tokens":1}`, "output": `{"prompt_tokens":5,"completion_tokens":%s}`,
			"reasoning": `{"prompt_tokens":5,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":%s}}`,
		} {
			usage = fmt.Sprintf(usage, n)
			server := targetstest.New(t, targetstest.Always(stream(aLine, `data: {"choices":[],"usage":`+usage+"}\n\n", end)...))
			got := oneAt(t, targets.Endpoint{URL: server.URL()}, attacks.Client{})
			if got.Outcome != results.LengthMismatch || !strings.Contains(got.Error, n) || got.Usage.Prompt != 0 || got.Usage.Output != 1 || got.Tokens() != 1 {
				t.Errorf("%s %s: %s, %q, usage %+v, %d tokens; want length_mismatch, and the one that came", name, n, got.Outcome, got.Error, got.Usage, got.Tokens())
			}
		}
		server := targetstest.New(t, targetstest.Always(reply(`{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":`+n+`}}`)...))
		if got := oneAt(t, targets.Endpoint{URL: server.URL(), Dialect: "openai-embeddings"}, attacks.Client{}); got.Outcome != results.LengthMismatch || got.Usage.Prompt != 0 {
			t.Errorf("embedding of %s tokens: %s, %q, usage %+v; want length_mismatch", n, got.Outcome, got.Error, got.Usage)
		}
	}
}
