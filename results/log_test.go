package results_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/failwhale/failwhale/results"
)

func header() results.Record {
	return results.Record{Header: &results.Header{Version: results.LogVersion, Experiment: "a region dies", Plan: "experiment: a region dies\n"}}
}

func collect(seq iter.Seq2[results.Record, error]) (all []results.Record, err error) {
	for rec, e := range seq {
		if e != nil {
			return all, e
		}
		all = append(all, rec)
	}
	return all, nil
}

func createLog(t *testing.T) (log *results.Log, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run.jsonl.zst")
	log, err := results.CreateLog(path)
	if err != nil {
		t.Fatalf("CreateLog(%s): %v", path, err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return log, path
}

func add(t *testing.T, log *results.Log, recs ...results.Record) {
	t.Helper()
	for _, rec := range recs {
		if err := log.Add(rec); err != nil {
			t.Fatalf("Add(%+v): %v", rec, err)
		}
	}
}

// What was added comes back, in order, and a closed log has no torn end.
func TestLogRoundTrip(t *testing.T) {
	log, path := createLog(t)
	want := []results.Record{
		header(),
		{Event: &results.Event{At: 5 * time.Second, Kind: results.EventPhase, Phase: results.Baseline}},
		{Sample: fullSample()},
		{Event: &results.Event{
			At: 20 * time.Second, Kind: results.EventReverted, Fault: "cfg", FaultKind: "config.push", Detail: "put back",
			Evidence: &results.Evidence{Touched: 3, What: "readers of a bad config"}, Restored: results.RestoredOK,
		}},
		{Sample: &results.Sample{Index: 9, Outcome: results.Cancelled}},
	}
	add(t, log, want...)
	if err := log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	got, err := collect(results.ReadLog(path))
	if err != nil {
		t.Fatalf("ReadLog: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadLog (-want +got):\n%s", diff)
	}
	if err := log.Add(want[0]); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Add after Close = %v; want os.ErrClosed", err)
	}
	if err := errors.Join(log.Close(), log.Sync()); err != nil {
		t.Errorf("Close and Sync after Close = %v; want nil", err)
	}
	if _, err := results.CreateLog(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("CreateLog of a log that exists = %v; want os.ErrExist: it must not be overwritten", err)
	}
}

// Wherever a log is cut, all that was flushed before the cut is read, nothing wrong is, and the
// end is told to be torn.
func TestLogTruncatedAtAnyByte(t *testing.T) {
	log, path := createLog(t)
	rng := rand.New(rand.NewPCG(7, 8))
	want := []results.Record{header()}
	add(t, log, want...)
	flushed := map[int]int{} // size of the file → records in it
	for range 6 {
		for range 4 {
			s := streamed(rng, 8, ms)
			for i := range s.Chunks {
				s.Chunks[i].At = s.Chunks[i].At.Round(10 * time.Microsecond)
			}
			s.Due, s.Sent, s.Done, s.FirstByte = s.Due.Truncate(time.Microsecond), s.Sent.Truncate(time.Microsecond), s.Done.Truncate(time.Microsecond), s.FirstByte.Truncate(time.Microsecond)
			want = append(want, results.Record{Sample: s})
			add(t, log, want[len(want)-1])
		}
		if err := log.Sync(); err != nil {
			t.Fatalf("Sync: %v", err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		flushed[int(info.Size())] = len(want)
	}
	if err := log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	least := 0
	for size := range len(whole) {
		if n, ok := flushed[size]; ok {
			least = n
		}
		got, err := collect(results.ReadLogFrom(bytes.NewReader(whole[:size])))
		if !errors.Is(err, results.ErrTorn) {
			t.Errorf("ReadLogFrom of %d of %d bytes: %v; want ErrTorn", size, len(whole), err)
		}
		if len(got) < least {
			t.Errorf("ReadLogFrom of %d of %d bytes gave %d records; want the %d that were flushed", size, len(whole), len(got), least)
		}
		if diff := cmp.Diff(want[:len(got)], got); len(got) > 0 && diff != "" {
			t.Fatalf("ReadLogFrom of %d of %d bytes (-want +got):\n%s", size, len(whole), diff)
		}
	}
	if least != len(want) {
		t.Errorf("the last flush held %d records; want all %d", least, len(want))
	}
	t.Logf("cut at each of %d bytes, %d flushes", len(whole), len(flushed))
}

// A writer that is killed -9 loses nothing that Event had returned from.
func TestLogSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.jsonl.zst")
	cmd := child(t, "forever", path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, synced := bufio.NewScanner(stdout), uint64(0)
	read := func() bool {
		if !lines.Scan() {
			return false
		}
		if synced, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
			t.Fatalf("the child said %q; want a number", lines.Text())
		}
		return true
	}
	for range 20 {
		if !read() {
			t.Fatalf("the child ended by itself")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for read() { // what it had said when it died
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:errcheck // a Unix test: another type may panic
		t.Fatalf("the child ended with %v; want SIGKILL", err)
	}

	var last uint64
	events, torn := 0, error(nil)
	for rec, err := range results.ReadLog(path) {
		switch {
		case err != nil:
			torn = err
		case rec.Sample != nil && rec.Sample.Index != last+1:
			t.Fatalf("sample %d came after %d", rec.Sample.Index, last)
		case rec.Sample != nil:
			last++
		case rec.Event != nil:
			events++
		}
	}
	if !errors.Is(torn, results.ErrTorn) {
		t.Errorf("ReadLog after kill -9 ended with %v; want ErrTorn", torn)
	}
	if last < synced || uint64(events) < synced/500 {
		t.Errorf("ReadLog after kill -9 gave %d samples and %d events; want at least the %d and %d that were synced", last, events, synced, synced/500)
	}
	t.Logf("synced %d samples, read %d", synced, last)
}

// Without any Sync, a second is the most that can be lost.
func TestLogFlushesEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, path := createLog(t)
		add(t, log, header(), results.Record{Sample: fullSample()})
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		got, err := collect(results.ReadLog(path))
		if len(got) != 2 || !errors.Is(err, results.ErrTorn) {
			t.Errorf("ReadLog after a second = (%d records, %v); want 2 and ErrTorn, as the log is still open", len(got), err)
		}
		if err := log.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	})
}

// However fast records come, they do not pile up until the second is over.
func TestLogFlushesWhenMuchWaits(t *testing.T) {
	log, path := createLog(t)
	s := streamed(rand.New(rand.NewPCG(9, 9)), 1000, ms)
	for deadline := time.Now().Add(30 * time.Second); ; {
		add(t, log, results.Record{Sample: s})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was written in 30 s")
		}
	}
}

