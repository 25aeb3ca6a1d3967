package attacks_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// zip is text in gzip's format.
func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A prompt is one request as a server saw it.
type prompt struct {
	text   string // of the user's message
	whole  int    // characters of all messages
	output int
	nonce  string
}

// prompts replays a trace under fake time, in the phases given, until it is over, and returns what each request of
// each phase said, in order.
func prompts(t *testing.T, tr attacks.Trace, order ...results.Phase) (said [][]prompt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, sink := config(server.URL())
		cfg.Profile = attacks.Profile{Trace: &tr}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		for _, p := range order {
			before := len(sink.sorted())
			a.Begin(p)
			for !a.Exhausted() {
				time.Sleep(time.Second)
			}
			synctest.Wait()
			said = append(said, make([]prompt, len(sink.sorted())-before))
		}
		a.Stop()
		wait()
		byNonce := map[string]prompt{}
		for _, r := range server.Requests() {
			var body struct {
				Messages  []targets.Message `json:"messages"`
				MaxTokens int               `json:"max_tokens"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			p := prompt{text: body.Messages[1].Content, output: body.MaxTokens, nonce: nonceIn.FindString(string(r.Body))}
			p.whole = len(body.Messages[0].Content) + len(p.text)
			byNonce[p.nonce] = p
		}
		n := uint64(0)
		for _, phase := range said {
			for i := range phase {
				phase[i] = byNonce[a.Nonce(n)]
				n++
			}
		}
	})
	return said
}

// common is how many bytes two texts begin with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

const charsPerBlock = 512 * 4

// Requests of the Mooncake trace share exactly the text that their ids say, each is as long as it says, its nonce
// comes after what is shared, and one phase shares nothing with the next.
func TestBlocksAreSharedText(t *testing.T) {
	text := mooncake(t, 250)
	blocks, tokens := ids(t, text)
	said := prompts(t, trace(t, text), results.Baseline, results.Fault)
	if len(said[0]) != len(blocks) || len(said[1]) != len(blocks) {
		t.Fatalf("%d and %d requests, want %d each", len(said[0]), len(said[1]), len(blocks))
	}
	salt := strings.IndexByte(said[0][0].text, '\n') + 1
	var sharedChars, sharedTokens, allTokens float64
	seen := map[string]bool{} // leading text in whole blocks
	for i, p := range said[0] {
		if d := p.whole - 4*tokens[i]; d < 0 || d > 12 {
			t.Errorf("request %d is %d characters long, want %d tokens of 4", i, p.whole, tokens[i])
		}
		if at := strings.Index(p.text, p.nonce); at < len(p.text)-80 {
			t.Errorf("request %d has its nonce at %d of %d, want it after what is shared", i, at, len(p.text))
		}
		for j := range i {
			ids := 0
			for ids < len(blocks[i]) && ids < len(blocks[j]) && blocks[i][ids] == blocks[j][ids] {
				ids++
			}
			got := common(p.text, said[0][j].text) - salt
			if full := ids * charsPerBlock; got > full+80 || got < min(full, len(p.text)-200, len(said[0][j].text)-200) {
				t.Fatalf("requests %d and %d begin with %d characters alike; they share %d blocks", i, j, got, ids)
			}
		}
		if alike := common(p.text, said[1][i].text); alike > 8 {
			t.Errorf("request %d begins with %d characters of the phase before", i, alike)
		}
		cached := 0
		for ; (cached+1)*charsPerBlock <= len(p.text)-salt && seen[p.text[salt:salt+(cached+1)*charsPerBlock]]; cached++ {
		}
		for n := cached + 1; salt+n*charsPerBlock <= len(p.text); n++ {
			seen[p.text[salt:salt+n*charsPerBlock]] = true
		}
		sharedChars += float64(cached * charsPerBlock)
		allTokens += float64(tokens[i])
	}
	known := map[string]bool{}
	for _, row := range blocks {
		for n := range row {
			if key := fmt.Sprint(row[:n+1]); known[key] {
				sharedTokens += 512
			} else {
				known[key] = true
			}
		}
	}
	if got, want := sharedChars/4/allTokens, sharedTokens/allTokens; want < 0.03 || got < want-0.02 || got > want {
		t.Errorf("%.3f of the characters are a prefix that was sent before; by the ids it is %.3f", got, want)
	}
}

// Requests of a trace without blocks have its lengths, and words of their own.
func TestTracedLengths(t *testing.T) {
	said := prompts(t, attacks.Trace{File: "testdata/azure-2023.csv", Speed: 10_000}, results.Baseline)[0]
	var got [][2]int
	for _, p := range said {
		got = append(got, [2]int{p.whole / 4, p.output})
	}
	if want := [][2]int{{374, 44}, {396, 109}, {879, 1}, {91, 16}}; !slices.EqualFunc(got, want, func(a, b [2]int) bool {
		return a[0] >= b[0] && a[0] <= b[0]+3 && a[1] == b[1]
	}) {
		t.Errorf("lengths are %v, want %v", got, want)
	}
	if alike := common(said[0].text, said[2].text); alike > 100 {
		t.Errorf("two requests begin with %d characters alike", alike)
	}
}
