package perfect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// Command is the server's process: args are its flags, as Start gives them. It writes its URL to stdout, in a
// line, and serves until ctx ends or stdin does, and returns nil then.
func Command(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var timing Timing
	flags := flag.NewFlagSet("perfect-server", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.DurationVar(&timing.Prefill, "prefill", 50*time.Millisecond, "`time` from a request to its first token")
	flags.DurationVar(&timing.Interval, "interval", 20*time.Millisecond, "`time` from a token to the next")
	if err := errors.Join(flags.Parse(args), timing.Validate()); err != nil {
		return fmt.Errorf("perfect-server: %w", err)
	}
	// It holds little and makes little garbage: let it collect rarely. The process has nothing else to do.
	debug.SetGCPercent(400)
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("perfect-server: %w", err)
	}
	go func() { // ends with the process: nobody can take stdin away from a read
		_, _ = io.Copy(io.Discard, stdin) // an error is an end too
		cancel()
	}()
	if _, err := fmt.Fprintf(stdout, "http://%s\n", l.Addr()); err != nil {
		return fmt.Errorf("perfect-server: say where it serves: %w", errors.Join(err, l.Close()))
	}
	if err := Serve(ctx, l, timing); err != nil {
		return fmt.Errorf("perfect-server: %w", err)
	}
	return nil
}

// A Process is a perfect server that this process started. However this process ends, the server ends too: it
// reads the other end of a pipe. Whoever starts it stops it.
type Process struct {
	// URL is its base.
	URL string

	cmd      *exec.Cmd
	lifeline io.Closer
	said     *bytes.Buffer // on stderr; to be read once it has ended
	client   *http.Client
}

const (
	startLimit = 20 * time.Second // until it says where it serves
	stopLimit  = 10 * time.Second // from the end of the lifeline to the process's
)

// Start starts argv, which must run Command with the flags that are added to it, and returns once it serves.
func Start(ctx context.Context, argv []string, timing Timing) (*Process, error) {
	if len(argv) == 0 {
		return nil, errors.New("start perfect server: no command")
	}
	args := append(argv[1:len(argv):len(argv)], "--prefill", timing.Prefill.String(), "--interval", timing.Interval.String())
	p := &Process{said: new(bytes.Buffer), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), argv[0], args...) // main says what to start; the lifeline ends it
	p.cmd.Stderr = p.said
	// A Ctrl-C at the terminal is for the client, which stops the server when it is done with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start perfect server: %w", err)
	}
	p.lifeline = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start perfect server: %w", errors.Join(err, stdin.Close()))
	}
	if err = p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start perfect server: %w", errors.Join(err, stdin.Close()))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it does not serve after %s", startLimit))
	defer cancel()
	unhook := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() }) // ends the read
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !unhook() {
		err = errors.Join(context.Cause(ctx), p.Stop())
		return nil, fmt.Errorf("start perfect server: %s: it did not say where it serves: %w", argv[0], err)
	}
	p.URL = strings.TrimSpace(line)
	return p, nil
}

// Stamps returns what the server noted since it was last asked.
func (p *Process) Stamps(ctx context.Context) (*Stamps, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+stampsPath, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask for the server's stamps: %w", err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the server's stamps: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read
	return decodeStamps(bufio.NewReader(resp.Body))
}

// Stop ends the server. Its error is what the server said for itself where it did not end in order.
func (p *Process) Stop() error {
	closing := p.lifeline.Close()
	timer := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the perfect server ended with %w; %s", err, strings.TrimSpace(p.said.String()))
	}
	return closing
}
