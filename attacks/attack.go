package attacks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"golang.org/x/net/http/httpguts"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A Config is everything that New needs to know.
type Config struct {
	// Endpoint is where the load goes. Required.
	Endpoint targets.Endpoint
	// Dialect it speaks. Optional; default the one that Endpoint.Dialect names.
	Dialect targets.Dialect
	// Profile, Workload and Clients are the load. Profile is required; no Clients is one with its defaults.
	Profile  Profile
	Workload Workload
	Clients  []Client
	// Seed decides all that is random: equal seeds give equal due times, lengths, prompts and clients.
	Seed uint64
	// Clock stamps. Required.
	Clock results.Clock
	// Sink takes a sample for every request that was sent. Required. An error of it ends the attack.
	Sink results.Sink
	// Run is a short id of the run and a part of every nonce. Required.
	Run string
	// LookupEnv resolves ${NAME} in keys and headers. Optional; without, every reference is an error.
	LookupEnv func(name string) (string, bool)
}

// An Attack puts load on one endpoint. Begin, Stop and Live are safe for
// concurrent use, before, during and after Run.
type Attack struct {
	clock   results.Clock
	sink    results.Sink
	dialect targets.Dialect
	model   string
	labels  map[string]targets.Label
	nonces  nonces
	load    load
	words   []string
	clients []Client
	heads   [][]byte // each client's request up to the content length
	counter *counter // nil: the model is not known
	pool    *pool
	agenda  *agenda
	live    liveCounts

	mu  sync.Mutex
	err error
}

// New prepares an attack and sends nothing. Its error names everything that is
// wrong with cfg at once, and holds no secret.
func New(cfg Config) (*Attack, error) {
	a := &Attack{
		clock: cfg.Clock, sink: cfg.Sink, dialect: cfg.Dialect, labels: cfg.Endpoint.Labels,
		model: cmp.Or(cfg.Endpoint.Model, "default"), nonces: newNonces(cfg.Run),
		words: strings.Fields(vocabulary), clients: slices.Clone(cfg.Clients),
	}
	errs := cfg.check()
	if a.dialect == nil {
		var err error
		if a.dialect, err = targets.DialectNamed(cfg.Endpoint.Dialect); err != nil {
			errs = append(errs, prefix("endpoint", err))
			a.dialect = targets.Dialects()[0]
		}
	}
	if len(a.clients) == 0 {
		a.clients = []Client{{}}
	}
	for i := range a.clients {
		a.clients[i].Deadline = cmp.Or(a.clients[i].Deadline, DefaultDeadline)
	}
	path, _, err := a.dialect.Encode(targets.Prompt{Model: a.model, MaxTokens: 1})
	errs = append(errs, err)
	u, err := targets.JoinURL(cfg.Endpoint.URL, path)
	errs = append(errs, prefix("endpoint", err))
	roots, err := trust(cfg.Endpoint.CA)
	errs = append(errs, prefix("endpoint", err))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if u.User != nil {
		return nil, errors.New("endpoint: url holds a user or a password: write key: ${NAME} or headers instead")
	}
	a.load, err = newLoad(cfg.Profile, cfg.Workload, a.clients, cfg.Seed)
	errs = append(errs, prefix("profile", err))
	for i := range a.clients {
		head, err := cfg.head(a.dialect, u, &a.clients[i])
		a.heads = append(a.heads, head)
		errs = append(errs, err)
	}
	a.counter = newCounter(a.model)
	a.pool = newPool(u, roots, cfg.Clock, newDialer().DialContext)
	a.pool.proxy = proxyNote(u.Scheme, cfg.LookupEnv)
	a.agenda = newAgenda(a, cfg.Profile.Concurrency, u.String())
	return a, errors.Join(errs...)
}

// checkLoad returns what is wrong with the load.
func (cfg *Config) checkLoad() []error {
	var errs []error
	for _, err := range cfg.Profile.Validate() {
		errs = append(errs, prefix("profile", err))
	}
	for _, err := range cfg.Workload.Validate() {
		errs = append(errs, prefix("workload", err))
	}
	for i, c := range cfg.Clients {
		for _, err := range c.Validate() {
			errs = append(errs, prefix(fmt.Sprintf("clients[%d]", i), err))
		}
	}
	for _, err := range ValidateClients(cfg.Clients) {
		errs = append(errs, prefix("clients", err))
	}
	return errs
}

// check returns what is wrong with the load and with what the caller must give.
func (cfg *Config) check() []error {
	errs := cfg.checkLoad()
	if cfg.Clock.Started().IsZero() {
		errs = append(errs, errors.New("config has no clock: make one by results.NewClock"))
	}
	if cfg.Sink == nil {
		errs = append(errs, errors.New("config has no sink for the samples"))
	}
	if cfg.Run == "" {
		errs = append(errs, errors.New("config has no run id"))
	}
	return errs
}

