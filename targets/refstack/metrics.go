package refstack

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are a region's, under vLLM's names and labels where vLLM has one, so that real scrapers
// work; what only this stack has is named refstack_.
type metrics struct {
	registry *prometheus.Registry
	replicas []*replica
	model    string

	ttft, itl, e2e *prometheus.HistogramVec
	success        *prometheus.CounterVec
	refused        *prometheus.CounterVec
	sessions       *prometheus.CounterVec
	gauges         []engineMetric
}

// An engineMetric is read from an engine at each scrape.
type engineMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(EngineStats) float64
}

// Buckets in seconds, as vLLM has them for these histograms (its longest ones, which an 8B model
// never reaches, left out).
func ttftBuckets() []float64 {
	return []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
}

func itlBuckets() []float64 {
	return []float64{.001, .0025, .005, .0075, .01, .015, .02, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}
}

func e2eBuckets() []float64 {
	return []float64{.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120}
}

func newMetrics(region string, replicas []*replica) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), replicas: replicas, model: ModelName}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"model_name", "engine"})
		m.registry.MustRegister(h)
		return h
	}
	count := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"region": region}}, labels)
		m.registry.MustRegister(c)
		return c
	}
	m.ttft = histogram("vllm:time_to_first_token_seconds", "Time to first token, from the request's arrival at the region.", ttftBuckets())
	m.itl = histogram("vllm:inter_token_latency_seconds", "Time between two tokens of a request.", itlBuckets())
	m.e2e = histogram("vllm:e2e_request_latency_seconds", "Time from arrival to last token.", e2eBuckets())
	iteration := histogram("vllm:iteration_tokens_total", "Tokens per engine step; the count is the engine's heartbeat.",
		prometheus.ExponentialBuckets(1, 2, 14))
	m.success = count("vllm:request_success_total", "Finished requests.", "model_name", "finished_reason")
	m.refused = count("refstack_refused_total", "Requests answered with an error, by its HTTP status.", "status")
	m.sessions = count("refstack_sessions_total", "Sessions loaded and saved, and those that could not be.", "what", "outcome")
	for i, r := range replicas {
		steps := iteration.WithLabelValues(m.model, strconv.Itoa(i))
		r.iter = func(tokens int) { steps.Observe(float64(tokens)) }
	}
	m.describeEngines()
	m.registry.MustRegister(m)
	return m
}

func (m *metrics) describeEngines() {
	add := func(name, help string, kind prometheus.ValueType, read func(EngineStats) float64) {
		d := prometheus.NewDesc(name, help, []string{"engine"}, prometheus.Labels{"model_name": m.model})
		m.gauges = append(m.gauges, engineMetric{d, kind, read})
	}
	add("vllm:num_requests_running", "Requests in the batch.", prometheus.GaugeValue, func(s EngineStats) float64 { return float64(s.Running) })
	add("vllm:num_requests_waiting", "Requests waiting in the engine.", prometheus.GaugeValue, func(s EngineStats) float64 { return float64(s.Waiting) })
	add("vllm:kv_cache_usage_perc", "KV cache usage; 1 is all of it.", prometheus.GaugeValue, func(s EngineStats) float64 { return s.KVUsage })
	add("vllm:num_preemptions_total", "Preemptions.", prometheus.CounterValue, func(s EngineStats) float64 { return float64(s.Preemptions) })
	add("vllm:prompt_tokens_total", "Prompt tokens computed.", prometheus.CounterValue, func(s EngineStats) float64 { return float64(s.PromptTokens) })
	add("vllm:generation_tokens_total", "Tokens generated.", prometheus.CounterValue, func(s EngineStats) float64 { return float64(s.OutputTokens) })
}

// Describe sends the engines' metrics.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range m.gauges {
		ch <- g.desc
	}
}

// Collect sends their values.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for i, r := range m.replicas {
		st := r.stats()
		for _, g := range m.gauges {
			ch <- prometheus.MustNewConstMetric(g.desc, g.kind, g.read(st), strconv.Itoa(i))
		}
	}
}

// gauge registers a figure of the region.
func (m *metrics) gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// A progress observes one stream's times.
type progress struct {
	m             *metrics
	engine        string
	arrived, last time.Time
	itl           prometheus.Observer
}

func (m *metrics) follow(arrived time.Time) *progress { return &progress{m: m, arrived: arrived} }

// tokens says that n tokens came at now, of engine.
func (p *progress) tokens(n, engine int, now time.Time) {
	if p.itl == nil {
		p.engine = strconv.Itoa(engine)
		p.itl = p.m.itl.WithLabelValues(p.m.model, p.engine)
		p.m.ttft.WithLabelValues(p.m.model, p.engine).Observe(now.Sub(p.arrived).Seconds())
		p.last = now
		n--
	}
	for i := range n { // tokens that came together are one gap, and nothing between them
		gap := now.Sub(p.last).Seconds()
		if i > 0 {
			gap = 0
		}
		p.itl.Observe(gap)
	}
	p.last = now
}

// done says that the last token is out.
func (p *progress) done(now time.Time) {
	p.m.e2e.WithLabelValues(p.m.model, p.engine).Observe(now.Sub(p.arrived).Seconds())
	p.m.success.WithLabelValues(p.m.model, "length").Inc()
}
