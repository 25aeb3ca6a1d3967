//go:build !linux

package attacks

import (
	"errors"
	"time"
)

// An alarm is more punctual than a timer where a timer is not; kqueue's steps are
// nanoseconds, so there is none here.
type alarm struct{}

func newAlarm() (*alarm, error) { return nil, errors.ErrUnsupported }

func (*alarm) wait(time.Duration) error { return errors.ErrUnsupported }

func (*alarm) close() error { return nil }
