package attacks_test

import (
	"context"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// Go's own server, with TLS and without: what its streams say is what the samples say, on one connection.
func TestGoServerOverHTTP2(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var mu sync.Mutex
		remotes, bodies := map[string]bool{}, 0
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			mu.Lock()
			remotes[r.RemoteAddr] = true
			if err == nil && r.ProtoMajor == 2 && len(body) > 100_000 {
				bodies++
			}
			mu.Unlock()
			w.Header().Set("Content-Type", "text/event-stream")
			out := http.NewResponseController(w)
			for _, text := range []string{aLine, aLine, end} {
				if _, err := io.WriteString(w, text); err != nil {
					t.Error(err)
				}
				if err := out.Flush(); err != nil {
					t.Error(err)
				}
			}
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		}))
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetHTTP2(true)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.EnableHTTP2 = true
		if secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		cfg, sink := config(server.URL)
		if secure {
			cfg.Endpoint.CA = filepath.Join(t.TempDir(), "ca.pem")
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			if err := os.WriteFile(cfg.Endpoint.CA, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg.Clients = []attacks.Client{{HTTP2: true}}
		cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 30_000}, OutputTokens: attacks.Length{Fixed: 2}}}
		got := attackUntil(t, cfg, sink, 20)
		for _, s := range got {
			if s.Outcome != results.Complete || len(s.Chunks) != 2 || s.Reconnects != 0 || s.Bytes != int64(len(aLine+aLine+end)) {
				t.Errorf("sample %d is %s: %s, with %d chunks; want complete with 2", s.Index, s.Outcome, s.Error, len(s.Chunks))
			}
		}
		server.Close()
		if len(remotes) != 1 || bodies != len(got) {
			t.Errorf("the server saw %d whole requests on %d connections; want %d on 1", bodies, len(remotes), len(got))
		}
	}
}

// A client that leaves ends its stream and not the connection, and the server hears of it at once.
func TestCancelOverHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
			s.Stream()
			for range 50 {
				s.Pause(20 * time.Millisecond)
				s.Data(aLine)
			}
			s.Last(end)
		})
		got := attack2(t, server, time.Second, func(cfg *attacks.Config) {
			cfg.Profile.Constant.Rate = 10
			cfg.Clients = []attacks.Client{
				{HTTP2: true, Tier: "tokens", Cancel: &attacks.Cancel{AfterTokens: 7}},
				{HTTP2: true, Tier: "time", Cancel: &attacks.Cancel{After: 130 * time.Millisecond}},
				{HTTP2: true, Tier: "start", Cancel: &attacks.Cancel{BeforeFirstByte: true}},
				{HTTP2: true, Tier: "stays"},
			}
		})
		chunks := map[string]int{"tokens": 7, "time": 6, "start": 0, "stays": 50}
		left := 0
		for _, s := range got {
			want := results.Cancelled
			if s.Labels["tier"] == "stays" {
				want = results.Complete
			} else {
				left++
			}
			if s.Outcome != want || len(s.Chunks) != chunks[s.Labels["tier"]] {
				t.Errorf("%s client: %s, %s, after %d chunks; want %s after %d", s.Labels["tier"], s.Outcome, s.Error, len(s.Chunks), want, chunks[s.Labels["tier"]])
			}
		}
		for _, r := range server.Resets() {
			if r.Code != http2.ErrCodeCancel {
				t.Errorf("stream %d was reset with %s, want CANCEL", r.Stream, r.Code)
			}
		}
		if n := len(server.Resets()); n != left || len(got) != 10 || server.Accepts() != 1 || left < 3 {
			t.Errorf("%d resets, %d clients that left of %d, on %d connections; want as many resets, of 10 on 1", n, left, len(got), server.Accepts())
		}
	})
}

