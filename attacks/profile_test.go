package attacks_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// take draws the first n due times, or as many as there are.
func take(p attacks.Profile, seed uint64, n int) []time.Duration {
	var out []time.Duration
	for a, err := range p.Arrivals(results.Baseline, seed) {
		if err != nil {
			panic(err)
		}
		if out = append(out, a.At); len(out) == n {
			break
		}
	}
	return out
}

// Constant is constant: no gap differs by more than the nanosecond that a clock can tell.
func TestConstant(t *testing.T) {
	p := attacks.Profile{Constant: &attacks.Constant{Rate: 30}}
	for k, d := range take(p, 1, 100_000) {
		if want := time.Duration(math.Round(float64(k) * 1e9 / 30)); d != want {
			t.Fatalf("request %d is due at %s, want %s", k, d, want)
		}
	}
}

// Poisson gaps have the mean of the rate, its spread, and no memory.
func TestPoisson(t *testing.T) {
	const n = 200_000
	due := take(attacks.Profile{Poisson: &attacks.Poisson{Rate: 200}}, 7, n)
	var sum, squares, product, last float64
	for i := 1; i < n; i++ {
		gap := (due[i] - due[i-1]).Seconds() * 200
		sum, squares, product, last = sum+gap, squares+gap*gap, product+gap*last, gap
		if gap < 0 {
			t.Fatalf("request %d is due before the one before it", i)
		}
	}
	mean := sum / n
	if sd := math.Sqrt(squares/n - mean*mean); math.Abs(mean-1) > 0.01 || math.Abs(sd-1) > 0.02 {
		t.Errorf("gaps have mean %.4f and standard deviation %.4f of 1/rate, want 1 and 1", mean, sd)
	}
	if corr := product/n - mean*mean; math.Abs(corr) > 0.02 {
		t.Errorf("neighbouring gaps have correlation %.4f, want 0", corr)
	}
	if !slices.Equal(due[:1000], take(attacks.Profile{Poisson: &attacks.Poisson{Rate: 200}}, 7, 1000)) {
		t.Error("equal seeds gave different times")
	}
}

// moments gives mean and coefficient of variation of the gaps, in 1/rate.
func moments(due []time.Duration, rate float64) (mean, cv float64) {
	var sum, squares float64
	for i := 1; i < len(due); i++ {
		gap := (due[i] - due[i-1]).Seconds() * rate
		sum, squares = sum+gap, squares+gap*gap
	}
	n := float64(len(due) - 1)
	mean = sum / n
	return mean, math.Sqrt(squares/n-mean*mean) / mean
}

// Gamma gaps have the mean of the rate and the spread that was asked for, in bursts as well as below chance.
func TestGamma(t *testing.T) {
	const n, rate = 400_000, 200
	for _, cv := range []float64{0.1, 0.5, 1, 2, 4} {
		mean, got := moments(take(attacks.Profile{Gamma: &attacks.Gamma{Rate: rate, CV: cv}}, 11, n), rate)
		// The standard error of a mean of n gaps is cv/√n; that of their spread is larger where its tail is heavy.
		if math.Abs(mean-1) > 5*cv/math.Sqrt(n) || math.Abs(got/cv-1) > 0.02+0.01*cv {
			t.Errorf("gaps with cv %v have mean %.4f of 1/rate and cv %.4f", cv, mean, got)
		}
	}
}

