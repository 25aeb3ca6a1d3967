//go:build !linux

package perfect

// sleepUntil has nothing to do: Go's timers are exact where they do not wait in epoll.
func sleepUntil(int64) {}

const fine = 0
