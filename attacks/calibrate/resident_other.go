//go:build !linux

package calibrate

import (
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// resident is about this process's memory that is in RAM, in bytes: what Go's runtime has and has not given back.
func resident() (int64, error) {
	read := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(read)
	return int64(read[0].Value.Uint64() - read[1].Value.Uint64()), nil
}

// model is the processor's name, where the system says it.
func model() string {
	name, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return ""
	}
	return name
}

// localPorts is not known: a connection that finds none says so.
func localPorts() int { return 0 }

// busy is not known here.
func busy() time.Duration { return 0 }
