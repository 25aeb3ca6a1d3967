package refstack

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// childAttr puts a child into a process group of its own, so that a Ctrl-C at
// the terminal is the supervisor's alone, and has the kernel kill it when the
// thread that started it ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// isStopped reports whether every thread of pid has been stopped by a signal.
func isStopped(pid int) (bool, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false, err
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) == 0 {
		return false, fmt.Errorf("read /proc/%d/stat: %q has too few fields", pid, text)
	}
	return string(fields[0]) == "T", nil
}
