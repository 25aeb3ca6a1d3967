package targets_test

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets"
)

// Only what has certainly ended is dead.
func TestProcessAlive(t *testing.T) {
	self, err := targets.SelfID()
	must(t, err)
	parent, err := targets.IdentifyProcess(os.Getppid())
	must(t, err)
	change := func(f func(*targets.ProcessID)) targets.ProcessID { id := self; f(&id); return id }
	elsewhere := uint64(0)
	if self.Namespace != 0 {
		elsewhere = self.Namespace + 1
	} else if runtime.GOOS == "linux" {
		t.Errorf("SelfID() = %+v, want its PID namespace", self)
	}
	for _, tt := range []struct {
		name string
		id   targets.ProcessID
		want bool
	}{
		{"this one", self, true},
		{"its parent", parent, true},
		{"start and boot unknown", targets.ProcessID{PID: self.PID}, true},
		{"of an earlier boot", change(func(p *targets.ProcessID) { p.Boot = "another" }), false},
		{"the pid was used again", change(func(p *targets.ProcessID) { p.Start-- }), false},
		{"no such pid", change(func(p *targets.ProcessID) { p.PID = 1 << 30 }), false},
		{"no such pid here, but of another PID namespace", change(func(p *targets.ProcessID) { p.PID, p.Namespace = 1<<30, elsewhere }), elsewhere != 0},
		{"another PID namespace of an earlier boot", change(func(p *targets.ProcessID) { p.Boot, p.Namespace = "another", elsewhere }), false},
		{"the zero value", targets.ProcessID{}, false},
		{"a negative pid is a group", change(func(p *targets.ProcessID) { p.PID = -p.PID }), false},
	} {
		if got := targets.ProcessAlive(tt.id); got != tt.want {
			t.Errorf("%s: ProcessAlive(%+v) = %t, want %t", tt.name, tt.id, got, tt.want)
		}
	}
}

// A killed process that nobody has collected, a zombie, is dead. A stopped one is not.
func TestZombiesAreDead(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	must(t, cmd.Start())
	id, err := targets.IdentifyProcess(cmd.Process.Pid)
	must(t, err)
	must(t, cmd.Process.Signal(syscall.SIGSTOP))
	if !targets.ProcessAlive(id) {
		t.Errorf("ProcessAlive(%s), stopped = false, want true", id)
	}
	must(t, cmd.Process.Kill())
	for start := time.Now(); targets.ProcessAlive(id); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("ProcessAlive(%s), killed and not collected = true, want false", id)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("Wait() = nil, want that it was killed")
	}
	if targets.ProcessAlive(id) {
		t.Errorf("ProcessAlive(%s), collected = true, want false", id)
	}
}