// changing are the profiles whose rate changes, at random and evenly.
func changing(even bool) map[string]attacks.Profile {
	return map[string]attacks.Profile{
		"ramp up":   {Ramp: &attacks.Ramp{From: 0, To: 1000, Over: 20 * time.Second, Even: even}},
		"ramp down": {Ramp: &attacks.Ramp{From: 1000, To: 100, Over: 20 * time.Second, Even: even}},
		"stages": {Ramp: &attacks.Ramp{From: 100, Stages: []attacks.Stage{
			{To: 500, Over: 5 * time.Second}, {To: 500, Over: 5 * time.Second}, {To: 2000}, {To: 0, Over: 10 * time.Second},
		}, Even: even}},
		"step": {Step: &attacks.Step{Steps: []attacks.Level{
			{Rate: 100, For: 7 * time.Second}, {Rate: 0, For: 3 * time.Second}, {Rate: 700},
		}, Even: even}},
		"spike":      {Spike: &attacks.Spike{Rate: 3000, At: 6 * time.Second, For: 2 * time.Second, Even: even}},
		"sine":       {Sine: &attacks.Sine{Rate: 500, Amplitude: 300, Period: 7 * time.Second, Even: even}},
		"full sine":  {Sine: &attacks.Sine{Rate: 500, Amplitude: 500, Period: 13 * time.Second, Even: even}},
		"short sine": {Sine: &attacks.Sine{Rate: 500, Amplitude: 100, Period: time.Millisecond, Even: even}},
	}
}

// rateOf is the rate of a profile at a time, as its documentation has it.
func rateOf(p attacks.Profile, at float64) float64 {
	switch {
	case p.Sine != nil:
		return float64(p.Sine.Rate) + float64(p.Sine.Amplitude)*math.Sin(2*math.Pi*at/p.Sine.Period.Seconds())
	case p.Spike != nil:
		if at >= p.Spike.At.Seconds() && at < (p.Spike.At+p.Spike.For).Seconds() {
			return float64(p.Spike.Rate)
		}
		return 0
	case p.Step != nil:
		for _, l := range p.Step.Steps {
			if at -= l.For.Seconds(); at < 0 {
				return float64(l.Rate)
			}
		}
		return float64(p.Step.Steps[len(p.Step.Steps)-1].Rate)
	}
	from, stages := float64(p.Ramp.From), p.Ramp.Stages
	if len(stages) == 0 {
		stages = []attacks.Stage{{To: p.Ramp.To, Over: p.Ramp.Over}}
	}
	for _, s := range stages {
		if over := s.Over.Seconds(); at < over {
			return from + (float64(s.To)-from)*at/over
		}
		from, at = float64(s.To), at-s.Over.Seconds()
	}
	return from
}

// In every second of half a minute there are as many requests as the rate, summed up here in small steps, comes to:
// evenly spaced within two, at random within what chance allows.
func TestRatesThatChange(t *testing.T) {
	const length = 30
	for _, even := range []bool{true, false} {
		for name, p := range changing(even) {
			var got, want [length]float64
			for _, at := range take(p, 5, 60_000) {
				if at < length*time.Second {
					got[at/time.Second]++
				}
			}
			const steps = 20_000
			for i := range length * steps {
				want[i/steps] += rateOf(p, (float64(i)+0.5)/steps) / steps
			}
			sum := 0.0
			for second := range want {
				slack := 2.0
				if !even {
					slack += 5 * math.Sqrt(want[second])
				}
				if math.Abs(got[second]-want[second]) > slack || want[second] == 0 && got[second] > 0 {
					t.Errorf("%s, even %t: %.0f requests in second %d, want %.1f", name, even, got[second], second, want[second])
				}
				sum += want[second]
				expected, err := p.Expected(results.Baseline, 5, time.Duration(second+1)*time.Second)
				if err != nil || math.Abs(expected-sum) > 0.5 {
					t.Errorf("%s: Expected(%d s) = %.2f, %v; want %.2f", name, second+1, expected, err, sum)
				}
			}
		}
	}
}

// A number of requests that is whole is that number, and a rate that ends at 0 ends the schedule.
func TestEvenCounts(t *testing.T) {
	for _, tt := range []struct {
		profile attacks.Profile
		want    int
	}{
		{attacks.Profile{Spike: &attacks.Spike{Rate: 30, At: time.Second, For: 100 * time.Millisecond, Even: true}}, 3},
		{attacks.Profile{Spike: &attacks.Spike{Rate: 500, For: 2 * time.Second, Even: true}}, 1000},
		{attacks.Profile{Ramp: &attacks.Ramp{From: 100, Over: 10 * time.Second, Even: true}}, 500},
		{attacks.Profile{Step: &attacks.Step{Steps: []attacks.Level{{Rate: 10, For: time.Second}, {Rate: 0}}, Even: true}}, 10},
	} {
		if got := take(tt.profile, 1, 100_000); len(got) != tt.want {
			t.Errorf("%s has %d requests, want %d", tt.profile, len(got), tt.want)
		} else if tt.profile.Spike != nil && got[0] != tt.profile.Spike.At {
			t.Errorf("%s begins at %s", tt.profile, got[0])
		}
	}
}

