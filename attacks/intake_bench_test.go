package attacks_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// benchServer is the environment variable that makes the test binary the benchmark's server: its
// work must not be counted as the client's, nor share its garbage collector.
const benchServer = "FAILWHALE_BENCH_SERVER"

// benchChunks is how many chunks like benchChunk (some 250 bytes, as vLLM sends) are in a stream.
const (
	benchChunks = 4000
	benchChunk  = `{"id":"chatcmpl-5f2c9a3b1d7e4c6f8a0b2d4e6f8a1c3e","object":"chat.completion.chunk","created":1795312420,` +
		`"model":"meta-llama/Llama-3.1-8B-Instruct","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}`
)

// TestMain is the benchmark's server, if it was started as that.
func TestMain(m *testing.M) {
	if how, ok := os.LookupEnv(benchServer); ok {
		fmt.Fprintln(os.Stderr, serveStreams(how))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveStreams prints its address and answers every request by one long stream. how is the pace and, for
// one that is not of vLLM's chat chunks, a dialect. Paces: "bulk" as fast as the socket takes it, "each" one
// write a chunk, "short" ten chunks, "slow" slowChunks of them, one each slowPause; "slow-http2" is that over HTTP/2. It
// ends with its standard input.
func serveStreams(how string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	pace, dialect, _ := strings.Cut(how, " ")
	if pace == "slow-http2" {
		return serveSlowly2(l)
	}
	n := map[string]int{"short": 10, "slow": slowChunks}[pace]
	if n == 0 {
		n = benchChunks
	}
	writes := benchStream(dialect, n)
	if pace == "bulk" {
		writes = []string{strings.Join(writes, "")}
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, err = io.Copy(io.Discard, r.Body)
				for _, text := range writes {
					if err == nil {
						_, err = io.WriteString(conn, text)
					}
					if pace == "slow" {
						time.Sleep(slowPause)
					}
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

// benchStream is a whole answer of n tokens, chunk by chunk.
func benchStream(dialect string, n int) []string {
	for _, s := range speeches() {
		if s.dialect.Name() == dialect {
			return slices.Concat([]string{s.head()}, s.pieces(s.say(n, slices.Repeat([]string{s.text(" word")}, n)...)...), []string{targetstest.StreamEnd})
		}
	}
	tail := targetstest.Finish("stop") + targetstest.Usage(10, n) + targetstest.Done + targetstest.StreamEnd
	return slices.Concat([]string{targetstest.StreamHead}, slices.Repeat([]string{targetstest.Data(benchChunk)}, n), []string{tail})
}

// startServer starts the test binary as a server and returns its URL.
func startServer(b *testing.B, how string) string {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), benchServer+"="+how)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		_ = stdin.Close()
		_ = cmd.Wait() // it was killed
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(addr)
}

// cpu is the time that this process has used, in user and kernel mode.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIntake is what reading an answer costs with everything on (stamps, events, decoding,
// nonces, counts, outcome) against reading the same bytes by the same transport and looking at none
// of them: the CPU of this process, the server is another. Rounds alternate, because a machine's speed
// drifts, and the medians of seven are reported.
//
// ratio is the chunks that we take in per second of our own CPU, as a part of those that could be
// read; ratio-nethttp as a part of those that net/http can read. "each" is a server that writes
// chunk by chunk, as inference servers do; "bulk" one that fills the socket, where the transport is
// cheapest.
func BenchmarkIntake(b *testing.B) {
	for _, load := range []struct {
		how     string
		streams int
	}{
		{"each", 8},
		{"each", 64},
		{"bulk", 8},
		{"bulk", 64},
		{"each openai-responses", 8},
		{"each anthropic-messages", 8},
		{"each ollama-chat", 8},
	} {
		b.Run(fmt.Sprintf("%s-%d", strings.ReplaceAll(load.how, " ", "-"), load.streams), func(b *testing.B) {
			cfg, _ := config(startServer(b, load.how))
			_, cfg.Endpoint.Dialect, _ = strings.Cut(load.how, " ")
			cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 64}, OutputTokens: attacks.Length{Fixed: benchChunks}}}
			a, err := attacks.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			alternate(b, load.streams, []func(context.Context, int) (int64, error){a.Judged, a.Unparsed, nethttp(cfg.Endpoint.URL)})
		})
	}
}