// A server that takes so many streams at a time has more connections, and no more than it needs.
func TestStreamsUpToTheServersLimit(t *testing.T) {
	for _, tt := range []struct {
		limit              uint32 // 0: it says none
		most               int    // requests of a connection
		streams, wantConns int
	}{{0, 0, 90, 1}, {10, 0, 95, 10}, {1, 0, 5, 5}, {0, 30, 90, 3}, {10, 25, 50, 5}} {
		synctest.Test(t, func(t *testing.T) {
			how := targetstest.HTTP2{Pipe: true}
			if tt.limit > 0 {
				how.Settings = []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: tt.limit}}
			}
			var mu sync.Mutex
			running, peak := map[int]uint32{}, uint32(0)
			server := targetstest.NewHTTP2(t, how, func(s *targetstest.Stream2) {
				mu.Lock()
				running[s.Conn]++
				peak = max(peak, running[s.Conn])
				mu.Unlock()
				s.Pause(20 * time.Second)
				mu.Lock()
				running[s.Conn]--
				mu.Unlock()
				good(s)
			})
			got := attack2(t, server, time.Duration(tt.streams)*100*time.Millisecond, func(cfg *attacks.Config) {
				cfg.Profile.Constant.Rate = 10
				cfg.Clients[0].RequestsPerConnection = tt.most
			})
			for _, s := range got {
				if s.Outcome != results.Complete || s.Reconnects != 0 {
					t.Errorf("sample %d is %s: %s, after %d reconnects", s.Index, s.Outcome, s.Error, s.Reconnects)
				}
			}
			if len(got) != tt.streams || server.Accepts() != tt.wantConns || tt.limit > 0 && peak > tt.limit {
				t.Errorf("%d streams with a limit of %d were on %d connections, at most %d at a time on one; want %d on %d",
					len(got), tt.limit, server.Accepts(), peak, tt.streams, tt.wantConns)
			}
		})
	}
}

// A server that takes no streams has a new connection for each request, and not one of those before it is kept.
func TestAServerThatTakesNoStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 0}}
		var server *targetstest.Server2
		open := 0
		server = targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true, Settings: none}, func(s *targetstest.Stream2) {
			open = max(open, server.Accepts()-server.Ended())
			good(s)
		})
		got := attack2(t, server, 5*time.Second, func(cfg *attacks.Config) { cfg.Profile.Constant.Rate = 10 })
		for _, s := range got {
			if s.Outcome != results.Complete {
				t.Errorf("sample %d is %s: %s", s.Index, s.Outcome, s.Error)
			}
		}
		if len(got) != 50 || server.Accepts() != 50 || open > 2 {
			t.Errorf("%d requests on %d connections, up to %d of them open; want 50 on 50, 2 at most", len(got), server.Accepts(), open)
		}
	})
}

// Two hundred streams run on one connection, all at the same time, and each gets what is its own.
func TestManyStreamsOnOneConnection(t *testing.T) {
	const streams = 200
	var all sync.WaitGroup
	all.Add(streams)
	server := targetstest.NewHTTP2(t, targetstest.HTTP2{}, func(s *targetstest.Stream2) {
		s.Stream()
		all.Done()
		all.Wait() // each holds until all are there
		for range 20 {
			s.Data(strings.Replace(aLine, "hi", nonceIn.FindString(string(s.Body)), 1))
		}
		s.Last(end)
	})
	cfg, sink := config(server.URL())
	cfg.Clients = []attacks.Client{{HTTP2: true}}
	cfg.Profile.Constant.Rate = 400
	a := newAttack(t, cfg)
	a.BeginFor(results.Baseline, streams*time.Second/400)
	wait := run(t, a)
	got := sink.wait(t, streams)
	a.Stop()
	wait()
	for _, s := range got {
		if s.Outcome != results.Complete || len(s.Chunks) != 20 {
			t.Errorf("sample %d is %s: %s, with %d chunks; want complete with 20", s.Index, s.Outcome, s.Error, len(s.Chunks))
		}
	}
	if len(got) != streams || server.Accepts() != 1 {
		t.Errorf("%d streams on %d connections; want %d on 1", len(got), server.Accepts(), streams)
	}
}

