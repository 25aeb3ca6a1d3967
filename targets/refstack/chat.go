package refstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Response headers that say who answered.
const (
	headerRegion  = "X-Region"
	headerReplica = "X-Replica"
	// headerSession is loaded, new or stateless; headerRequests how many requests the user's slot of
	// the session store has had.
	headerSession  = "X-Session"
	headerRequests = "X-Session-Requests"
)

// keys are the API keys that the stack accepts, by tier.
func keys() map[string]string {
	all := map[string]string{}
	for _, tier := range tiers() {
		all[tier] = "sk-" + tier
	}
	return all
}

// chats serves the OpenAI-compatible API of one region.
type chats struct {
	region   string
	gateway  *gateway
	sessions *sessions
	metrics  *metrics
	nonce    *regexp.Regexp
	idPrefix string
	tierOf   map[string]string // by key
	ids      atomic.Uint64

	answered, failed atomic.Uint64
}

func newChats(region string, g *gateway, s *sessions, m *metrics) *chats {
	c := &chats{
		region: region, gateway: g, sessions: s, metrics: m, nonce: regexp.MustCompile(noncePattern),
		idPrefix: fmt.Sprintf("chatcmpl-%s-%x-", region, time.Now().UnixMilli()), tierOf: map[string]string{},
	}
	for tier, key := range keys() {
		c.tierOf[key] = tier
	}
	return c
}

// service is how the region has answered so far, for who decides whether a config is good.
func (c *chats) service() Service {
	return Service{Answered: c.answered.Load(), Failed: c.failed.Load()}
}

func (c *chats) refuse(w http.ResponseWriter, e *apiError) {
	c.count(e)
	e.writeTo(w)
}

func (c *chats) count(e *apiError) {
	c.answered.Add(1)
	if e.Status >= 500 || e.Status == http.StatusNotFound {
		c.failed.Add(1)
	}
	c.metrics.refused.WithLabelValues(strconv.Itoa(e.Status)).Inc()
}

// tier authenticates.
func (c *chats) tier(r *http.Request) (string, *apiError) {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if tier := c.tierOf[key]; ok && tier != "" {
		return tier, nil
	}
	return "", &apiError{
		Status: http.StatusUnauthorized, Type: "invalid_request_error", Code: "invalid_api_key",
		Message: "the API key is missing or wrong: send Authorization: Bearer sk-<tier>, tier one of " + strings.Join(tiers(), " "),
	}
}

// ServeHTTP serves POST /v1/chat/completions.
func (c *chats) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	w.Header().Set(headerRegion, c.region)
	tier, e := c.tier(r)
	if e != nil {
		c.refuse(w, e)
		return
	}
	body, e := readBody(w, r)
	if e != nil {
		c.refuse(w, e)
		return
	}
	p, e := parseChat(body, c.gateway.limits(), c.nonce)
	if e != nil {
		c.refuse(w, e)
		return
	}
	s, err := c.sessions.load(r.Context(), cmp.Or(p.User, p.nonce, "anonymous"))
	if c.metrics.session("load", err); err != nil && c.sessions.required {
		c.refuse(w, storeError(err))
		return
	}
	w.Header().Set(headerSession, sessionState(s, err))
	w.Header().Set(headerRequests, strconv.Itoa(s.Used))
	st, err := c.gateway.enter(p.Model, tier, p.tokens, p.output)
	if err != nil {
		c.refuse(w, c.enterError(w, err))
		return
	}
	defer c.gateway.leave(st)
	c.answer(w, r, &turn{chats: c, prompt: p, stream: st, session: s, times: c.metrics.follow(arrived)})
}

// session counts what became of a load or a save.
func (m *metrics) session(what string, err error) {
	outcome := "ok"
	switch {
	case errors.Is(err, errStateless):
		outcome = "not_asked"
	case err != nil:
		outcome = "failed"
	}
	m.sessions.WithLabelValues(what, outcome).Inc()
}

func sessionState(s session, err error) string {
	switch {
	case err != nil:
		return "stateless"
	case s.Turns == 0:
		return "new"
	}
	return "loaded"
}

func storeError(err error) *apiError {
	return &apiError{
		Status: http.StatusInternalServerError, Type: "server_error", Code: "session_store_unavailable",
		Message: "the conversation cannot be reached: " + err.Error(),
	}
}