// printed writes a schedule byte for byte, with what each request says.
func printed(t *testing.T, p attacks.Profile, phase results.Phase, seed uint64, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	for r, err := range (attacks.Config{Profile: p, Workload: attacks.Workload{{Preset: attacks.Chat}}, Seed: seed}).Schedule(phase) {
		if err != nil {
			t.Fatalf("Schedule of %s: %v", p, err)
		}
		fmt.Fprintf(&b, "%+v\n", r)
		if n--; n == 0 {
			break
		}
	}
	return b.Bytes()
}

// Equal seeds give equal schedules, byte for byte, in each judged phase; another seed and the warm-up others.
func TestEqualSeedsGiveEqualSchedules(t *testing.T) {
	all := changing(false)
	all["gamma"] = attacks.Profile{Gamma: &attacks.Gamma{Rate: 10, CV: 2}}
	all["parts"] = attacks.Profile{
		Poisson: &attacks.Poisson{Rate: 100},
		Plus: []attacks.Part{
			{Profile: attacks.Profile{Spike: &attacks.Spike{Rate: 50, For: time.Minute}}},
			{Profile: attacks.Profile{Gamma: &attacks.Gamma{Rate: 5, CV: 3}}},
		},
	}
	for name, p := range all {
		first := printed(t, p, results.Baseline, 7, 2000)
		if !bytes.Equal(first, printed(t, p, results.Baseline, 7, 2000)) || !bytes.Equal(first, printed(t, p, results.Fault, 7, 2000)) {
			t.Errorf("%s: equal seeds gave two schedules", name)
		}
		if bytes.Equal(first, printed(t, p, results.Baseline, 8, 2000)) || bytes.Equal(first, printed(t, p, results.Warmup, 7, 2000)) {
			t.Errorf("%s: another seed and the warm-up have the same schedule", name)
		}
	}
}

// A part changes nothing of the base: neither when its requests are due nor, in a whole attack, what they say. It is
// there in its phase alone, and what is due comes in order.
func TestAPartLeavesTheBaseAsItIs(t *testing.T) {
	alone := attacks.Profile{Poisson: &attacks.Poisson{Rate: 50}}
	both := alone
	both.Plus = []attacks.Part{
		{Profile: attacks.Profile{Constant: &attacks.Constant{Rate: 7}}},
		{Profile: attacks.Profile{Spike: &attacks.Spike{Rate: 200, At: time.Second, For: time.Second}}, During: results.Fault},
	}
	base := take(alone, 3, 1000)
	for phase, parts := range map[results.Phase]int{results.Baseline: 2, results.Fault: 3} {
		var of [3][]time.Duration
		last := time.Duration(0)
		for a, err := range both.Arrivals(phase, 3) {
			if err != nil {
				t.Fatal(err)
			}
			if a.At < last {
				t.Fatalf("%s: a request is due at %s, after one at %s", phase, a.At, last)
			}
			last = a.At
			if of[a.Part] = append(of[a.Part], a.At); len(of[0]) == len(base) {
				break
			}
		}
		if !slices.Equal(of[0], base) {
			t.Errorf("%s: the base's requests are due at other times beside the parts", phase)
		}
		if got := len(slices.DeleteFunc([]int{len(of[0]), len(of[1]), len(of[2])}, func(n int) bool { return n == 0 })); got != parts {
			t.Errorf("%s has requests of %d parts, want %d", phase, got, parts)
		}
		if spike := of[2]; len(spike) > 0 && (spike[0] < time.Second || spike[len(spike)-1] >= 2*time.Second) {
			t.Errorf("the spike lasts from %s to %s, want 1s to 2s", spike[0], spike[len(spike)-1])
		}
	}
	want := phases(t, func(c *attacks.Config) { c.Profile = alone }, results.Fault)[0]
	var got []job
	times := map[time.Duration]bool{}
	for _, j := range want {
		times[j.After] = true
	}
	for _, j := range phases(t, func(c *attacks.Config) { c.Profile = both }, results.Fault)[0] {
		if times[j.After] {
			got = append(got, j)
		}
	}
	if !slices.Equal(got, want) {
		t.Error("beside parts the base's requests say something else")
	}
}

