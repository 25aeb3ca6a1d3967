package targetstest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/failwhale/failwhale/targets/targetstest"
)

// ask connects, sends a request and reads until the connection ends.
func ask(t *testing.T, s *targetstest.Server, body string) (string, error) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request := "POST /v1/x HTTP/1.1\r\nHost: h\r\nX-A: b\r\nContent-Length: 2\r\n\r\n" + body
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

// A script is played byte for byte, ends as it says, and what was asked is on record.
func TestServer(t *testing.T) {
	s := targetstest.New(t, targetstest.InTurn(
		targetstest.Script{targetstest.Send("hel"), targetstest.SendEach(0, "l", "o"), targetstest.FIN()},
		targetstest.Script{targetstest.RST()},
	))
	if got, err := ask(t, s, "{}"); got != "hello" || err != nil {
		t.Errorf("first answer %q, %v; want hello and a clean end", got, err)
	}
	for range 2 { // the last script answers what comes after, too
		if got, err := ask(t, s, "[]"); got != "" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("later answer %q, %v; want a reset", got, err)
		}
	}
	seen := s.Requests()
	if len(seen) != 3 || s.Accepts() != 3 {
		t.Fatalf("%d requests on %d connections, want 3 on 3", len(seen), s.Accepts())
	}
	r := seen[1]
	if r.Index != 1 || r.Conn != 1 || r.Method != "POST" || r.Path != "/v1/x" || r.Header.Get("X-A") != "b" || string(r.Body) != "[]" {
		t.Errorf("request %+v", r)
	}
}

// A recording's text is bytes in latin-1, read by read.
func TestReplay(t *testing.T) {
	dir := t.TempDir()
	timed, raw := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "a.txt")
	for path, text := range map[string]string{
		timed: `{"ms": 1.5, "n": 3, "data": "a\u00c3\u00a9"}` + "\n" + `{"ms": 2, "n": 0, "data": ""}` + "\n", raw: "aé",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		script, err := targetstest.Replay(path, 1)
		if err != nil {
			t.Fatalf("Replay(%s) = %v", path, err)
		}
		if got, err := ask(t, targetstest.New(t, targetstest.Always(script...)), "{}"); got != "aé" || err != nil {
			t.Errorf("Replay(%s) sent %q, %v; want aé and a clean end", path, got, err)
		}
	}
	if _, err := targetstest.Replay(filepath.Join(dir, "none"), 1); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("Replay of no file = %v, want its error", err)
	}
}
