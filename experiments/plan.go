package experiments

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A Plan is one experiment file, read and checked. It is made by Load.
type Plan struct {
	// Experiment is its name: a part of the run's directory. Required.
	Experiment string `yaml:"experiment"`
	// About says what it is for. Optional.
	About string `yaml:"about"`
	// Seed of everything random. Optional; default a hash of the name, so that two runs agree.
	Seed uint64 `yaml:"seed"`
	// Stack is what is tested. Required.
	Stack targets.Spec `yaml:"stack"`
	// Attack is the load. Required.
	Attack AttackSpec `yaml:"attack"`
	// Phases are their lengths. Required.
	Phases PhaseSpec `yaml:"phases"`
	// Faults are what is broken, in the order of the file. Optional: without them the fault
	// phase is a negative control.
	Faults []FaultPlan `yaml:"faults"`
	// Guards end the run early. Optional.
	Guards []Guard `yaml:"guards"`
	// Hypotheses are what must stay true. Required, at least one.
	Hypotheses []Claim `yaml:"hypotheses"`
	// SLO is what goodput counts by. Optional, unless a claim is about goodput.
	SLO SLO `yaml:"slo"`

	// Source is the file's own text; the log keeps it.
	Source string `yaml:"-"`
	// Warnings are what is allowed and will disappoint: claims that cannot be decided with the
	// samples that the plan makes.
	Warnings Problems `yaml:"-"`
}

// AttackSpec is the load: when requests are due, what they say, who sends them. In a file it is that, or none.
type AttackSpec struct {
	// None puts no load on: real traffic is there, and is judged by what the servers tell of it alone. Else false.
	None bool `yaml:"-"`
	// Profile is when requests are due. Required.
	Profile attacks.Profile `yaml:"profile"`
	// Workload is what they say. Optional; default chat-short.
	Workload attacks.Workload `yaml:"workload"`
	// Clients are who sends them. Optional; default one kind of client, without a tier.
	Clients []attacks.Client `yaml:"clients"`
	// Endpoint is the name of the front door that they use. Optional, unless the stack has several.
	Endpoint string `yaml:"endpoint"`
	// Budget is the most that the load may use. Optional.
	Budget attacks.Budget `yaml:"budget"`
}

// UnmarshalText reads none.
func (a *AttackSpec) UnmarshalText(text []byte) error {
	if string(text) != "none" {
		return fmt.Errorf("attack %q isn't one of [none]: write {profile: {poisson: {rate: 100/s}}}, or none, to judge real traffic by the servers' own figures", text)
	}
	*a = AttackSpec{None: true}
	return nil
}

// SLO is how fast a request must be to count in goodput. A zero field asks for nothing.
type SLO struct {
	// TTFT, TPOT, E2E and Stall bound the request's own metric; TTFT bounds the E2E of an answer in one piece. Optional.
	TTFT  time.Duration `yaml:"ttft"`
	TPOT  time.Duration `yaml:"tpot"`
	E2E   time.Duration `yaml:"e2e"`
	Stall time.Duration `yaml:"stall"`
	// ITL bounds the mean of the request's gaps: that no single gap is longer is what Stall says. Optional.
	ITL time.Duration `yaml:"itl"`
}

// Validate returns what is wrong with s, or nil.
func (s SLO) Validate() []error {
	var errs []error
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if x := time.Duration(v.Field(i).Int()); x < 0 {
			errs = append(errs, fmt.Errorf("%s is negative: write a duration such as 2s", v.Type().Field(i).Tag.Get("yaml")))
		}
	}
	return errs
}

// LoadOptions are what Load needs to know. The zero value is usable.
type LoadOptions struct {
	// Kinds of faults that a plan may name. Optional; default faults.Kinds().
	Kinds []faults.Kind
	// LookupEnv finds the environment variables that keys and headers refer to; Load warns of those that are not set.
	// Optional; default: it does not look.
	LookupEnv func(name string) (string, bool)
	// judging takes faults, stack and attack as they are: a log stays readable when what they may be changes.
	judging bool
}

// Load reads an experiment file. Name is used in messages only. An error is Problems: every mistake
// that can be seen at once, in the order of the file.
func Load(name string, text []byte, opts LoadOptions) (*Plan, error) {
	if opts.Kinds == nil {
		opts.Kinds = faults.Kinds()
	}
	d := newDecoder(name)
	plan := &Plan{Source: string(text), Phases: PhaseSpec{Warmup: Length{For: DefaultWarmup}}}
	d.custom = map[reflect.Type]func(*yaml.Node, string, reflect.Value){
		reflect.TypeFor[FaultPlan](): faultDecoder{d, opts}.decode,
	}
	root := d.parse(text)
	if root == nil {
		return nil, d.problems.sort()
	}
	d.value(root, "", reflect.ValueOf(plan).Elem())
	c := checker{plan: plan, decoder: d, judging: opts.judging, lookup: opts.LookupEnv, loads: map[results.Phase][]attacks.Portion{}}
	c.check()
	if opts.judging {
		d.problems = slices.DeleteFunc(d.problems, func(p Problem) bool {
			return strings.HasPrefix(p.Path, "stack") || strings.HasPrefix(p.Path, "attack")
		})
	}
	if len(d.problems) > 0 {
		return nil, d.hidden(d.problems.sort())
	}
	plan.Warnings = c.warnings.sort()
	return plan, nil
}

