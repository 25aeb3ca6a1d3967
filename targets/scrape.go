package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/failwhale/failwhale/results"
)

const (
	// DefaultScrapeEvery is often enough to see a queue build up, and costs a server less than one request of load.
	DefaultScrapeEvery = time.Second
	// scrapeLimit is how long a page may take: llama.cpp answers between two steps of its engine, and takes 0.3 s on a
	// busy machine.
	scrapeLimit = 5 * time.Second
	// lastScrapeLimit is how long the end of a run waits for the last readings.
	lastScrapeLimit = 2 * time.Second
)

// A Scraper reads pages of metrics beside a load and hands on what they say.
type Scraper struct {
	// Pages by name. A Key is resolved by NewScraper. Required.
	Pages map[string]Metrics
	// Every is how long a page is left alone between two readings' beginnings. Optional; default DefaultScrapeEvery.
	Every time.Duration
	// Clock stamps the readings, Sink takes them. Required.
	Clock results.Clock
	Sink  results.Sink
	// LookupEnv resolves ${NAME}. Optional; without, every reference is an error.
	LookupEnv func(string) (string, bool)
	// Transport makes the requests. Optional; default one of its own.
	Transport http.RoundTripper

	readers []*pageReader
}

// NewScraper checks the pages and resolves their keys. It asks nothing of them yet.
func NewScraper(s Scraper) (*Scraper, error) {
	if s.Transport == nil {
		s.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}
	}
	s.Every = cmp.Or(s.Every, DefaultScrapeEvery)
	client := &http.Client{Transport: s.Transport, CheckRedirect: sameHost}
	s.readers = nil
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Pages)) {
		m := s.Pages[name]
		key, err := m.key(s.LookupEnv)
		if name == results.Self {
			err = errors.New("this is failwhale's own name: write another")
		}
		if err = errors.Join(m.check(), err); err != nil {
			errs = append(errs, fmt.Errorf("metrics %s: %w", name, err))
			continue
		}
		s.readers = append(s.readers, &pageReader{
			name: name, url: m.URL, key: key, labels: maps.Clone(m.Labels), client: client, nudge: make(chan struct{}, 1),
		})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &s, nil
}

// check says what is wrong with a page, without what may be a secret.
func (m Metrics) check() error {
	u, err := url.Parse(m.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("url %q isn't http://HOST/metrics or https://HOST/metrics", shownURL(m.URL))
	}
	if u.User != nil {
		return fmt.Errorf(`url %q has a user in it: write key: "${NAME}"`, shownURL(m.URL))
	}
	return nil
}

// key is the bearer token, or "".
func (m Metrics) key(lookup func(string) (string, bool)) (string, error) {
	if m.Key == "" {
		return "", nil
	}
	name, closed := strings.CutSuffix(m.Key, "}")
	name, opened := strings.CutPrefix(name, "${")
	if !opened || !closed || name == "" {
		return "", errors.New(`key is written out: put it into an environment variable and write "${NAME}"`)
	}
	value, ok := "", false
	if lookup != nil {
		value, ok = lookup(name)
	}
	if !ok || value == "" {
		return "", fmt.Errorf("environment variable %s is not set: export it", name)
	}
	return value, nil
}

// sameHost follows a server's redirect to its own page (Starlette adds a slash), and takes the key nowhere else.
func sameHost(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; len(via) > 3 || req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		return fmt.Errorf("it redirects to %s: write that", shownURL(req.URL.String()))
	}
	return nil
}

// Run reads each page at once, then every so often, in a goroutine of its own: one that hangs delays no other, and
// none is asked again before it has answered. When ctx ends it reads each a last time and returns. A page that
// cannot be read is a Reading with an Error, once for each change, and ends nothing; the error is the sink's.
// Run is called once.
func (s *Scraper) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	errs := make([]error, len(s.readers))
	for i, r := range s.readers {
		all.Go(func() {
			if errs[i] = s.follow(ctx, r); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	all.Wait()
	if t, ok := s.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return errors.Join(errs...)
}

// Nudge has every page read now, or as soon as it has answered: at the border of two phases, so that what is counted
// on either side is told apart. It does not wait.
func (s *Scraper) Nudge() {
	for _, r := range s.readers {
		select {
		case r.nudge <- struct{}{}:
		default: // it was already
		}
	}
}

// follow reads one page until ctx ends, and once more.
func (s *Scraper) follow(ctx context.Context, r *pageReader) error {
	ticker := time.NewTicker(s.Every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := s.scrape(ctx, r, scrapeLimit); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-r.nudge:
		}
	}
	return s.scrape(context.WithoutCancel(ctx), r, lastScrapeLimit)
}

// scrape reads a page once and hands on what it said. A reading that the run's end cut short says nothing.
func (s *Scraper) scrape(ctx context.Context, r *pageReader, limit time.Duration) error {
	asked, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	began := s.Clock.Now()
	reading, err := r.read(asked)
	if ctx.Err() != nil {
		return nil // the last one is still to come
	}
	reading.At = s.Clock.Now()
	reading.Took, reading.Source, reading.Labels = reading.At-began, r.name, r.labels
	if err != nil {
		reading.Error = r.tell(asked, err)
		if reading.Error == r.failed {
			return nil
		}
	}
	r.failed = reading.Error
	return s.Sink.Add(results.Record{Reading: &reading})
}
