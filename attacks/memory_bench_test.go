package attacks_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// slowChunks and slowPause make the streams of BenchmarkMemory: 20 s each.
const (
	slowChunks = 200
	slowPause  = 100 * time.Millisecond
)

// BenchmarkMemory is what a running stream holds, of HTTP/1.1 and of HTTP/2: an attack with prompts of 1,000 tokens
// (4 KB) on a server in another process, when all streams run. live is what the garbage collector leaves of the heap
// and of stacks, after a collection that was asked for; resident is what the kernel gave us, the garbage
// between two collections with it.
func BenchmarkMemory(b *testing.B) {
	for _, streams := range []int{1000, 9000} {
		b.Run(strconv.Itoa(streams), func(b *testing.B) { measureMemory(b, startServer(b, "slow"), attacks.Client{}, streams) })
		b.Run(strconv.Itoa(streams)+"-http2", func(b *testing.B) {
			measureMemory(b, startServer(b, "slow-http2"), attacks.Client{HTTP2: true}, streams)
		})
	}
}

func measureMemory(b *testing.B, url string, client attacks.Client, streams int) {
	b.Helper()
	for b.Loop() {
		cfg, sink := config(url)
		cfg.Clients = []attacks.Client{client}
		const ramp = 8 * time.Second
		cfg.Profile.Constant.Rate = attacks.Rate(float64(streams) / ramp.Seconds())
		cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 1000}, OutputTokens: attacks.Length{Fixed: slowChunks}}}
		debug.FreeOSMemory() // else what follows finds what the case before has left
		liveBefore, stacksBefore, rssBefore := liveMemory(b)
		a, err := attacks.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		a.BeginFor(results.Baseline, ramp)
		done := make(chan error)
		go func() { done <- a.Run(b.Context()) }()
		time.Sleep(ramp + 8*time.Second)
		_, _, rss := liveMemory(b)
		n := float64(a.Live().InFlight)
		runtime.GC()
		live, stacks, _ := liveMemory(b)
		if n < float64(streams)*0.9 {
			b.Fatalf("%g streams under way, want %d", n, streams)
		}
		a.Stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		for _, s := range sink.sorted() {
			if s.Outcome != results.Complete {
				b.Fatalf("%s: %s", s.Outcome, s.Error)
			}
		}
		b.ReportMetric((live-liveBefore)/n, "heap-B/stream")
		b.ReportMetric((stacks-stacksBefore)/n, "stack-B/stream")
		b.ReportMetric((rss-rssBefore)/n, "resident-B/stream")
		b.ReportMetric(0, "ns/op")
	}
}

// serveSlowly2 is the "slow" server over HTTP/2: net/http's, which takes 250 streams on a connection.
func serveSlowly2(l net.Listener) error {
	body := benchStream("", slowChunks)[1:] // without the head of HTTP/1.1, and out of its chunks
	for i, chunk := range body {
		text, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(chunk + targetstest.StreamEnd)))
		if err != nil {
			return err
		}
		body[i] = string(text)
	}
	server := http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		out := http.NewResponseController(w)
		for _, text := range body {
			if err == nil {
				_, err = io.WriteString(w, text)
			}
			if err == nil {
				err = out.Flush()
			}
			time.Sleep(slowPause)
		}
	})}
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.Serve(l)
}

// liveMemory gives bytes of the heap's objects, of stacks, and of what is resident.
func liveMemory(b *testing.B) (heap, stacks, resident float64) {
	b.Helper()
	read := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(read)
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skipf("no figure of resident memory here: %v", err)
	}
	_, rest, _ := bytes.Cut(text, []byte("VmRSS:"))
	var kib float64
	if _, err := fmt.Sscanf(string(rest), "%f kB", &kib); err != nil {
		b.Fatalf("read VmRSS: %v", err)
	}
	return float64(read[0].Value.Uint64()), float64(read[1].Value.Uint64()), kib * 1024
}
