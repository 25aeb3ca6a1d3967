package targets

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// inspect reads /proc/PID/stat (proc_pid_stat(5)): field 3 is the state, field 22 the start time.
func inspect(pid int) (process, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	// Field 2 is the command in parentheses, and may itself hold spaces and parentheses.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("read /proc/%d/stat: %q has too few fields", pid, text)
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("read /proc/%d/stat: start time: %w", pid, err)
	}
	return process{start: start, ended: strings.ContainsAny(string(fields[0]), "ZXx")}, nil
}

// pidNamespace is the inode in a link like pid:[4026531836] (pid_namespaces(7)); 0: not known.
func pidNamespace() uint64 {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