// shapes says which keys are required, also of types whose packages cannot say it in a tag.
func shapes() map[reflect.Type]shape {
	return map[reflect.Type]shape{
		reflect.TypeFor[Plan]():               {required: []string{"experiment", "stack", "attack", "phases", "hypotheses"}},
		reflect.TypeFor[AttackSpec]():         {required: []string{"profile"}},
		reflect.TypeFor[PhaseSpec]():          {required: []string{"baseline", "fault"}},
		reflect.TypeFor[Length]():             {required: []string{"until", "max"}},
		reflect.TypeFor[attacks.Profile]():    {oneOf: attacks.ProfileKinds()},
		reflect.TypeFor[attacks.Part]():       {oneOf: attacks.ProfileKinds()},
		reflect.TypeFor[attacks.Prefix]():     {required: []string{"tokens"}},
		reflect.TypeFor[attacks.Turns]():      {required: []string{"count"}},
		reflect.TypeFor[attacks.Golden]():     {required: []string{"ask"}},
		reflect.TypeFor[attacks.Storm]():      {required: []string{"retries"}},
		reflect.TypeFor[attacks.Failover]():   {required: []string{"to"}},
		reflect.TypeFor[attacks.Constant]():   {required: []string{"rate"}},
		reflect.TypeFor[attacks.Poisson]():    {required: []string{"rate"}},
		reflect.TypeFor[attacks.Gamma]():      {required: []string{"rate", "cv"}},
		reflect.TypeFor[attacks.Stage]():      {required: []string{"to"}},
		reflect.TypeFor[attacks.Step]():       {required: []string{"steps"}},
		reflect.TypeFor[attacks.Level]():      {required: []string{"rate"}},
		reflect.TypeFor[attacks.Spike]():      {required: []string{"rate", "for"}},
		reflect.TypeFor[attacks.Herd]():       {required: []string{"users"}},
		reflect.TypeFor[attacks.Sine]():       {required: []string{"rate", "amplitude", "period"}},
		reflect.TypeFor[attacks.Trace]():      {required: []string{"file"}},
		reflect.TypeFor[targets.Spec]():       {oneOf: []string{"reference", "attach", "endpoints"}},
		reflect.TypeFor[targets.Endpoint]():   {required: []string{"url"}},
		reflect.TypeFor[targets.Metrics]():    {required: []string{"url"}},
		reflect.TypeFor[targets.Store]():      {oneOf: []string{"url", "file"}},
		reflect.TypeFor[targets.Dependency](): {required: []string{"control", "links"}},
		reflect.TypeFor[targets.GPU]():        {required: []string{"uuid"}},
	}
}

// Override applies settings of the command line, or of a log's header, to the plan:
// "resilience" (flawed or hardened; only of the reference stack; knobs that the file sets one by
// one stay) and "seed". An error leaves the plan as it was.
func (p *Plan) Override(settings map[string]string) error {
	next := *p
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		value := settings[key]
		var err error
		switch key {
		case "resilience":
			err = next.overrideResilience(value)
		case "seed":
			next.Seed, err = strconv.ParseUint(value, 10, 64)
			if err != nil {
				err = fmt.Errorf("%q is not a whole number of 0 or more", value)
			}
		default:
			known := []string{"resilience", "seed"}
			err = fmt.Errorf("no such setting, there are %s%s", strings.Join(known, " and "), DidYouMean(key, known))
		}
		if err != nil {
			return fmt.Errorf("override %s: %w", key, err)
		}
	}
	*p = next
	return nil
}

func (p *Plan) overrideResilience(value string) error {
	if p.Stack.Reference == nil {
		return errors.New("this stack is not the reference stack: only that has knobs to set")
	}
	reference := *p.Stack.Reference
	if err := reference.Resilience.UnmarshalText([]byte(value)); err != nil {
		return errors.New(WithSuggestion(err.Error()))
	}
	p.Stack.Reference = &reference
	return nil
}

// seedOf is the default seed: FNV-1a of the experiment's name, for good.
func seedOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return h.Sum64()
}

// Estimate is what the load comes to in all phases, the warm-up too, if each lasts as long as it may.
func (p *Plan) Estimate() (attacks.Estimate, error) {
	var e attacks.Estimate
	cfg := attacks.Config{Profile: p.Attack.Profile, Workload: p.Attack.Workload, Clients: p.Attack.Clients, Seed: p.Seed}
	for _, phase := range append([]results.Phase{results.Warmup}, results.JudgedPhases()...) {
		of, err := cfg.Estimate(phase, p.Phases.Of(phase).Limit())
		if err != nil {
			return attacks.Estimate{}, err
		}
		e = e.Plus(of)
	}
	return e, nil
}

// Load says in one line what the load comes to, and what it may use. "": nobody knows, and there is no bound.
func (p *Plan) Load() string {
	e, _ := p.Estimate() // a trace that cannot be read is the attack's to report
	return e.Within(p.Attack.Budget)
}

// Summary says in one line what the plan does: how long, how much load, how many faults and claims.
func (p *Plan) Summary() string {
	var longest time.Duration
	for _, phase := range append([]results.Phase{results.Warmup}, results.JudgedPhases()...) {
		longest += p.Phases.Of(phase).Limit()
	}
	var kinds []string
	for _, f := range p.Faults {
		kinds = append(kinds, f.Kind)
	}
	broken := "no faults"
	if len(kinds) > 0 {
		broken = strings.Join(kinds, ", ")
	}
	claims := "1 hypothesis"
	if n := len(p.Hypotheses); n != 1 {
		claims = fmt.Sprintf("%d hypotheses", n)
	}
	load := p.Attack.Profile.String()
	switch {
	case p.Attack.None:
		load = "real traffic and none of ours"
	case p.Attack.Workload.Converses():
		load = "conversations, " + load
	}
	return fmt.Sprintf("%s of %s, %s, %s", longest, load, broken, claims)
}
