package attacks_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/failwhale/failwhale/targets/targetstest"
)

// Bounds of what a fickle server does. A reset before a response comes later than one that could be a stale
// connection's.
const (
	fickleTokens = 12
	fickleApart  = 900 * time.Millisecond
	fickleReset  = 600 * time.Millisecond
	fickleStale  = 5 * time.Millisecond // over a pipe
)

// A mood is what a fickle server does with one request.
type mood struct {
	kind  string // of answer, or refusal
	wait  time.Duration
	later string   // Retry-After, of a 429
	texts []string // tokens, before the end
	apart time.Duration
	away  bool   // its connection takes nothing after it: GOAWAY
	end   string // proper, cut, fin, hang; of a stream
	close bool   // the connection, after a proper end
}

// A favour is a request as a fickle server had it, and what it did.
type favour struct {
	at     time.Time
	conn   int
	stream uint32 // of HTTP/2
	turns  int    // that had an answer, of which it tells
	mood   mood
	begun  int // tokens of which some was written
	tokens int // and all
	whole  bool
}

// fickle are servers who do with each request what a hash of their seed, of its conversation and of how many
// requests that had before says.
type fickle struct {
	seed  uint64
	other string // the nonce that leaks; whose own it is, nothing does

	mu    sync.Mutex
	of    map[string][]*favour // by nonce
	open  int                  // connections of the client
	dials int
	fins  map[int]time.Time // when connections of HTTP/2 ended
	lasts map[int]uint32    // the last stream of those that said so
}

// shut notes that all streams of a connection end.
func (f *fickle) shut(one *favour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fins[one.conn].IsZero() {
		f.fins[one.conn] = time.Now()
	}
}

// leave notes that a connection takes no stream after one.
func (f *fickle) leave(one *favour, last uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if before, is := f.lasts[one.conn]; !is || last < before {
		f.lasts[one.conn] = last
	}
}

// resent reports whether a request may be sent again because the server is proven not to have begun it: it said so, or
// its connection ended too soon after. mu is held.
func (f *fickle) resent(one *favour) bool {
	last, said := f.lasts[one.conn]
	fin := f.fins[one.conn]
	return one.mood.kind == "refused" || said && one.stream > last || !fin.IsZero() && fin.Sub(one.at) <= fickleStale
}

// take notes a request and decides.
func (f *fickle) take(r targetstest.Request, stream uint32) *favour {
	nonce := nonceIn.FindString(string(r.Body))
	f.mu.Lock()
	defer f.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", nonce, len(f.of[nonce]))
	rng := rand.New(rand.NewPCG(f.seed, h.Sum64()))
	one := &favour{at: r.At, conn: r.Conn, stream: stream, turns: strings.Count(string(r.Body), `"role":"assistant"`)}
	one.mood = f.drawMood(rng, strings.Contains(r.Path, "embeddings"), nonce)
	f.of[nonce] = append(f.of[nonce], one)
	return one
}

func (f *fickle) drawMood(rng *rand.Rand, whole bool, nonce string) mood {
	m := mood{kind: "good", end: "proper", close: rng.IntN(8) == 0, apart: time.Duration(rng.Int64N(int64(fickleApart)))}
	if rng.IntN(2) == 0 {
		m.wait = time.Duration(rng.Int64N(int64(4 * time.Second)))
	}
	for range rng.IntN(fickleTokens) {
		m.texts = append(m.texts, " word")
	}
	if rng.IntN(2) == 0 {
		m.texts = append(m.texts, nonce)
	}
	kinds := []string{
		"good", "good", "good", "good", "good", "cut", "hang", "503", "429", "429 later", "400", "stall", "reset", "error",
		"page", "leak", "leak in a 503", "empty", "golden", "refused", "gone", "away", "fin",
	}
	m.kind = kinds[rng.IntN(len(kinds))]
	if nonce == f.other && strings.HasPrefix(m.kind, "leak") {
		m.kind = "good"
	}
	switch m.kind {
	case "cut", "hang", "fin":
		m.end = m.kind
	case "away":
		m.kind, m.away = "good", true
	case "429 later":
		m.later = []string{"2", "2", "45", "3600"}[rng.IntN(4)] // more than any deadline; more than is heeded
	case "reset":
		m.wait += fickleReset
	case "leak":
		m.texts = append(m.texts, "for "+f.other)
	case "empty":
		m.texts = nil
	case "golden":
		m.texts = []string{"forty", "-two"}
	}
	if whole && (m.kind == "golden" || m.kind == "error") {
		m.kind = "good"
	}
	return m
}