// enterError words a refusal by the gateway.
func (c *chats) enterError(w http.ResponseWriter, err error) *apiError {
	var busy *busyError
	switch {
	case errors.As(err, &busy):
		w.Header().Set("Retry-After", strconv.Itoa(int(busy.after/time.Second)))
		return &apiError{
			Status: http.StatusTooManyRequests, Type: "rate_limit_error", Code: "rate_limit_exceeded",
			Message: err.Error(),
		}
	case errors.Is(err, errNoModel):
		return &apiError{Status: http.StatusNotFound, Type: "invalid_request_error", Param: "model", Code: "model_not_found", Message: err.Error()}
	}
	return &apiError{Status: http.StatusInternalServerError, Type: "server_error", Message: err.Error()}
}

// A turn is one admitted request.
type turn struct {
	chats   *chats
	prompt  *prompt
	stream  *stream
	session session
	times   *progress
	answer  *answer
}

// answer waits for the first token, so that headers come with it, and streams or collects the rest.
func (c *chats) answer(w http.ResponseWriter, r *http.Request, t *turn) {
	n, err := t.stream.next(r.Context(), 0)
	if err != nil {
		if r.Context().Err() == nil {
			c.refuse(w, &apiError{Status: http.StatusInternalServerError, Type: "server_error", Message: err.Error()})
		}
		return
	}
	now := time.Now()
	t.times.tokens(n, t.stream.replica.id, now)
	t.answer = newAnswer(c.idPrefix+strconv.FormatUint(c.ids.Add(1), 16), t.stream.model, now.Unix(), t.prompt)
	w.Header().Set(headerReplica, t.stream.replica.name)
	if t.prompt.Stream {
		err = t.streamTo(r.Context(), w, n)
	} else {
		err = t.collect(r.Context(), w, n)
	}
	if err == nil {
		c.answered.Add(1)
		t.times.done(time.Now())
	}
}

// streamTo writes one frame a token as they come. An error means that nothing further can be told.
func (t *turn) streamTo(ctx context.Context, w http.ResponseWriter, n int) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	flush := http.NewResponseController(w).Flush
	if _, err := w.Write(t.answer.roleFrame()); err != nil {
		return err
	}
	for sent := 0; ; {
		for ; sent < n; sent++ {
			if _, err := w.Write(t.answer.tokenFrame(sent)); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if sent >= t.prompt.output {
			break
		}
		var err error
		if n, err = t.stream.next(ctx, sent); err != nil {
			return err
		}
		t.times.tokens(n-sent, t.stream.replica.id, time.Now())
	}
	return t.finish(ctx, w)
}

// finish saves the session, then ends the stream: a conversation that is not saved must not look
// complete where sessions are required.
func (t *turn) finish(ctx context.Context, w http.ResponseWriter) error {
	var out []byte
	var failed error
	if e := t.save(ctx); e != nil {
		failed, out = e, errorFrame(e)
		t.chats.count(e)
	} else {
		out = append(out, t.answer.finishFrame()...)
		if t.prompt.StreamOptions.IncludeUsage {
			out = append(out, t.answer.usageFrame(t.prompt.tokens, t.prompt.output)...)
		}
	}
	_, err := w.Write(append(out, "data: [DONE]\n\n"...))
	return errors.Join(failed, err)
}

// collect waits for the last token and answers in one piece.
func (t *turn) collect(ctx context.Context, w http.ResponseWriter, n int) error {
	for n < t.prompt.output {
		next, err := t.stream.next(ctx, n)
		if err != nil {
			return err
		}
		t.times.tokens(next-n, t.stream.replica.id, time.Now())
		n = next
	}
	if e := t.save(ctx); e != nil {
		t.chats.refuse(w, e)
		return e
	}
	t.answer.writeWhole(w, t.prompt.tokens, t.prompt.output)
	return nil
}

func (t *turn) save(ctx context.Context) *apiError {
	t.session.Turns++
	err := t.chats.sessions.save(ctx, t.session)
	if t.chats.metrics.session("save", err); err != nil && t.chats.sessions.required {
		return storeError(err)
	}
	return nil
}
