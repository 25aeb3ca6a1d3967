package attacks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A Config is everything that New needs to know.
type Config struct {
	// Endpoint is where the load goes. Required.
	Endpoint targets.Endpoint
	// Name of Endpoint, as samples of clients that fail over call it. Optional; default "endpoint".
	Name string
	// Dialect it speaks. Optional; default the one that Endpoint.Dialect names.
	Dialect targets.Dialect
	// Profile, Workload and Clients are the load. Profile is required; no Clients is one with its defaults.
	Profile  Profile
	Workload Workload
	Clients  []Client
	// Requests is how many are due in all phases together, at most, each turn of a conversation one: then the schedule is at
	// its end. Optional; default as many as the profile has.
	Requests int64
	// Budget is the most that may be used: what it has no room for ends the schedule, and is not sent. Optional.
	Budget Budget
	// Others are the stack's other endpoints by their names, for clients that fail over. Optional.
	Others map[string]targets.Endpoint
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

// An Attack puts load on an endpoint. Begin, Stop and Live are safe for
// concurrent use, before, during and after Run.
type Attack struct {
	clock    results.Clock
	sink     results.Sink
	nonces   nonces
	load     load
	words    []string
	clients  []Client
	users    *users
	doors    []*door             // the first is Config.Endpoint
	ways     [][]*door           // of each client, those that it tries, in order
	budgets  []*retryBudget      // of each client; nil: no bound
	counters map[string]*counter // by model; without those that are not known
	agenda   *agenda
	purse    *purse // nil: no bound
	telling  telling
	live     liveCounts

	mu  sync.Mutex
	err error
}

// New prepares an attack and sends nothing. Its error names everything that is
// wrong with cfg at once, and holds no secret.
func New(cfg Config) (*Attack, error) {
	a := &Attack{
		clock: cfg.Clock, sink: cfg.Sink, nonces: newNonces(cfg.Run), words: strings.Fields(vocabulary),
		clients: slices.Clone(cfg.Clients), counters: map[string]*counter{},
	}
	if len(a.clients) == 0 {
		a.clients = []Client{{}}
	}
	for i := range a.clients {
		a.clients[i].Deadline = cmp.Or(a.clients[i].Deadline, DefaultDeadline)
		a.budgets = append(a.budgets, newRetryBudget(a.clients[i].RetryBudget))
	}
	a.users = newUsers(a.clients)
	cfg.Name = cmp.Or(cfg.Name, "endpoint")
	errs := cfg.check()
	first, err := cfg.newDoor(cfg.Name, cfg.Endpoint, a.clients)
	errs = append(errs, prefix("endpoint", err))
	others, wrong := cfg.otherDoors(a.clients)
	if err := errors.Join(append(errs, wrong...)...); err != nil {
		return nil, err
	}
	a.doors = append([]*door{first}, others...)
	a.ways = a.findWays()
	a.load, err = newLoad(cfg.Profile, cfg.Workload, a.clients, cfg.Seed)
	errs = append(errs, err)
	a.telling = newTelling(a.load.classes, a.clients)
	a.addCounters()
	a.agenda = newAgenda(a, cfg.Profile.Concurrency, first.url)
	a.agenda.most = cfg.Requests
	a.purse = newPurse(cfg.Budget, a.agenda.stop)
	return a, errors.Join(errs...)
}

// checkLoad returns what is wrong with the load.
func (cfg *Config) checkLoad() []error {
	var errs []error
	for _, err := range cfg.Budget.Validate() {
		errs = append(errs, prefix("budget", err))
	}
	if cfg.Requests < 0 {
		errs = append(errs, fmt.Errorf("requests %d is negative: write 1 or more, or leave it out", cfg.Requests))
	}
	for _, err := range cfg.Profile.Validate() {
		errs = append(errs, prefix("profile", err))
	}
	for i, class := range cfg.Workload {
		for _, err := range class.Validate() {
			errs = append(errs, prefix(fmt.Sprintf("workload[%d]", i), err))
		}
	}
	for i, c := range cfg.Clients {
		for _, err := range c.Validate() {
			errs = append(errs, prefix(fmt.Sprintf("clients[%d]", i), err))
		}
	}
	errs = append(errs, prefixed("clients", ValidateClients(cfg.Clients))...)
	if len(cfg.Workload) > 0 {
		errs = append(errs, prefixed("workload", cfg.Workload.Validate())...)
	}
	if len(errs) == 0 {
		for _, s := range Strangers(cfg.Profile, cfg.Workload, cfg.Clients) {
			errs = append(errs, errors.New(s.String()))
		}
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
		index: index, phase: phase, client: j.client, class: j.kind, seed: j.seed, nonce: a.nonces.of(index), closed: a.agenda.loop != nil,
		fresh: a.load.schedule.profile.at(from.Part).Herd != nil, user: a.users.draw(&j), golden: j.golden,
		ask: a.question(&j),
	}
	t.ask.Messages = a.prompt(phase, j, a.reader(t))
	t.conv = newConversation(&j, index)
	t.conv.begin(t.ask.Messages)
	return t, a.encode(t)
}

// encode writes a turn as it goes over the wire to the first door. What it says is not needed again, but by a
// conversation, which has it, and by clients who go to another door.
func (a *Attack) encode(t *turn) (err error) {
	t.request, err = a.doors[0].request(t)
	if a.clients[t.client].Failover == nil {
		t.ask.Messages = nil
	}
	return err
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
	defer func() {
		for _, d := range a.doors {
			d.close()
		}
	}()

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
// call comes that ends it. 100/s for 3 s are 300 requests. Conversations go on past it, as they do past Begin: their
// later turns are of the phase that is on when they are due.
func (a *Attack) BeginFor(p results.Phase, length time.Duration) { a.agenda.begin(p, length) }

// Stop ends the schedule: nothing further becomes due, and conversations end with the turn that is under way. Streams
// run on.
func (a *Attack) Stop() { a.agenda.stop() }

// Exhausted reports whether the schedule of the phase begun last has come to its end by itself, as that of a trace
// does, and all of it is due, with the last turns of all conversations.
func (a *Attack) Exhausted() bool { return a.agenda.isExhausted() }

// Live returns the figures of this moment.
func (a *Attack) Live() Live { return a.live.read(a.clock.Now()) }
