//go:build !linux

package refstack

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttr puts a child into a process group of its own, so that a Ctrl-C at
// the terminal is the supervisor's alone. There is no parent-death signal here:
// a child sees its lifeline end, and a stopped one gets the SIGHUP of an orphaned group.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// isStopped reports whether pid has been stopped by a signal.
func isStopped(pid int) (bool, error) {
	out, err := exec.CommandContext(context.Background(), "ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return false, fmt.Errorf("ask ps for process %d: %w", pid, err)
	}
	return strings.HasPrefix(strings.TrimSpace(string(out)), "T"), nil
}