// What a stream holds while it waits is not more for a burst that it once had.
func TestABurstLeavesNothingBehind(t *testing.T) {
	const streams, burst = 200, 30 // which one read brings
	heap := func(at int) (perStream float64) {
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
				s.Stream()
				for i := range 2 * burst {
					switch chunk := "data: " + benchChunk + "\n\n"; {
					case i == at:
						s.Data(strings.Repeat(chunk, burst))
					case i < at || i >= at+burst:
						s.Data(chunk)
					}
					s.Pause(10 * time.Millisecond)
				}
				s.Pause(40 * time.Second)
				s.Last(end)
			})
			cfg, sink := config(server.URL())
			cfg.Clients = []attacks.Client{{HTTP2: true}}
			a := newAttack(t, cfg)
			a.SetDial(server.Dial)
			before := liveHeap()
			a.BeginFor(results.Baseline, streams*10*time.Millisecond)
			wait := run(t, a)
			time.Sleep(30 * time.Second)
			synctest.Wait()
			perStream = (liveHeap() - before) / streams
			time.Sleep(time.Minute)
			a.Stop()
			wait()
			got := sink.sorted()
			if bad := slices.IndexFunc(got, func(s *results.Sample) bool { return s.Outcome != results.Complete || len(s.Chunks) != 2*burst }); bad >= 0 || len(got) != streams {
				t.Fatalf("%d samples, the first that is not complete with %d chunks: %d; want %d and none", len(got), 2*burst, bad, streams)
			}
		})
		return perStream
	}
	never := 2 * burst
	without := heap(never)
	for at, when := range map[int]string{0: "at first", burst: "last"} {
		if with := heap(at); with-without > 4<<10 {
			t.Errorf("a stream with a burst of %d chunks %s holds %.0f bytes, one without %.0f; want at most 4 KiB more", burst, when, with, without)
		}
	}
}

// liveHeap is what is in use of the heap, of which no pool keeps anything spare.
func liveHeap() float64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// A connection that dies takes its streams with it, and nothing else; the next request has a new one.
func TestADyingConnectionTakesItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
			s.Stream()
			s.Data(aLine)
			if s.Conn > 0 {
				s.Last(end)
				return
			}
			s.Pause(time.Second - time.Duration(s.Index)*10*time.Millisecond)
			s.FIN()
		})
		got := attack2(t, server, 2*time.Second, func(cfg *attacks.Config) { cfg.Profile.Constant.Rate = 100 })
		lost := 0
		for _, s := range got {
			switch {
			case s.Outcome == results.Reset && s.Done-got[0].Sent == time.Second && len(s.Chunks) == 1:
				lost++
			case s.Outcome != results.Complete:
				t.Errorf("sample %d is %s: %s", s.Index, s.Outcome, s.Error)
			}
		}
		if lost != 100 || len(got) != 200 || server.Accepts() != 2 {
			t.Errorf("%d of %d streams were lost, %d connections; want 100 of 200, 2", lost, len(got), server.Accepts())
		}
	})
}

// A request that crosses the news that its connection is closed was not begun: it goes on a new one. One that the
// server has had for longer is lost.
func TestStaleConnectionOverHTTP2(t *testing.T) {
	for _, tt := range []struct {
		after      time.Duration
		heard      bool // the server says something of the stream
		want       results.Outcome
		reconnects int
	}{
		{0, false, results.Complete, 1},
		{4 * time.Millisecond, false, results.Complete, 1},
		{6 * time.Millisecond, false, results.Reset, 0},
		{0, true, results.Reset, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true, Keep: true}, func(s *targetstest.Stream2) {
				if s.Index == 1 {
					if tt.heard {
						s.Frame(http2.FrameWindowUpdate, 0, s.ID, "\x00\x00\x00\x01")
					}
					s.Pause(tt.after)
					s.FIN()
					return
				}
				good(s)
			})
			got := attack2(t, server, 200*time.Millisecond, func(cfg *attacks.Config) { cfg.Profile.Constant.Rate = 10 })
			if len(got) != 2 || got[0].Outcome != results.Complete || got[1].Outcome != tt.want || got[1].Reconnects != tt.reconnects {
				t.Errorf("closed after %s: samples %+v; want complete, then %s after %d reconnects", tt.after, got, tt.want, tt.reconnects)
			}
		})
	}
}