// What is wrong with a profile is said, and what to write instead.
func TestProfileValidate(t *testing.T) {
	rate := attacks.Rate(10)
	ok := attacks.Profile{Poisson: &attacks.Poisson{Rate: rate}}
	for _, tt := range []struct {
		name    string
		profile attacks.Profile
		want    string // "": nothing
	}{
		{"none", attacks.Profile{}, "has no kind"},
		{"two", attacks.Profile{Poisson: ok.Poisson, Constant: &attacks.Constant{Rate: rate}}, "has constant and poisson: keep one"},
		{"fast", attacks.Profile{Poisson: &attacks.Poisson{Rate: 1e9}}, "poisson: rate 1e+09/s is not between"},
		{"not a number", attacks.Profile{Constant: &attacks.Constant{Rate: attacks.Rate(math.NaN())}}, "constant: rate NaN/s"},
		{"no cv", attacks.Profile{Gamma: &attacks.Gamma{Rate: rate}}, "gamma: cv 0 is not over 0"},
		{"ramp for no time", attacks.Profile{Ramp: &attacks.Ramp{To: rate}}, "over is no time at all"},
		{"ramp of nothing", attacks.Profile{Ramp: &attacks.Ramp{Over: 1}}, "has no rate"},
		{"ramp twice", attacks.Profile{Ramp: &attacks.Ramp{To: rate, Over: 1, Stages: []attacks.Stage{{To: rate}}}}, "keep one"},
		{"negative stage", attacks.Profile{Ramp: &attacks.Ramp{Stages: []attacks.Stage{{To: -1, Over: -1}, {To: 1}}}}, "stages[0].over"},
		{"jump", attacks.Profile{Ramp: &attacks.Ramp{Stages: []attacks.Stage{{To: rate}}}}, ""},
		{"no steps", attacks.Profile{Step: &attacks.Step{}}, "has no rate"},
		{"step for no time", attacks.Profile{Step: &attacks.Step{Steps: []attacks.Level{{Rate: 1}, {Rate: 1}}}}, "steps[0].for"},
		{"spike for no time", attacks.Profile{Spike: &attacks.Spike{Rate: rate, At: -1}}, "for is no time"},
		{"herd of nobody", attacks.Profile{Herd: &attacks.Herd{At: -1, Within: -1}}, "users 0 is not between 1 and 100000: write 500; herd: at -1ns is negative: write 5s; herd: within -1ns"},
		{"deep sine", attacks.Profile{Sine: &attacks.Sine{Rate: 1, Amplitude: 2, Period: 1}}, "amplitude 2/s"},
		{"sine without period", attacks.Profile{Sine: &attacks.Sine{Rate: 1, Amplitude: 1}}, "period"},
		{"nobody", attacks.Profile{Concurrency: &attacks.Concurrency{}}, "users 0"},
		{"closed and more", attacks.Profile{Concurrency: &attacks.Concurrency{Users: 1}, Plus: []attacks.Part{{Profile: ok}}}, "plus cannot be added to concurrency"},
		{
			"closed part",
			attacks.Profile{Poisson: ok.Poisson, Plus: []attacks.Part{{Profile: attacks.Profile{Concurrency: &attacks.Concurrency{Users: 1}}}}},
			"plus[0]: concurrency cannot be a part",
		},
		{"part of a part", attacks.Profile{Poisson: ok.Poisson, Plus: []attacks.Part{{Profile: attacks.Profile{Poisson: ok.Poisson, Plus: []attacks.Part{{Profile: ok}}}}}}, "plus[0]: plus stands within"},
		{"empty part", attacks.Profile{Poisson: ok.Poisson, Plus: []attacks.Part{{}}}, "plus[0]: has no kind"},
		{"unknown phase", attacks.Profile{Poisson: ok.Poisson, Plus: []attacks.Part{{Profile: ok, During: "night"}}}, `plus[0]: during "night" isn't one of [warmup baseline fault recovery]`},
		{"trace without a file", attacks.Profile{Trace: &attacks.Trace{}}, "trace: file is missing"},
		{"trace backwards", attacks.Profile{Trace: &attacks.Trace{File: "x", Speed: -1}}, "speed -1"},
		{"trace from its end", attacks.Profile{Trace: &attacks.Trace{File: "x", Start: 2, End: 1}}, "end 1ns is not after start 2ns"},
		{"trace too thick", attacks.Profile{Trace: &attacks.Trace{File: "x", Keep: 2}}, "keep 200%"},
	} {
		var texts []string
		for _, err := range tt.profile.Validate() {
			texts = append(texts, err.Error())
		}
		if got := strings.Join(texts, "; "); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: Validate() = %q; want %q", tt.name, got, tt.want)
		}
	}
}

