package targets

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func bootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("read the boot session's uuid: %w", err)
	}
	return id, nil
}

// zombie is SZOMB of sys/proc.h.
const zombie = 5

func inspect(pid int) (process, error) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return process{}, fmt.Errorf("read kern.proc.pid.%d: %w", pid, err)
	}
	t := p.Proc.P_starttime
	return process{start: uint64(t.Sec)*1e6 + uint64(t.Usec), ended: p.Proc.P_stat == zombie}, nil
}

// pidNamespace: macOS has none.
func pidNamespace() uint64 { return 0 }
