//go:build unix

package attacks

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// canPark: a connection can be waited for without a buffer to read into.
const canPark = true

// readFD reads what is there. It waits for nothing: again says that there is nothing yet.
func readFD(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("read", err)
		case n == 0:
			return 0, false, io.EOF
		}
		return n, false, nil
	}
}

// limitBuffer has the kernel keep no more than about so many bytes that came and were not read.
func limitBuffer(fd uintptr, size int) error {
	return os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, size))
}
