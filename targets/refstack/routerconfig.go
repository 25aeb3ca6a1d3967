package refstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// RouterConfig is the versioned document that tells every region how to route.
// The edge's config outages were made of documents like this one: one field
// empty, and each consumer in the world reads it within seconds.
type RouterConfig struct {
	// Policy picks the replica. Required.
	Policy Policy `json:"policy"`
	// Pools of replicas, by the model's name. Required, at least one.
	Pools *Pools `json:"pools"`
	// Limits of a region. Required.
	Limits Limits `json:"limits"`
}

// Pools are pools by the model that they serve.
type Pools map[string]Pool

// A Pool is the replicas that serve one model.
type Pool struct {
	// Replicas by number. Required, at least one.
	Replicas []int `json:"replicas"`
	// Weight is the pool's share of the requests for the model "default". Optional; default 0.
	Weight int `json:"weight"`
}

// Limits bound what a region takes on. All are required.
type Limits struct {
	// QueueTokens may wait in a bounded queue; see QueueRules.
	QueueTokens int `json:"queue_tokens"`
	// OutputTokens is the most that one request may ask for, ContextTokens the most that its prompt
	// and output may come to.
	OutputTokens  int `json:"output_tokens"`
	ContextTokens int `json:"context_tokens"`
}

// ModelName is the name under which the reference stack serves.
const ModelName = "8b-chat"

// prefillRate is what one replica prefills: 28k to 32k tokens/s for an 8B model on an H100
// (70 to 80 % of the linear layers' rate, the rest being attention and scheduling).
const prefillRate = 30_000

// ttftTarget is the wait that a bounded queue allows for, in seconds: half of MLPerf's limit of
// 2 s for the 99th percentile of an 8B model's time to first token, the other half being left for
// the prefill itself and for slow replicas.
const ttftTarget = 1

// DefaultRouterConfig is what the stack starts with: one pool of all replicas.
func DefaultRouterConfig(policy Policy, replicas int) RouterConfig {
	all := make([]int, replicas)
	for i := range all {
		all[i] = i
	}
	return RouterConfig{
		Policy: policy,
		Pools:  &Pools{ModelName: {Replicas: all, Weight: 1}},
		Limits: Limits{QueueTokens: replicas * prefillRate * ttftTarget, OutputTokens: 4096, ContextTokens: 131_072},
	}
}

// encode is the document as a person would write it.
func (c RouterConfig) encode() ([]byte, error) {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode router config: %w", err)
	}
	return append(text, '\n'), nil
}

// maxRouterConfig is what CheckRouterConfig accepts in bytes: far more than a document of a
// sane number of pools takes.
const maxRouterConfig = 64 << 10

// CheckRouterConfig decodes text strictly and says everything that keeps a
// region of that many replicas from working with it. It is what the hardened
// consumer does before it lets a document near the router.
func CheckRouterConfig(text []byte, replicas int) (RouterConfig, error) {
	var c RouterConfig
	if len(text) > maxRouterConfig {
		return c, fmt.Errorf("check router config: %d bytes, want at most %d", len(text), maxRouterConfig)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("check router config: %w", err)
	}
	if err := d.Decode(new(json.RawMessage)); !errors.Is(err, io.EOF) {
		return c, errors.New("check router config: something follows the document")
	}
	if err := errors.Join(c.problems(replicas)...); err != nil {
		return c, fmt.Errorf("check router config: %w", err)
	}
	return c, nil
}

func (c RouterConfig) problems(replicas int) []error {
	var errs []error
	if c.Policy != RoundRobin && c.Policy != LeastOutstandingTokens {
		errs = append(errs, fmt.Errorf("policy %q isn't one of [%s %s]", c.Policy, RoundRobin, LeastOutstandingTokens))
	}
	if c.Pools == nil || len(*c.Pools) == 0 {
		errs = append(errs, errors.New("pools is null or empty: want at least one"))
	} else {
		for _, name := range slices.Sorted(maps.Keys(*c.Pools)) {
			errs = append(errs, (*c.Pools)[name].problems(name, replicas)...)
		}
	}
	for _, limit := range []struct {
		name            string
		n, least, large int
	}{
		{"queue_tokens", c.Limits.QueueTokens, 1000, 100_000_000},
		{"output_tokens", c.Limits.OutputTokens, 1, 131_072},
		{"context_tokens", c.Limits.ContextTokens, 1, Llama8BH100().KVTokens},
	} {
		if limit.n < limit.least || limit.n > limit.large {
			errs = append(errs, fmt.Errorf("limits.%s is %d: want %d to %d", limit.name, limit.n, limit.least, limit.large))
		}
	}
	return errs
}

func (p Pool) problems(name string, replicas int) []error {
	var errs []error
	if len(p.Replicas) == 0 {
		errs = append(errs, fmt.Errorf("pools.%s.replicas is empty: want at least one", name))
	}
	seen := map[int]bool{}
	for _, r := range p.Replicas {
		if r < 0 || r >= replicas || seen[r] {
			errs = append(errs, fmt.Errorf("pools.%s.replicas has %d: want each of 0 to %d at most once", name, r, replicas-1))
		}
		seen[r] = true
	}
	if p.Weight < 0 || p.Weight > 1000 {
		errs = append(errs, fmt.Errorf("pools.%s.weight is %d: want 0 to 1000", name, p.Weight))
	}
	return errs
}

// trustRouterConfig is the flawed consumer: it takes whatever the document decoded to so far and
// looks at no error. newRoutes then follows every pointer: a null pools is a nil dereference, a
// replica that is not there an index out of range, and either ends the process.
func trustRouterConfig(text []byte) RouterConfig {
	var c RouterConfig
	_ = json.Unmarshal(text, &c) // the flaw
	return c
}

// routes is a RouterConfig as the gateway uses it.
type routes struct {
	policy Policy
	limits Limits
	pools  map[string][]*replica
	spread []string // pools of the model "default", each as often as its weight
}

// newRoutes resolves c. It trusts c, as code behind a check may.
func newRoutes(c RouterConfig, replicas []*replica) routes {
	r := routes{policy: c.Policy, limits: c.Limits, pools: map[string][]*replica{}}
	pools := *c.Pools
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		pool := []*replica{}
		for _, i := range pools[name].Replicas {
			pool = append(pool, replicas[i])
		}
		r.pools[name] = pool
		for range pools[name].Weight {
			r.spread = append(r.spread, name)
		}
	}
	if len(r.spread) == 0 {
		r.spread = slices.Sorted(maps.Keys(pools))
	}
	return r
}

// pool is the name and the replicas of the pool for model; turn spreads the requests that name none.
func (r routes) pool(model string, turn uint64) (string, []*replica, bool) {
	if (model == "" || model == "default") && len(r.spread) > 0 {
		model = r.spread[turn%uint64(len(r.spread))]
	}
	pool, ok := r.pools[model]
	return model, pool, ok
}
