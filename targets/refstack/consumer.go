package refstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"
)

// pollEvery is how often a consumer asks for a new version, give or take a fifth, so that the
// consumers of a fleet do not ask in step.
const pollEvery = 100 * time.Millisecond

// soakTime is how long the canary runs a version before the others follow. It is short beside the
// hours of a real rollout, as everything of the control plane is here; what it must outlast is the
// time in which a bad version shows: a crash is seen after canaryAge at the latest, failing answers
// within a few requests.
const soakTime = time.Second

// A consumer reads a config over HTTP and puts it in force.
type consumer struct {
	url, reader string
	client      *http.Client
	rng         *rand.Rand
	apply       func(RouterConfig)
	service     func() Service
	rollout     *Rollout // nil: flawed
	keepGood    string   // file of the last known good version
	note        func(format string, args ...any)

	etag    string // last read
	kept    string // ETag in keepGood
	refused string // ETag whose refusal was noted
	canary  Canary
}

func newConsumer(url, reader string, apply func(RouterConfig), service func() Service) *consumer {
	h := fnv.New64a()
	_, _ = h.Write([]byte(reader)) // never fails
	return &consumer{
		url: url, reader: reader, client: &http.Client{Timeout: 2 * time.Second}, rng: rand.New(rand.NewPCG(h.Sum64(), 0)),
		apply: apply, service: service, note: func(string, ...any) {},
	}
}

// harden makes the consumer check and stage what it reads, and keep the last good version in file.
// builtin is good where there is no file.
func (c *consumer) harden(file string, builtin []byte, replicas int) error {
	good := Version{ETag: "builtin", Text: builtin}
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &good); err != nil {
			return fmt.Errorf("read last known good config: %s: %w", file, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read last known good config: %w", err)
	}
	check := func(text []byte) (RouterConfig, error) { return CheckRouterConfig(text, replicas) }
	config, err := check(good.Text)
	if err != nil {
		return fmt.Errorf("read last known good config: %w", err)
	}
	c.keepGood = file
	c.rollout = NewRollout(RolloutRules{Reader: c.reader, Soak: soakTime, Check: check}, good)
	c.apply(config)
	return nil
}

// start puts a first version in force. Hardened, there is one already; flawed, it waits for the store.
func (c *consumer) start(ctx context.Context) error {
	for c.rollout == nil && c.etag == "" {
		if err := c.poll(ctx); err == nil {
			continue
		}
		if !wait(ctx, pollEvery) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// run polls until ctx ends. A store that does not answer changes nothing.
func (c *consumer) run(ctx context.Context) {
	lost := false
	for wait(ctx, time.Duration(float64(pollEvery)*(0.8+0.4*c.rng.Float64()))) {
		err := c.poll(ctx)
		if (err != nil) != lost && ctx.Err() == nil {
			lost = err != nil
			c.note("config store lost: %t (%v)", lost, err)
		}
	}
}

func (c *consumer) poll(ctx context.Context) error {
	text, etag, err := c.fetch(ctx)
	switch {
	case err != nil:
		return err
	case c.rollout == nil:
		if etag != c.etag {
			c.etag = etag
			c.apply(trustRouterConfig(text))
		}
		return nil
	}
	if etag != c.etag {
		c.etag = etag
		c.rollout.Offer(Version{ETag: etag, Text: text})
	}
	if config := c.rollout.Tick(time.Now(), c.canary, c.service()); config != nil {
		c.apply(*config)
		c.note("config %s is in force", c.rollout.InForce())
	}
	if refused, reason := c.rollout.Rejected(); refused != c.refused {
		c.refused = refused
		c.note("config %s refused, %s stays: %v", refused, c.rollout.InForce(), reason)
	}
	return c.keep()
}

// keep writes the last good version down when it has changed.
func (c *consumer) keep() error {
	good := c.rollout.Good()
	if good.ETag == c.kept {
		return nil
	}
	text, err := json.Marshal(good)
	if err != nil {
		return fmt.Errorf("keep last known good config: %w", err)
	}
	if err := writeFile(c.keepGood, text); err != nil {
		return fmt.Errorf("keep last known good config: %w", err)
	}
	c.kept = good.ETag
	return nil
}

// fetch asks the store: the text is nil where etag is the one read last.
func (c *consumer) fetch(ctx context.Context) (text []byte, etag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return nil, "", fmt.Errorf("read config: %w", err)
	}
	req.Header.Set(headerReader, c.reader)
	if c.etag != "" {
		req.Header.Set("If-None-Match", c.etag)
	}
	if c.rollout != nil {
		req.Header.Set(headerApplied, c.rollout.InForce())
		req.Header.Set(headerHealthy, strconv.FormatBool(c.rollout.Healthy(c.service())))
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("read config: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end, or given up
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNotModified {
		return nil, "", fmt.Errorf("read config: %s", res.Status)
	}
	if err := json.Unmarshal([]byte(res.Header.Get(headerCanary)), &c.canary); err != nil {
		return nil, "", fmt.Errorf("read config: header %s: %w", headerCanary, err)
	}
	if res.StatusCode == http.StatusNotModified {
		return nil, c.etag, nil
	}
	if text, err = io.ReadAll(io.LimitReader(res.Body, maxDocument+1)); err != nil {
		return nil, "", fmt.Errorf("read config: %w", err)
	}
	return text, res.Header.Get("ETag"), nil
}