// alternate has each way read the streams in turn, and reports what they cost.
func alternate(b *testing.B, streams int, ways []func(context.Context, int) (int64, error)) {
	b.Helper()
	const rounds = 7
	again := max(1, 500_000/(streams*benchChunks))                                // a round is long enough for a scheduler's whims to even out
	perChunk, parts := make([][]float64, len(ways)), make([][]float64, len(ways)) // CPU seconds, and the part of the first in them
	for b.Loop() {
		for round := range 1 + rounds {
			used := make([]float64, len(ways))
			for way, read := range ways {
				start := cpu(b)
				for range again {
					if n, err := read(b.Context(), streams); err != nil || way == 0 && n < int64(streams*benchChunks) {
						b.Fatalf("way %d: %d chunks of %d: %v", way, n, streams*benchChunks, err)
					}
				}
				used[way] = (cpu(b) - start).Seconds()
			}
			for way := range ways {
				if round > 0 { // the first one warms up
					perChunk[way] = append(perChunk[way], used[way]/float64(again*streams*benchChunks))
					parts[way] = append(parts[way], used[way]/used[0])
				}
			}
		}
	}
	b.ReportMetric(1/median(perChunk[0]), "chunks/cpu-s")
	b.ReportMetric(1/median(perChunk[1]), "unparsed/cpu-s")
	b.ReportMetric(1/median(perChunk[2]), "nethttp/cpu-s")
	b.ReportMetric(median(parts[1]), "ratio")
	b.ReportMetric(median(parts[2]), "ratio-nethttp")
	b.ReportMetric(0, "ns/op")
}

// nethttp reads the streams by net/http with the same buffers, looks at nothing and counts bytes: what any
// other Go client pays before it knows anything of an answer.
func nethttp(url string) func(context.Context, int) (int64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000, ReadBufferSize: 8 << 10, DisableCompression: true}}
	read := func(ctx context.Context) (int64, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			return 0, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer func() { _ = resp.Body.Close() }()
		n, buf := int64(0), make([]byte, 8<<10)
		for {
			m, err := resp.Body.Read(buf)
			n += int64(m)
			if errors.Is(err, io.EOF) {
				return n, nil
			}
			if err != nil {
				return 0, err
			}
		}
	}
	return func(ctx context.Context, streams int) (int64, error) {
		var total atomic.Int64
		var wg sync.WaitGroup
		errs := make([]error, streams)
		for i := range streams {
			wg.Go(func() {
				n, err := read(ctx)
				total.Add(n)
				errs[i] = err
			})
		}
		wg.Wait()
		return total.Load(), errors.Join(errs...)
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkLag is how late requests are sent (the agenda's waiting, vegeta's workers, and the way to
// our transport), and what an attack with short answers costs of our own CPU.
func BenchmarkLag(b *testing.B) {
	for _, rate := range []attacks.Rate{100, 1000} {
		b.Run(rate.String(), func(b *testing.B) {
			cfg, sink := config(startServer(b, "short"))
			cfg.Profile = attacks.Profile{Poisson: &attacks.Poisson{Rate: rate}}
			start, used := time.Now(), cpu(b)
			for b.Loop() {
				a, err := attacks.New(cfg)
				if err != nil {
					b.Fatal(err)
				}
				a.Begin(results.Baseline)
				timer := time.AfterFunc(3*time.Second, a.Stop)
				if err := a.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
				timer.Stop()
			}
			busy := (cpu(b) - used).Seconds() / time.Since(start).Seconds()
			var lags []float64
			for _, s := range sink.sorted() {
				if s.Outcome != results.Complete {
					b.Fatalf("%s: %s", s.Outcome, s.Error)
				}
				lags = append(lags, float64((s.Sent - s.Due).Microseconds()))
			}
			slices.Sort(lags)
			b.ReportMetric(lags[len(lags)/2], "p50-µs")
			b.ReportMetric(lags[len(lags)*99/100], "p99-µs")
			b.ReportMetric(lags[len(lags)-1], "max-µs")
			b.ReportMetric(busy, "cores")
			b.ReportMetric(0, "ns/op")
		})
	}
}