// Many goroutines may add, sync and close.
func TestLogConcurrentUse(t *testing.T) {
	log, path := createLog(t)
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			for i := range uint64(200) {
				if err := log.Add(results.Record{Sample: &results.Sample{Index: g*200 + i}}); err != nil {
					t.Errorf("Add: %v", err)
				}
				if i%50 == 0 {
					if err := log.Sync(); err != nil {
						t.Errorf("Sync: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	seen := map[uint64]bool{}
	for rec, err := range results.ReadLog(path) {
		if err != nil {
			t.Fatalf("ReadLog: %v", err)
		}
		seen[rec.Sample.Index] = true
	}
	if len(seen) != 1600 {
		t.Errorf("ReadLog gave %d samples; want 1600", len(seen))
	}
}

// A full disk is told by every call from then on, and what was written before it can be read.
func TestLogFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.jsonl.zst")
	if err := child(t, "full", path).Run(); err != nil {
		t.Fatalf("the child ended with %v", err)
	}
	got, err := collect(results.ReadLog(path))
	if len(got) < 10 || !errors.Is(err, results.ErrTorn) {
		t.Errorf("ReadLog after a full disk = (%d records, %v); want at least 10 and ErrTorn", len(got), err)
	}
}

// Damage is not a torn end: it is told apart, with the place.
func TestReadLogErrors(t *testing.T) {
	for _, tt := range []struct {
		name, lines, want string
		torn              bool
	}{
		{"empty", "", "record 1: log is torn", true},
		{"half a line", `{"sample":{"n":1,"outcome":"unknown"}}` + "\n" + `{"sam`, "record 2: log is torn", true},
		{"no JSON", `{"sample":{"n":1,"outcome":"unknown"}}` + "\nhello\n", "record 2: invalid character 'h'", false},
		{"nothing that we know", "{}\n", "record 1: it is neither header, sample nor event", false},
		{"from the future", `{"header":{"version":2}}` + "\n", "record 1: log is of version 2, and this program reads up to 1: use a newer failwhale", false},
	} {
		_, err := collect(results.ReadLogFrom(compressed(t, tt.lines)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, results.ErrTorn) != tt.torn {
			t.Errorf("%s: ReadLogFrom ended with %v; want %q, torn %t", tt.name, err, tt.want, tt.torn)
		}
	}
	if _, err := collect(results.ReadLogFrom(strings.NewReader("{\"header\":{}}\n"))); err == nil || errors.Is(err, results.ErrTorn) {
		t.Errorf("ReadLogFrom of a file that is not zstd ended with %v; want an error that is not ErrTorn", err)
	}
	if _, err := collect(results.ReadLog(filepath.Join(t.TempDir(), "none"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadLog of no file ended with %v; want os.ErrNotExist", err)
	}
}

// A caller may stop at any record.
func TestReadLogStopsEarly(t *testing.T) {
	log, path := createLog(t)
	add(t, log, header(), results.Record{Sample: fullSample()})
	if err := log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for rec, err := range results.ReadLog(path) {
		if err != nil || rec.Header == nil {
			t.Errorf("the first record = (%+v, %v); want the header", rec, err)
		}
		break
	}
}

func compressed(t *testing.T, text string) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}
