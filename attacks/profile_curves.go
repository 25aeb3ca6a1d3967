package attacks

import (
	"math"
	"math/rand/v2"
	"time"
)

// A curve is a rate over time, as the number of requests that it comes to. A curve belongs to one schedule:
// when remembers where it was.
type curve interface {
	// total is how many come within so many nanoseconds.
	total(ns float64) float64
	// when is the nanosecond in which total passes n. +Inf: never. It is asked for n that do not fall.
	when(n float64) float64
}

const second = float64(time.Second)

// renewals are the requests of a rate: a process of independent gaps of mean 1, on the clock of a curve. With
// exponential gaps that is exactly the Poisson process of that rate, however it changes; no request is drawn to
// be thrown away, and a higher rate has the same pattern in less time.
type renewals struct {
	curve curve
	gap   func() float64 // nil: always 1
	n     float64        // of the next request, on the curve's clock
	last  time.Duration
}

func newRenewals(p paced, rng *rand.Rand) *renewals {
	r := &renewals{curve: p.curve(), gap: p.gaps(rng)}
	if r.gap != nil {
		r.n = r.gap()
	}
	return r
}

func (r *renewals) next() (a Arrival, ok bool, err error) {
	at := math.Round(r.curve.when(r.n))
	if !(at < float64(forever)) { // past the end of the schedule, or of time
		return Arrival{}, false, nil
	}
	if r.gap == nil {
		r.n++ // and not a sum of gaps in time: rounding never adds up to a drift
	} else {
		r.n += r.gap()
	}
	r.last = max(r.last, time.Duration(at))
	return Arrival{At: r.last}, true, nil
}

func (r *renewals) close() {}

// poissonUnless gives the gaps of kinds that are random unless they are even.
func poissonUnless(even bool, rng *rand.Rand) func() float64 {
	if even {
		return nil
	}
	return rng.ExpFloat64
}

// gammaGaps draws gaps of mean 1 from a gamma distribution by the method of Marsaglia and Tsang (A simple
// method for generating gamma variables, ACM TOMS 26(3), 2000), which wants a shape of 1 or more; a smaller one
// is drawn as one more, times a power of a uniform number, as they say in their section 6.
func gammaGaps(rng *rand.Rand, shape float64) func() float64 {
	large := shape
	if shape < 1 {
		large++
	}
	d := large - 1.0/3
	c := 1 / math.Sqrt(9*d)
	return func() float64 {
		g := d * cubed(rng, c, d) / shape
		if shape < 1 {
			g *= math.Exp(-rng.ExpFloat64() / shape)
		}
		return g
	}
}

// cubed is the v of Marsaglia and Tsang.
func cubed(rng *rand.Rand, c, d float64) float64 {
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		u := rng.Float64()
		if x2 := x * x; u < 1-0.0331*x2*x2 || math.Log(u) < x2/2+d*(1-v+math.Log(v)) {
			return v
		}
	}
}

// flat is a rate that does not change.
type flat Rate

func (f flat) total(ns float64) float64 { return ns / second * float64(f) }
func (f flat) when(n float64) float64   { return n * second / float64(f) }

// pieces is a rate that changes evenly, piece by piece. The last one has no end.
type pieces struct {
	all []piece
	at  int // the piece that when was in
}

// A piece goes from one rate to another.
type piece struct {
	start, length float64 // ns
	from, to      float64 // per second
	before, count float64 // requests before it and within it
}

func (c *pieces) add(from, to Rate, length time.Duration) {
	if length <= 0 {
		return
	}
	p := piece{length: float64(length), from: float64(from), to: float64(to)}
	if n := len(c.all); n > 0 {
		last := c.all[n-1]
		p.start, p.before = last.start+last.length, last.before+last.count
	}
	p.count = (p.from + p.to) / 2 * p.length / second
	c.all = append(c.all, p)
}

// stay adds the last piece.
func (c *pieces) stay(rate Rate) *pieces {
	c.add(0, 0, 1) // for its start
	last := &c.all[len(c.all)-1]
	last.length, last.from, last.to, last.count = math.Inf(1), float64(rate), float64(rate), math.Inf(1)
	return c
}

func (c *pieces) total(ns float64) float64 {
	n := 0.0
	for _, p := range c.all {
		if ns < p.start {
			break
		}
		n = p.before + p.within(min(ns-p.start, p.length)/second)
	}
	return n
}

// within is how many come in the first seconds of a piece.
func (p *piece) within(seconds float64) float64 {
	if p.from == p.to {
		return p.from * seconds
	}
	return p.from*seconds + (p.to-p.from)/p.length*second*seconds*seconds/2
}

// rounding is what n may lack of a piece's end and yet be past it: 30/s for 0.1 s are three requests and not four.
const rounding = 1e-9

func (c *pieces) when(n float64) float64 {
	for c.at < len(c.all)-1 && n >= c.all[c.at].before+c.all[c.at].count-rounding {
		c.at++
	}
	p := &c.all[c.at]
	n = max(0, n-p.before)
	if p.from == p.to {
		if p.from == 0 {
			return math.Inf(1)
		}
		return p.start + n*second/p.from
	}
	// The solution of within(x) = n that does not cancel: 2n / (from + √(from² + 2·slope·n)).
	slope := (p.to - p.from) / p.length * second
	root := p.from + math.Sqrt(max(0, p.from*p.from+2*slope*n))
	if root == 0 {
		return p.start
	}
	return p.start + min(2*n/root*second, p.length)
}

// wave is the rate of a sine. Counted in periods, with swing = amplitude/mean, the share of a period's requests
// that have come by x is f(x) = x + swing/2π·(1 − cos 2πx): when has to invert it.
type wave struct {
	period float64 // ns
	count  float64 // requests of a period
	swing  float64
	x, y   float64 // where when was last, of its period, and how many of its requests had come
	slope  float64 // of x by y there
}

func newWave(s Sine) *wave {
	return &wave{
		period: float64(s.Period), count: float64(s.Rate) * s.Period.Seconds(),
		swing: float64(s.Amplitude) / float64(s.Rate), slope: 1,
	}
}

func (w *wave) total(ns float64) float64 {
	periods, x := math.Modf(ns / w.period)
	return w.count * (periods + x + w.swing/(2*math.Pi)*(1-math.Cos(2*math.Pi*x)))
}

// closeBy ends the search: the next of Newton's steps would be of the square of that, less than floats can tell.
const closeBy = 1e-9

func (w *wave) when(n float64) float64 {
	periods, y := math.Modf(n / w.count)
	low, high := max(0, y-w.swing/math.Pi), y // as 0 ≤ 1−cos ≤ 2
	x := w.x + (y-w.y)*w.slope                // from the last one, which is near
	for range 64 {                            // Newton's steps, and halves where they lead out of what is known
		if !(x >= low && x <= high) {
			x = (low + high) / 2
		}
		sin, cos := math.Sincos(2 * math.Pi * x)
		over := x + w.swing/(2*math.Pi)*(1-cos) - y
		if over > 0 {
			high = x
		} else {
			low = x
		}
		w.slope = 1 / (1 + w.swing*sin)
		step := over * w.slope
		x -= step
		if math.Abs(step) < closeBy {
			break
		}
	}
	w.x, w.y = min(max(x, low), high), y
	return (periods + w.x) * w.period
}