// Reconnects are those of all attempts, those too that did not serve.
func TestReconnectsOfAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
			switch s.Index {
			case 0, 1, 3:
				s.Reset(http2.ErrCodeRefusedStream)
			case 2:
				s.Only(503)
			default:
				good(s)
			}
		})
		got := attack2(t, server, time.Second, func(cfg *attacks.Config) {
			cfg.Profile.Constant.Rate, cfg.Clients = 1, []attacks.Client{{HTTP2: true, Retries: 1}}
		})
		if len(got) != 1 || got[0].Outcome != results.Complete || got[0].Reconnects != 3 || len(got[0].Attempts) != 1 {
			t.Errorf("samples %+v; want one that is complete at the second attempt, after 3 reconnects", got)
		}
	})
}

// GOAWAY in the middle: the streams that the server took go on, those that it did not are sent again, and what
// follows goes to a new connection.
func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
			if s.Conn == 0 && s.Index == 9 {
				s.GoAway(7*2-1, http2.ErrCodeNo, "") // the first seven
				return
			}
			s.Stream()
			s.Pause(time.Second)
			if s.Conn > 0 || s.Index < 7 {
				s.Data(aLine)
				s.Last(end)
			}
		})
		got := attack2(t, server, 200*time.Millisecond, func(cfg *attacks.Config) { cfg.Profile.Constant.Rate = 100 })
		for _, s := range got {
			want := 0
			if s.Index >= 7 && s.Index <= 9 {
				want = 1
			}
			if s.Index == 7 || s.Index == 8 { // their head was there: that is a server which does what it says it did not
				if s.Outcome != results.Reset {
					t.Errorf("sample %d is %s: %s; want reset", s.Index, s.Outcome, s.Error)
				}
				continue
			}
			if s.Outcome != results.Complete || s.Reconnects != want {
				t.Errorf("sample %d is %s: %s, after %d reconnects; want complete after %d", s.Index, s.Outcome, s.Error, s.Reconnects, want)
			}
		}
		if len(got) != 20 || server.Accepts() != 2 || len(server.Requests()) != 21 {
			t.Errorf("%d samples of %d requests on %d connections; want 20 of 21 on 2", len(got), len(server.Requests()), server.Accepts())
		}
	})
}

// A connection that is not needed any more is ended in order, whoever is the reason: the server is told so once, after
// all else that it is told. One that the server ends is not.
func TestConnectionsAreEndedByGoAway(t *testing.T) {
	hangs := func(s *targetstest.Stream2) { s.Stream(); s.Data(aLine); s.Hang() }
	leaves := func(s *targetstest.Stream2) { s.GoAway(s.ID, http2.ErrCodeNo, ""); good(s) }
	for _, tt := range []struct {
		name            string
		secure          bool
		client          attacks.Client
		answer          targetstest.Handler2
		conns, told     int
		resets, answers int
	}{
		{name: "the attack ends", answer: good, conns: 1, told: 1, answers: 5},
		{name: "the attack ends, over TLS", secure: true, answer: good, conns: 1, told: 1, answers: 5},
		{name: "so many requests", client: attacks.Client{RequestsPerConnection: 2}, answer: good, conns: 3, told: 3, answers: 5},
		{name: "its only client leaves", client: attacks.Client{RequestsPerConnection: 1, Cancel: &attacks.Cancel{AfterTokens: 1}}, answer: hangs, conns: 5, told: 5, resets: 5},
		{name: "the server wants it", answer: leaves, conns: 5, told: 5, answers: 5},
		{name: "the server ends it", answer: func(s *targetstest.Stream2) { good(s); s.FIN() }, conns: 5, answers: 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true, TLS: tt.secure}, tt.answer)
			got := attack2(t, server, 500*time.Millisecond, func(cfg *attacks.Config) {
				tt.client.HTTP2 = true
				cfg.Profile.Constant.Rate, cfg.Clients = 10, []attacks.Client{tt.client}
			})
			answers, told := 0, map[int]bool{}
			for _, s := range got {
				if s.Outcome == results.Complete {
					answers++
				}
			}
			for _, g := range server.GoAways() {
				if g.Last != 0 || g.Code != http2.ErrCodeNo || told[g.Conn] {
					t.Errorf("%s: connection %d was ended with %s after stream %d, or twice; want NO_ERROR after 0, once", tt.name, g.Conn, g.Code, g.Last)
				}
				told[g.Conn] = true
			}
			if server.Accepts() != tt.conns || server.Ended() != tt.conns || len(told) != tt.told || len(server.Resets()) != tt.resets || answers != tt.answers {
				t.Errorf("%s: %d of %d connections have ended, %d of them by GOAWAY, after %d resets and %d answers; want %d, %d, %d and %d", tt.name,
					server.Ended(), server.Accepts(), len(told), len(server.Resets()), answers, tt.conns, tt.told, tt.resets, tt.answers)
			}
		})
	}
}