// events are the bodies' pieces, each with how many tokens it has.
func (m *mood) events() (all []string, tokens []int) {
	add := func(n int, text string) { all, tokens = append(all, text), append(tokens, n) }
	data := func(n int, text string) { add(n, "data: "+text+"\n\n") }
	data(0, `{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`)
	for _, text := range m.texts {
		data(1, `{"choices":[{"index":0,"delta":{"content":"`+text+`"},"finish_reason":null}]}`)
	}
	switch {
	case m.kind == "error":
		data(0, `{"error":{"message":"the engine died"}}`)
		fallthrough
	case m.end == "proper":
		data(0, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)
		data(0, fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":%d}}`, len(m.texts)))
		data(0, "[DONE]")
	}
	return all, tokens
}

// embedding is a whole answer.
func (m *mood) embedding(other string) string {
	switch m.kind {
	case "empty":
		return `{"data":[],"usage":{"prompt_tokens":7}}`
	case "leak":
		return `{"data":[{"embedding":[0.5],"index":0}],"user":"` + other + `","usage":{"prompt_tokens":7}}`
	}
	return `{"data":[{"embedding":[0.5,0.25],"index":0}],"usage":{"prompt_tokens":7}}`
}

// refusal is a whole answer that is not of the dialect: a status, headers and a text. 0: it is no such.
func (m *mood) refusal(other string) (status int, header, text string) {
	switch m.kind {
	case "503":
		return 503, "", "busy"
	case "429":
		return 429, "", "slow down"
	case "429 later":
		return 429, m.later, "slow down for " + m.later
	case "400":
		return 400, "", "no"
	case "page":
		return 200, "", "<html>welcome</html>"
	case "leak in a 503":
		return 503, "", other
	}
	return 0, "", ""
}

// begin notes that n tokens are about to be written.
func (f *fickle) begin(one *favour, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.begun += n
}

// wrote notes that n tokens are, or the answer's end.
func (f *fickle) wrote(one *favour, n int, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.tokens += n
	one.whole = one.whole || whole
}

// handle answers over HTTP/1.1.
func (f *fickle) handle(r targetstest.Request) targetstest.Script {
	one := f.take(r, 0)
	m := &one.mood
	script := targetstest.Script{targetstest.Pause(m.wait)}
	note := func(n int, whole bool) {
		script = append(script, func(context.Context, net.Conn) error { f.wrote(one, n, whole); return nil })
	}
	say := func(text string) { script = append(script, targetstest.Send(text)) }
	status, later, text := m.refusal(f.other)
	switch {
	case m.kind == "stall":
		return append(script, targetstest.Hang())
	case m.kind == "reset", m.kind == "refused", m.kind == "gone":
		script[0] = targetstest.Pause(m.wait + fickleReset)
		return append(script, targetstest.RST())
	case status != 0:
		header := ""
		if later != "" {
			header = "Retry-After: " + later + "\r\n"
		}
		say(targetstest.Reply(fmt.Sprintf("%d Said", status), "text/html", header, text))
	case strings.Contains(r.Path, "embeddings"):
		body := m.embedding(f.other)
		say(chunkedHead + targetstest.Chunk(body[:9]))
		if m.end != "proper" {
			break
		}
		script = append(script, targetstest.Pause(m.apart))
		say(targetstest.Chunk(body[9:]) + targetstest.StreamEnd)
	default:
		say(targetstest.StreamHead)
		events, tokens := m.events()
		for i, event := range events {
			if tokens[i] > 0 {
				script = append(script, targetstest.Pause(m.apart))
			}
			script = append(script, func(context.Context, net.Conn) error { f.begin(one, tokens[i]); return nil })
			say(targetstest.Chunk(event))
			note(tokens[i], false)
		}
		if m.end == "proper" {
			say(targetstest.StreamEnd)
		}
	}
	switch {
	case m.end == "hang" && status == 0:
		script = append(script, targetstest.Hang())
	case m.end == "cut" && status == 0:
		script = append(script, targetstest.RST())
	case m.end == "fin" && status == 0:
		script = append(script, targetstest.BareFIN())
	default:
		note(0, true)
		if m.close {
			script = append(script, targetstest.BareFIN()) // the word by which TLS ends would wait for a reader
		}
	}
	return script
}

// answer answers over HTTP/2.
func (f *fickle) answer(s *targetstest.Stream2) {
	one := f.take(s.Request, s.ID)
	m := &one.mood
	s.Pause(m.wait)
	status, later, text := m.refusal(f.other)
	write := func(text string) bool { before := s.Write("", 1); return s.Write(text, 1<<14)-before == len(text) }
	switch {
	case m.kind == "stall":
		s.Hang()
		return
	case m.kind == "reset":
		s.Pause(fickleReset)
		s.Reset(http2.ErrCodeInternal)
		return
	case m.kind == "refused":
		s.Reset(http2.ErrCodeRefusedStream)
		return
	case m.kind == "gone":
		f.leave(one, s.ID-2)
		s.GoAway(s.ID-2, http2.ErrCodeNo, "")
		return
	case status != 0:
		s.Head(status, "content-type", "text/html", "retry-after", cmp.Or(later, "0"))
		s.Last(text)
		f.wrote(one, 0, true)
		return
	case strings.Contains(s.Path, "embeddings"):
		body := m.embedding(f.other)
		s.Head(200, "content-type", kind)
		write(body[:9])
		if m.end == "proper" {
			s.Pause(m.apart)
			write(body[9:])
		}
	default:
		s.Stream()
		events, tokens := m.events()
		for i, event := range events {
			if tokens[i] > 0 {
				s.Pause(m.apart)
			}
			if m.away && i == 1 {
				f.leave(one, s.ID)
				s.GoAway(s.ID, http2.ErrCodeNo, "")
			}
			f.begin(one, tokens[i])
			if write(event) {
				f.wrote(one, tokens[i], false)
			}
		}
	}
	switch m.end {
	case "hang":
		s.Hang()
	case "cut":
		s.Reset(http2.ErrCodeInternal)
	case "fin":
		f.shut(one)
		s.FIN()
	default:
		s.Last("")
		f.wrote(one, 0, true)
		if m.close {
			f.shut(one)
			s.FIN()
		}
	}
}

// A counted connection says when the client closes it.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

// dial connects, but for one connection in twelve, which is refused or never made.
func (f *fickle) dial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		f.mu.Lock()
		f.dials++
		n := rand.New(rand.NewPCG(f.seed, uint64(f.dials))).IntN(24)
		f.mu.Unlock()
		switch n {
		case 0:
			return nil, errors.New("refused")
		case 1:
			<-ctx.Done()
			return nil, ctx.Err()
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		f.open++
		f.mu.Unlock()
		return &counted{conn, sync.OnceFunc(func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.open--
		})}, nil
	}
}
