package attacks

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/failwhale/failwhale/results"
)

// Validate returns what is wrong with b, or nil.
func (b Budget) Validate() []error {
	var errs []error
	for _, f := range []struct {
		name string
		n    int64
	}{{"requests", b.Requests}, {"tokens", b.Tokens}} {
		if f.n < 0 {
			errs = append(errs, fmt.Errorf("%s %d is negative: write 1 or more, or leave it out for no bound", f.name, f.n))
		}
	}
	return errs
}

// String says it in words: "5,000 requests, 1,000,000 tokens". "": there is no bound.
func (b Budget) String() string {
	var parts []string
	add := func(n int64, what string) {
		if n != 1 {
			what += "s"
		}
		if n > 0 {
			parts = append(parts, thousands(n)+" "+what)
		}
	}
	add(b.Requests, "request")
	add(b.Tokens, "token")
	return strings.Join(parts, ", ")
}

// thousands writes 1,234,567.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// bytesPerPromptToken is what a prompt's tokens are guessed by before a server has counted them: text has four to
// five bytes a token, and a request has its JSON around it.
const bytesPerPromptToken = 4

// An ask is the most that one attempt at a turn is expected to use.
type ask struct{ prompt, output int64 }

// asks guesses it by the turn as it goes over the wire. What is no text, an upload, has no tokens that we could count.
func (t *turn) asks() ask {
	head, body, _ := bytes.Cut(t.request, []byte("\r\n\r\n"))
	a := ask{output: int64(t.ask.MaxTokens)}
	if !bytes.Contains(head, []byte("\r\nContent-Type: multipart/")) {
		a.prompt = int64(len(body)+bytesPerPromptToken-1) / bytesPerPromptToken
	}
	return a
}

// A purse is what an attack may use and has used. Before an attempt, what it may use is put aside; after it, what it
// did use is counted. So used and aside together are never over the bound, however many attempts are under way:
// but where a server counts more than was put aside, which is known only once it has.
//
// Who finds too little ends the load: nothing more is sent then, not even what would still fit. A nil purse has no
// bound and costs nothing. It is safe for concurrent use.
type purse struct {
	most  Budget
	close func() // ends the load

	mu          sync.Mutex
	used, aside Budget
	spent       string // why something was refused; "": nothing was
}

// newPurse returns nil for no bound.
func newPurse(b Budget, end func()) *purse {
	if b == (Budget{}) {
		return nil
	}
	return &purse{most: b, close: end}
}

// take puts aside what an attempt asks for; false: it may not be made.
func (p *purse) take(a ask) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spent != "" {
		return false
	}
	tokens := a.prompt + a.output
	switch {
	case p.most.Requests > 0 && p.used.Requests+p.aside.Requests+1 > p.most.Requests:
		p.spent = Budget{Requests: p.most.Requests}.String()
	case p.most.Tokens > 0 && p.used.Tokens+p.aside.Tokens+tokens > p.most.Tokens:
		p.spent = Budget{Tokens: p.most.Tokens}.String()
	default:
		p.aside.Requests++
		p.aside.Tokens += tokens
		return true
	}
	p.close()
	return false
}

// empty reports whether something was refused, and so all that follows is. A nil purse never is.
func (p *purse) empty() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spent != ""
}

// settle counts what an attempt has used, for which a was put aside.
func (p *purse) settle(a ask, t *try) {
	if p == nil {
		return
	}
	tokens := t.used(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aside.Requests--
	p.aside.Tokens -= a.prompt + a.output
	p.used.Requests++
	p.used.Tokens += tokens
}

// used is how many tokens an attempt took: as the server counted them; where it did not, the prompt as it was guessed
// and what came of the answer. Who refused has read nothing, by any provider's bill; who fell silent, or died, may have.
func (t *try) used(a ask) int64 {
	in := t.in
	switch {
	case in == nil && t.unread():
		return 0
	case in == nil:
		return a.prompt
	}
	prompt, output := a.prompt, int64(in.counted)
	if in.usage != nil && in.usage.Prompt > 0 {
		prompt = int64(in.usage.Prompt)
	}
	if in.byServer() {
		output = int64(in.usage.Output)
	}
	return prompt + output
}

// unread reports whether no server has worked on the request: none was reached, or it refused.
func (t *try) unread() bool {
	switch t.outcome {
	case results.Connect, results.DNS, results.TLS:
		return true
	default:
		return t.status/100 != 2 && t.status != 0
	}
}

// Spending is what became of an attack's Budget.
type Spending struct {
	// Budget is what was used, with the most that attempts under way may still use. Of an attack without a bound it is zero.
	Budget
	// Spent is the part of the bound, in words, for which an attempt was not made, the first of them: "1,000 requests".
	// The load ended with it. "": nothing was kept back.
	Spent string
}

// Spent says what has become of the attack's Budget so far.
func (a *Attack) Spent() Spending {
	p := a.purse
	if p == nil {
		return Spending{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return Spending{
		Budget: Budget{Requests: p.used.Requests + p.aside.Requests, Tokens: p.used.Tokens + p.aside.Tokens},
		Spent:  p.spent,
	}
}