// A server that reads nothing any more does not keep the attack from its end: whether it is the last word that it does
// not read, or one before that.
func TestAServerThatReadsNoLastWord(t *testing.T) {
	for _, acks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg, sink := config("http://pipe.test")
			cfg.Clients = []attacks.Client{{HTTP2: true}}
			a := newAttack(t, cfg)
			near, far := net.Pipe()
			a.SetDial(func(context.Context, string, string) (net.Conn, error) { return near, nil })
			answer := frames2(aLine, end)
			settings := answer[:9]
			go func() {
				in := http2.NewFramer(io.Discard, far)
				if _, err := io.ReadFull(far, make([]byte, len(http2.ClientPreface))); err != nil {
					t.Error(err)
				}
				if acks {
					go func() { _, _ = io.WriteString(far, settings) }()
				}
				for asked, heeded := false, !acks; !asked || !heeded; {
					f, err := in.ReadFrame()
					if err != nil {
						t.Error(err)
						return
					}
					data, is := f.(*http2.DataFrame)
					asked = asked || is && data.StreamEnded()
					said, is := f.(*http2.SettingsFrame)
					heeded = heeded || is && said.IsAck()
				}
				if acks {
					answer = strings.TrimPrefix(answer, settings)
				}
				_, _ = io.WriteString(far, answer)
			}()
			a.BeginFor(results.Baseline, time.Millisecond)
			wait := run(t, a)
			time.Sleep(time.Minute)
			ends := time.Now()
			a.Stop()
			wait()
			if took := time.Since(ends); took > time.Second {
				t.Errorf("the attack took %s to end, want at most a second", took)
			}
			if got := sink.sorted(); len(got) != 1 || got[0].Outcome != results.Complete {
				t.Errorf("samples %+v; want one that is complete", got)
			}
			_ = far.Close()
		})
	}
}

// longPrompts are of some 40 KB.
func longPrompts(cfg *attacks.Config) {
	cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 10_000}, OutputTokens: attacks.Length{Fixed: 4}}}
}

// A request that is larger than the server's windows waits for them, beside others, and comes whole.
func TestRequestsWaitForTheServersWindow(t *testing.T) {
	for _, window := range []uint32{1, 1000, 20_000, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			how := targetstest.HTTP2{Pipe: true, Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: window}}}
			server := targetstest.NewHTTP2(t, how, good)
			got := attack2(t, server, 50*time.Millisecond, func(cfg *attacks.Config) {
				longPrompts(cfg)
				if window == 1 {
					cfg.Workload[0].PromptTokens = attacks.Length{Fixed: 300}
				}
			})
			bodies := map[string]bool{}
			for _, r := range server.Requests() {
				if length(string(r.Body)) != r.Header.Get("Content-Length") || !strings.HasSuffix(string(r.Body), "}") {
					t.Errorf("body of %d bytes, its length is said to be %s", len(r.Body), r.Header.Get("Content-Length"))
				}
				bodies[string(r.Body)] = true
			}
			for _, s := range got {
				if s.Outcome != results.Complete {
					t.Errorf("window %d: sample %d is %s: %s", window, s.Index, s.Outcome, s.Error)
				}
			}
			if len(bodies) != 5 || len(got) != 5 || server.Accepts() != 1 {
				t.Errorf("window %d: %d bodies of %d samples on %d connections, want 5 of 5 on 1", window, len(bodies), len(got), server.Accepts())
			}
		})
	}
}

