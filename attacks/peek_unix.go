//go:build unix

package attacks

import (
	"errors"
	"net"
	"syscall"
)

// quiet reports whether an idle connection is still as it should be: open, and
// nothing to read. It asks the kernel and waits for nothing. A connection that it
// cannot ask about counts as quiet.
func quiet(conn net.Conn) bool {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = errors.Is(err, syscall.EAGAIN) // an end, an error and unasked-for bytes are none
	})
	return err == nil && open
}