// head writes a client's request up to the content length. Nothing of vegeta's is in it. A header of the
// endpoint's wins over the dialect's of the same name, but for the one that carries the key.
func (cfg *Config) head(d targets.Dialect, u *url.URL, c *Client) ([]byte, error) {
	e := &cfg.Endpoint
	key, err := expand(cmp.Or(c.Key, e.Keys[c.Tier], e.Key), cfg.LookupEnv)
	errs := []error{prefix("key", err)}
	if !httpguts.ValidHeaderFieldValue(key) {
		errs = append(errs, errors.New("key has control characters"))
	}
	h := http.Header{"User-Agent": {"failwhale"}}
	unkeyed, keyed := d.Headers(""), d.Headers(key)
	for name, value := range unkeyed {
		h.Set(name, value)
	}
	written := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		value, err := expand(e.Headers[name], cfg.LookupEnv)
		errs = append(errs, prefix("header "+name, err), checkHeader(name, value))
		canonical := http.CanonicalHeaderKey(name)
		if other, twice := written[canonical]; twice {
			errs = append(errs, fmt.Errorf("headers %q and %q are the same one: remove one", other, name))
		}
		written[canonical] = name
		h[canonical] = []string{value}
	}
	for name, value := range keyed {
		if unkeyed[name] == value {
			continue
		}
		if other, twice := written[http.CanonicalHeaderKey(name)]; twice {
			errs = append(errs, fmt.Errorf("header %q and the key say the same thing: remove one", other))
		}
		h.Set(name, value)
	}
	ascii, err := httpguts.PunycodeHostPort(u.Host)
	errs = append(errs, err)
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), ascii)
	errs = append(errs, h.Write(&b))
	fmt.Fprintf(&b, "Content-Type: application/json\r\nAccept: %s\r\nAccept-Encoding: identity\r\nContent-Length: ", mediaType(d.Framing()))
	return []byte(b.String()), prefix("endpoint", errors.Join(errs...))
}

// mediaType is how a stream of that framing is called.
func mediaType(f targets.Framing) string {
	if f == targets.Lines {
		return "application/x-ndjson"
	}
	return "text/event-stream"
}

func prefix(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, err)
}

// write composes the request that is number k of its part of a phase and number index of the run.
func (a *Attack) write(phase results.Phase, from Arrival, k, index uint64) (*turn, error) {
	j := a.load.job(phase, from, k)
	t := &turn{
		index: index, client: j.client, seed: j.seed, nonce: a.nonces.of(index), output: j.output,
		closed: a.agenda.loop != nil,
	}
	_, body, err := a.dialect.Encode(targets.Prompt{
		Model: a.model, Messages: a.prompt(phase, j, t.nonce), MaxTokens: j.output,
	})
	if err != nil {
		return nil, err
	}
	head := a.heads[t.client]
	t.request = make([]byte, 0, len(head)+len(body)+16)
	t.request = append(t.request, head...)
	t.request = strconv.AppendInt(t.request, int64(len(body)), 10)
	t.request = append(append(t.request, "\r\n\r\n"...), body...)
	return t, nil
}

// Run lets vegeta drive until Stop was called and every stream has ended, or ctx
// has: what is left then is cancelled. It may be called once. The error is that of
// the sink, of ctx, of a limit of this machine, or a panic; never one of the server's.
func (a *Attack) Run(ctx context.Context) (err error) {
	if alarm, unsupported := newAlarm(); unsupported == nil { // else timers do alone
		a.agenda.alarm = alarm
		defer func() { err = errors.Join(err, alarm.close()) }()
	}
	abandoned := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() { a.agenda.abandon(); close(abandoned) })
	defer a.pool.close()

	r := &runner{Attack: a, ctx: ctx}
	attacker := vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: r}))
	for range attacker.Attack(a.agenda.target, a.agenda, 0, "") { // its results are not ours, see RoundTrip
	}
	a.agenda.close()
	r.turns.Wait()
	if !unhook() {
		<-abandoned
	}
	cause := context.Cause(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.err, a.agenda.failure(), cause)
}

// fail keeps the first error that ends the attack, and ends it.
func (a *Attack) fail(err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	a.err = cmp.Or(a.err, err)
	a.mu.Unlock()
	a.agenda.stop()
}

// Begin starts the seeded schedule of a phase, now; that of the phase before ends.
// Every judged phase has the same one: the same gaps, clients, lengths and texts;
// only the nonces differ. Warmup has another. After Stop it does nothing.
func (a *Attack) Begin(p results.Phase) { a.agenda.begin(p, 0) }

// BeginFor is Begin for a known length: what would be due at its end or after is not sent, however late the
// call comes that ends it. 100/s for 3 s are 300 requests.
func (a *Attack) BeginFor(p results.Phase, length time.Duration) { a.agenda.begin(p, length) }

// Stop ends the schedule: nothing further becomes due. Streams run on.
func (a *Attack) Stop() { a.agenda.stop() }

// Exhausted reports whether the schedule of the phase begun last has come to its end by itself, as that of a trace
// does, and all of it is due.
func (a *Attack) Exhausted() bool { return a.agenda.isExhausted() }

// Live returns the figures of this moment.
func (a *Attack) Live() Live { return a.live.read(a.clock.Now()) }
