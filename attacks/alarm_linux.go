package attacks

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm wakes one goroutine within some 50 µs of the asked time, where a Go timer
// may be a millisecond late: the runtime waits in epoll, whose timeout has that
// step. A timerfd is an event like any other to it, and costs no spinning.
type alarm struct {
	fd   int
	file *os.File // the same; it reads through the runtime's poller
	buf  [8]byte
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timerfd: %w", err)
	}
	return &alarm{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

// wait returns after d, which must be over 0.
func (a *alarm) wait(d time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("set timerfd: %w", err)
	}
	if _, err := a.file.Read(a.buf[:]); err != nil {
		return fmt.Errorf("wait for timerfd: %w", err)
	}
	return nil
}

func (a *alarm) close() error { return a.file.Close() }
