package perfect

import "golang.org/x/sys/unix"

// sleepUntil returns about when CLOCK_MONOTONIC reads at, or earlier. A Go timer would be up to a millisecond
// late (see attacks, whose alarm must also be woken by other news: this needs a thread, and no poller).
func sleepUntil(at int64) {
	ts := unix.NsecToTimespec(at)
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) // interrupted: the caller looks at the clock
}

// fine is how long before its time a wait is left to sleepUntil.
const fine = 1_200_000 // ns; Go's timers are up to a millisecond late