// A server that never takes the rest of a request is left at the deadline; one that widens its window by SETTINGS is not.
func TestAServerThatTakesNoMore(t *testing.T) {
	for _, widens := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			how := targetstest.HTTP2{Pipe: true, Keep: true, Early: true, Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 10}}}
			var before, after int
			server := targetstest.NewHTTP2(t, how, func(s *targetstest.Stream2) {
				if s.Index == 0 { // it may not have seen the settings
					good(s)
					return
				}
				s.Pause(time.Second)
				before = s.Got()
				if widens {
					s.Frame(http2.FrameSettings, 0, 0, "\x00\x04\x00\x10\x00\x00")
					s.Frame(http2.FrameWindowUpdate, 0, 0, "\x00\x10\x00\x00")
				}
				s.Stream()
				s.Data(aLine)
				s.Pause(time.Second)
				if after = s.Got(); widens {
					s.Last(end)
				}
			})
			got := attack2(t, server, 200*time.Millisecond, func(cfg *attacks.Config) {
				longPrompts(cfg)
				cfg.Profile.Constant.Rate = 10
				cfg.Clients[0].Deadline = 5 * time.Second
			})[1]
			var cancels int
			for _, r := range server.Resets() {
				if r.Code == http2.ErrCodeCancel {
					cancels++
				}
			}
			if widens && (got.Outcome != results.Complete || cancels != 0 || before != 10 || after < 30_000) {
				t.Errorf("%s: %s, %d cancels, %d and %d bytes of the request; want complete, 10 and all", got.Outcome, got.Error, cancels, before, after)
			}
			if !widens && (got.Outcome != results.Deadline || len(got.Chunks) != 1 || cancels != 1 || before != 10 || after != 10) {
				t.Errorf("%s: %s, %d chunks, %d cancels, %d and %d bytes of the request; want deadline after one, one, and 10",
					got.Outcome, got.Error, len(got.Chunks), cancels, before, after)
			}
		})
	}
}

// sizeOf is the length of a request's header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it.
func sizeOf(r *targetstest.Request) int {
	size := len(":method"+r.Method) + len(":scheme"+"http") + len(":path"+r.Path) + 3*32
	for name, values := range r.Header {
		if name == "Host" {
			name = ":authority"
		}
		for _, value := range values {
			size += len(name+value) + 32
		}
	}
	return size
}

