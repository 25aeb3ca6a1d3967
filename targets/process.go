package targets

import (
	"fmt"
	"os"
	"syscall"
)

// SelfID is the identity of this process.
func SelfID() (ProcessID, error) { return IdentifyProcess(os.Getpid()) }

// IdentifyProcess returns the identity of the process that has this pid now.
func IdentifyProcess(pid int) (ProcessID, error) {
	boot, err := bootID()
	if err != nil {
		return ProcessID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	p, err := inspect(pid)
	if err != nil {
		return ProcessID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return ProcessID{PID: pid, Start: p.start, Boot: boot, Namespace: pidNamespace()}, nil
}

// ProcessAlive reports whether id still runs. It says no only where that is
// certain: another boot, no process of that pid, one that started at another
// time, or one that has ended and waits to be collected (a zombie). A process
// that this user may not see is alive, and so is one of another PID namespace,
// where its pid is another process or none from here.
func ProcessAlive(id ProcessID) bool {
	if id.PID <= 0 {
		return false
	}
	if boot, err := bootID(); err == nil && id.Boot != "" && boot != id.Boot {
		return false
	}
	if here := pidNamespace(); here != 0 && id.Namespace != 0 && here != id.Namespace {
		return true
	}
	for range 2 { // a second look, if it began or ended between the questions
		p, err := inspect(id.PID)
		if err == nil {
			return !p.ended && (id.Start == 0 || p.start == id.Start)
		}
		if exists := syscall.Kill(id.PID, 0); exists != nil && exists != syscall.EPERM {
			return false
		}
	}
	return true
}

// String is the pid, for people.
func (id ProcessID) String() string { return fmt.Sprintf("pid %d", id.PID) }

// A process is what the system says of a pid.
type process struct {
	start uint64 // as ProcessID.Start
	ended bool   // it has exited and was not collected yet
}
