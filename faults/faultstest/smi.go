package faultstest

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/failwhale/failwhale/targets"
)

const (
	smiBus  = "00000000:07:00.0"
	smiIdle = 345 // MHz
)

// SMI is the scripted nvidia-smi: args are those after SMICommand. It returns the exit code.
func SMI(args []string, out io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(out, "no state file")
		return 255
	}
	s, err := readGPU(args[0])
	if err != nil {
		fmt.Fprintln(out, err)
		return 255
	}
	m := smi{GPUState: s, file: args[0], out: out}
	return m.run(args[1:])
}

// smi is one run of nvidia-smi.
type smi struct {
	GPUState
	file string
	out  io.Writer
}

func (m *smi) run(args []string) int {
	if m.Mode == "driver" {
		m.say("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.")
		return 9
	}
	if len(args) < 3 || args[0] != "-i" || args[1] != m.UUID {
		m.say("No devices were found")
		return 6
	}
	verb := args[2]
	if fields, ok := strings.CutPrefix(verb, "--query-gpu="); ok {
		if m.Idle > 0 {
			m.Idle--
			if err := writeGPU(m.file, m.GPUState); err != nil {
				m.say(err.Error())
				return 255
			}
			m.Utilization = 0
		}
		return m.query(strings.Split(fields, ","))
	}
	lock := targets.Clocks{}
	if verb == "-lgc" && len(args) == 4 {
		lo, hi, _ := strings.Cut(args[3], ",")
		lock = targets.Clocks{Min: atoi(lo), Max: atoi(hi)}
	} else if verb != "-rgc" {
		m.say("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.")
		return 2
	}
	return m.lock(lock)
}

func (m *smi) lock(lock targets.Clocks) int {
	switch m.Mode {
	case "permission": // on stdout
		m.say("The current user does not have permission to change clocks for GPU " + smiBus + ".\nTerminating early due to previous errors.")
		return 4
	case "unsupported": // exit 0
		m.say("Setting locked GPU clocks is not supported for GPU " + smiBus + ".\nTreating as warning and moving on.\nAll done.")
		return 0
	}
	m.Lock = lock
	if err := writeGPU(m.file, m.GPUState); err != nil {
		m.say(err.Error())
		return 255
	}
	if m.Mode == "lost" {
		m.say("Unable to tell what became of it")
		return 255
	}
	if lock != (targets.Clocks{}) {
		m.say(fmt.Sprintf("GPU clocks set to \"(gpuClkMin %d, gpuClkMax %d)\" for GPU %s", lock.Min, lock.Max, smiBus))
	}
	m.say("All done.")
	return 0
}

func (m *smi) say(text string) { fmt.Fprintln(m.out, text) }

func (m *smi) clock() int {
	switch {
	case m.Utilization == 0:
		return smiIdle
	case m.Stuck:
		return m.Clock
	case m.Lock.Max > 0:
		return min(m.Max, m.Lock.Max)
	}
	return m.Max
}

// query prints a table under the current names of the fields, whatever they were asked by, and in
// an order of its own.
func (m *smi) query(fields []string) int {
	onOff := map[bool]string{true: "Enabled", false: "Disabled"}
	known := map[string][2]string{
		"uuid":                           {"uuid", m.UUID},
		"clocks.sm":                      {"clocks.current.sm [MHz]", strconv.Itoa(m.clock()) + " MHz"},
		"clocks.max.sm":                  {"clocks.max.sm [MHz]", strconv.Itoa(m.Max) + " MHz"},
		"utilization.gpu":                {"utilization.gpu [%]", strconv.Itoa(m.Utilization) + " %"},
		"mig.mode.current":               {"mig.mode.current", onOff[m.MIG]},
		"persistence_mode":               {"persistence_mode", "Enabled"},
		"clocks_event_reasons.active":    {"clocks_event_reasons.active", fmt.Sprintf("0x%016x", m.Reasons)},
		"clocks_throttle_reasons.active": {"clocks_throttle_reasons.active", fmt.Sprintf("0x%016x", m.Reasons)},
	}
	if m.Old {
		delete(known, "persistence_mode")
		delete(known, "clocks_event_reasons.active")
	}
	var head, row []string
	for _, f := range slices.Backward(fields) {
		v, ok := known[f]
		if !ok {
			m.say(fmt.Sprintf("Field %q is not a valid field to query.", f))
			return 2
		}
		head, row = append(head, v[0]), append(row, v[1])
	}
	m.say(strings.Join(head, ", ") + "\n" + strings.Join(row, ", "))
	return 0
}

func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}
