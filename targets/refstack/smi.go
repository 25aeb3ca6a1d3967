package refstack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Exit codes of nvidia-smi, which are NVML's.
const (
	smiOK           = 0
	smiInvalid      = 2
	smiNotFound     = 6
	smiNoDriver     = 9
	smiUnknownError = 255
)

// smiNoDriverText is what nvidia-smi says where there is no GPU.
const smiNoDriverText = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. " +
	"Make sure that the latest NVIDIA driver is installed and running.\n"

// SMI is the stack's nvidia-smi: it takes `--host FILE` (which the Handle's argv has) and then what
// the real one takes for clocks: -L, -i GPU, -lgc MIN,MAX or N, -rgc, and --query-gpu=FIELDS
// --format=csv[,noheader][,nounits]. It answers in the real one's words, on stdout as that does,
// and returns its exit code. As with the real one, a lock cannot be read back, and a clock can only
// be seen under load.
func SMI(ctx context.Context, args []string, stdout io.Writer) int {
	s := smi{out: stdout}
	if err := s.parse(args); err != nil {
		fmt.Fprintln(stdout, err)
		return smiInvalid
	}
	if s.hostFile == "" {
		fmt.Fprint(stdout, smiNoDriverText)
		return smiNoDriver
	}
	text, err := os.ReadFile(s.hostFile)
	if err != nil || json.Unmarshal(text, &s.host) != nil {
		fmt.Fprint(stdout, smiNoDriverText)
		return smiNoDriver
	}
	if err := s.choose(); err != nil {
		fmt.Fprintln(stdout, err)
		return smiNotFound
	}
	switch {
	case s.list:
		return s.printList()
	case s.lock != "":
		return s.setLock()
	case s.reset:
		return s.apply(clockLock{}, "")
	case s.query != "":
		return s.printQuery(s.status(ctx))
	}
	fmt.Fprintln(stdout, "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.")
	return smiInvalid
}

// smi is one invocation.
type smi struct {
	out                           io.Writer
	hostFile, id, lock, query     string
	list, reset, noHeader, noUnit bool
	host                          host
	chosen                        []int
}

// A smiError is a sentence that nvidia-smi prints.
type smiError string

func (e smiError) Error() string { return string(e) }

func (s *smi) parse(args []string) error {
	formatted := false
	for len(args) > 0 {
		name, value, joined := strings.Cut(args[0], "=")
		args = args[1:]
		take := func() error {
			if !joined && len(args) == 0 {
				return smiError(fmt.Sprintf("Missing value for option %s.", name))
			}
			if !joined {
				value, args = args[0], args[1:]
			}
			return nil
		}
		var err error
		switch name {
		case "--host":
			err = take()
			s.hostFile = value
		case "-i", "--id":
			err = take()
			s.id = value
		case "-lgc", "--lock-gpu-clocks":
			err = take()
			s.lock = value
		case "-rgc", "--reset-gpu-clocks":
			s.reset = true
		case "-L", "--list-gpus":
			s.list = true
		case "--query-gpu":
			err = take()
			s.query = value
		case "--format":
			err = take()
			formatted = true
			s.noHeader = hasWord(value, "noheader")
			s.noUnit = hasWord(value, "nounits")
		default:
			err = smiError(fmt.Sprintf("Invalid combination of input arguments: %q. Please run 'nvidia-smi -h' for help.", name))
		}
		if err != nil {
			return err
		}
	}
	if s.query != "" && !formatted {
		return smiError("\"--format=\" switch is missing. Please run 'nvidia-smi -h' for help.")
	}
	return nil
}

func hasWord(list, word string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(part) == word {
			return true
		}
	}
	return false
}

// choose finds the GPUs that -i names, by index, UUID or PCI address; without -i, all.
func (s *smi) choose() error {
	if s.id == "" {
		for i := range s.host.GPUs {
			s.chosen = append(s.chosen, i)
		}
		return nil
	}
	for id := range strings.SplitSeq(s.id, ",") {
		found := false
		for i, g := range s.host.GPUs {
			if id == strconv.Itoa(i) || id == g.UUID || strings.EqualFold(id, g.Bus) {
				s.chosen, found = append(s.chosen, i), true
			}
		}
		if !found {
			return smiError("No devices were found")
		}
	}
	return nil
}

func (s *smi) printList() int {
	for _, i := range s.chosen {
		fmt.Fprintf(s.out, "GPU %d: %s (UUID: %s)\n", i, gpuName, s.host.GPUs[i].UUID)
	}
	return smiOK
}

// setLock parses MIN,MAX or one value for both, in MHz, and locks.
func (s *smi) setLock() int {
	low, high, both := strings.Cut(s.lock, ",")
	if !both {
		high = low
	}
	lo, err1 := strconv.Atoi(low)
	hi, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || lo > hi || lo < minMHz || hi > NominalMHz {
		for _, i := range s.chosen {
			fmt.Fprintf(s.out, "Invalid argument: GPU clocks \"(gpuClkMin %s, gpuClkMax %s)\" are not valid for GPU %s; "+
				"they should be between %d MHz and %d MHz.\n", low, high, s.host.GPUs[i].Bus, minMHz, NominalMHz)
		}
		fmt.Fprintln(s.out, "Terminating early due to previous errors.")
		return smiInvalid
	}
	snap := func(mhz int) int { return minMHz + (mhz-minMHz)/stepMHz*stepMHz }
	return s.apply(clockLock{Min: snap(lo), Max: snap(hi)}, fmt.Sprintf("(gpuClkMin %d, gpuClkMax %d)", lo, hi))
}

// apply writes a lock, or its absence, for every chosen GPU.
func (s *smi) apply(l clockLock, words string) int {
	for _, i := range s.chosen {
		if err := l.write(s.host.GPUs[i].Lock); err != nil {
			fmt.Fprintf(s.out, "Unable to set locked GPU clocks for GPU %s: %v\nTerminating early due to previous errors.\n", s.host.GPUs[i].Bus, err)
			return smiUnknownError
		}
		if words != "" {
			fmt.Fprintf(s.out, "GPU clocks set to %q for GPU %s\n", words, s.host.GPUs[i].Bus)
		}
	}
	fmt.Fprintln(s.out, "All done.")
	return smiOK
}

// status asks the region's process what the GPUs do. Nobody works on them where it does not answer:
// a driver outlives its users.
func (s *smi) status(ctx context.Context) []gpuStatus {
	out := make([]gpuStatus, len(s.host.GPUs))
	for i, g := range s.host.GPUs {
		lock, err := readLock(g.Lock)
		if err != nil {
			lock = clockLock{}
		}
		out[i].SM = lock.idle()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.host.Status, http.NoBody)
	if err != nil {
		return out
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return out
	}
	defer func() { _ = res.Body.Close() }() // read, or given up
	var live []gpuStatus
	if json.NewDecoder(res.Body).Decode(&live) != nil || len(live) != len(out) {
		return out
	}
	return live
}