// A profile says what it is, how long it changes, and whether it ends.
func TestProfileDescribesItself(t *testing.T) {
	for _, tt := range []struct {
		profile attacks.Profile
		text    string
		span    time.Duration
		ends    bool
	}{
		{attacks.Profile{}, "no load", 0, false},
		{attacks.Profile{Constant: &attacks.Constant{Rate: 5}}, "5/s constant", 0, false},
		{attacks.Profile{Gamma: &attacks.Gamma{Rate: 5, CV: 2.5}}, "5/s gamma, cv 2.5", 0, false},
		{attacks.Profile{Ramp: &attacks.Ramp{To: 5, Over: time.Minute}}, "0/s to 5/s over 1m0s", time.Minute, false},
		{
			attacks.Profile{Ramp: &attacks.Ramp{From: 1, Stages: []attacks.Stage{{To: 5, Over: time.Minute}, {Over: time.Second}}, Even: true}},
			"1/s to 5/s over 1m0s, to 0/s over 1s, evenly", 61 * time.Second, true,
		},
		{
			attacks.Profile{Step: &attacks.Step{Steps: []attacks.Level{{Rate: 1, For: time.Second}, {Rate: 2, For: time.Minute}}}},
			"1/s for 1s, then 2/s", 61 * time.Second, false,
		},
		{attacks.Profile{Herd: &attacks.Herd{Users: 5, At: time.Minute}}, "herd of 5 users at 1m0s within 1s", 61 * time.Second, true},
		{attacks.Profile{Sine: &attacks.Sine{Rate: 5, Amplitude: 2, Period: time.Hour}}, "5/s ± 2/s sine of 1h0m0s", time.Hour, false},
		{attacks.Profile{Concurrency: &attacks.Concurrency{Users: 3, Ramp: time.Second}}, "closed loop of 3 users over 1s", 0, false},
		{
			attacks.Profile{Trace: &attacks.Trace{File: "a/b.csv", Speed: 60, Start: time.Hour, End: 2 * time.Hour, Keep: 0.1}},
			"trace b.csv from 1h0m0s to 2h0m0s at 60×, thinned to 10%", 0, true,
		},
		{
			attacks.Profile{Poisson: &attacks.Poisson{Rate: 5}, Plus: []attacks.Part{{Profile: attacks.Profile{Spike: &attacks.Spike{Rate: 9, At: 5, For: 2}}, Tier: "a", Feature: "b", During: results.Baseline}}},
			"5/s poisson + 9/s spike at 5ns for 2ns of tier a of feature b during baseline", 7, false,
		},
	} {
		if got := tt.profile.String(); got != tt.text {
			t.Errorf("String() = %q; want %q", got, tt.text)
		}
		if span, ends := tt.profile.Span(results.Baseline), tt.profile.Ends(results.Baseline); span != tt.span || ends != tt.ends {
			t.Errorf("%s: Span() = %s, Ends() = %t; want %s, %t", tt.text, span, ends, tt.span, tt.ends)
		}
	}
}