// A request whose headers are a byte longer than the server takes is not sent and says so; one that is as long is.
// Others on the connection are none the worse, and what the server says later counts for those that come later.
func TestRequestsHeedTheServersHeaderLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var size int
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
			if s.Index > 0 {
				good(s)
				return
			}
			size = sizeOf(&s.Request)
			limit := func(n int) {
				s.Frame(http2.FrameSettings, 0, 0, "\x00\x06"+string(binary.BigEndian.AppendUint32(nil, uint32(n))))
			}
			s.Stream()
			s.Data(aLine)
			limit(size)
			s.Pause(150 * time.Millisecond)
			limit(size - 1)
			s.Pause(200 * time.Millisecond)
			limit(size)
			s.Pause(time.Second)
			s.Last(aLine + end)
		})
		got := attack2(t, server, 500*time.Millisecond, func(cfg *attacks.Config) {
			cfg.Profile.Constant.Rate = 10
			cfg.Endpoint.Headers = map[string]string{"X-Org": strings.Repeat("us", 100)}
		})
		want := fmt.Sprintf("its headers have %d bytes as HTTP/2 counts them (name + value + 32 each), and the server takes %d: "+
			"send fewer headers or shorter ones, or leave http2 out", size, size-1)
		for _, s := range got {
			switch refused := s.Index == 2 || s.Index == 3; {
			case refused && (s.Outcome != results.Connect || !strings.Contains(s.Error, want) || s.Done != s.Sent || s.Reconnects != 0):
				t.Errorf("sample %d is %s: %s, after %d reconnects; want connect: %s", s.Index, s.Outcome, s.Error, s.Reconnects, want)
			case !refused && (s.Outcome != results.Complete || len(s.Chunks) != 2 || s.Reconnects != 0):
				t.Errorf("sample %d is %s: %s, with %d chunks; want complete with 2", s.Index, s.Outcome, s.Error, len(s.Chunks))
			}
		}
		for _, r := range server.Requests() {
			if sizeOf(&r) != size {
				t.Errorf("the headers of request %d have %d bytes, want %d: %v", r.Index, sizeOf(&r), size, r.Header)
			}
		}
		if len(got) != 5 || len(server.Requests()) != 3 || server.Accepts() != 1 || len(server.Resets()) != 0 || len(server.GoAways()) != 1 {
			t.Errorf("%d samples of %d requests on %d connections, %d resets, %d GOAWAY; want 5 of 3 on 1, none and one",
				len(got), len(server.Requests()), server.Accepts(), len(server.Resets()), len(server.GoAways()))
		}
	})
}

// What a server wants of us it gets: settings and pings are acknowledged, while it answers.
func TestSettingsAndPingsAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
			for range 5 {
				s.Frame(http2.FramePing, 0, 0, "failwhal")
				s.Frame(http2.FrameSettings, 0, 0, "")
			}
			good(s)
		})
		if got := attack2(t, server, time.Millisecond, func(*attacks.Config) {}); got[0].Outcome != results.Complete || server.Acks() != 11 {
			t.Errorf("%s: %s, %d acknowledgements; want 11, with that of the first settings", got[0].Outcome, got[0].Error, server.Acks())
		}
	})
}

// A connection on which a client tired of hearing nothing is asked whether it is there. It has no further stream until
// it answers.
func TestADeadConnectionIsNotUsedAgain(t *testing.T) {
	for hang, conns := range map[string]int{"a stream": 1, "the connection": 2} {
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true, Keep: true}, func(s *targetstest.Stream2) {
				switch {
				case s.Index != 1:
					good(s)
				case hang == "a stream":
					s.Hang()
				default:
					s.Mute()
				}
			})
			got := attack2(t, server, 10*time.Second, func(cfg *attacks.Config) {
				cfg.Profile.Constant.Rate = 0.5
				cfg.Clients[0].Deadline = time.Second
			})
			for i, s := range got {
				if want := map[bool]results.Outcome{true: results.Deadline, false: results.Complete}[i == 1]; s.Outcome != want {
					t.Errorf("sample %d is %s: %s; want %s", i, s.Outcome, s.Error, want)
				}
			}
			if len(got) != 5 || server.Accepts() != conns {
				t.Errorf("%s hangs: %d samples on %d connections, want 5 on %d", hang, len(got), server.Accepts(), conns)
			}
		})
	}
}

// A dial that fails is the failure of all those who waited for it.
func TestOneDialForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, sink := config("http://pipe.test")
		cfg.Clients = []attacks.Client{{HTTP2: true}}
		a := newAttack(t, cfg)
		dials := 0
		a.SetDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials++
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return nil, io.ErrClosedPipe
		})
		a.BeginFor(results.Baseline, 500*time.Millisecond)
		wait := run(t, a)
		time.Sleep(time.Minute)
		a.Stop()
		wait()
		got := sink.sorted()
		if bad := slices.IndexFunc(got, func(s *results.Sample) bool { return s.Outcome != results.Connect }); bad >= 0 || len(got) != 50 || dials != 1 {
			t.Errorf("%d samples of %d dials, the first that is not connect: %d; want 50 of 1", len(got), dials, bad)
		}
	})
}
