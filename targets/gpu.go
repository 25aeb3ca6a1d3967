package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Unlocked is the GPU.Clocks of a GPU whose clocks its operator has not locked.
const Unlocked = "unlocked"

// A GPUControl drives one GPU through nvidia-smi on the GPU's host. It keys on
// the UUID, and believes neither the exit code nor the text alone: nvidia-smi
// exits 0 where a device does not support a setting, prints refusals to stdout,
// and no field shows a lock.
type GPUControl struct {
	name string
	gpu  GPU
}

// A Clocks is a range of SM clocks in MHz. The zero value means unlocked.
type Clocks struct{ Min, Max int }

// String gives "unlocked", "600 MHz" or "MIN,MAX MHz".
func (c Clocks) String() string {
	switch {
	case c == (Clocks{}):
		return Unlocked
	case c.Min == c.Max:
		return fmt.Sprintf("%d MHz", c.Max)
	}
	return fmt.Sprintf("%d,%d MHz", c.Min, c.Max)
}

// Resource names the GPU: its UUID is its own, whichever way nvidia-smi is run.
func (g *GPUControl) Resource() string { return g.gpu.UUID }

// Operator is what the operator says the GPU is locked to outside of experiments.
func (g *GPUControl) Operator() (Clocks, error) {
	switch text := strings.TrimSpace(g.gpu.Clocks); text {
	case "":
		return Clocks{}, fmt.Errorf("gpu %s: clocks is not set: a lock cannot be read back, so write clocks: unlocked, or clocks: MIN,MAX as its operator has locked it", g.name)
	case Unlocked:
		return Clocks{}, nil
	default:
		lo, hi, ok := strings.Cut(text, ",")
		least, err := strconv.Atoi(strings.TrimSpace(lo))
		most, err2 := strconv.Atoi(strings.TrimSpace(hi))
		if !ok || errors.Join(err, err2) != nil || least < 0 || most < max(least, 1) {
			return Clocks{}, fmt.Errorf("gpu %s: clocks %q isn't %s or MIN,MAX in MHz", g.name, text, Unlocked)
		}
		return Clocks{least, most}, nil
	}
}

// Lock locks the clocks. It returns what nvidia-smi printed. That it is in force shows only under load.
func (g *GPUControl) Lock(ctx context.Context, c Clocks) (string, error) {
	out, err := g.smi(ctx, "-lgc", fmt.Sprintf("%d,%d", c.Min, c.Max))
	if err != nil {
		return out, err
	}
	// GPU clocks set to "(gpuClkMin 1000, gpuClkMax 1000)" for GPU 00000000:07:00.0
	if !strings.Contains(out, fmt.Sprintf("gpuClkMin %d, gpuClkMax %d", c.Min, c.Max)) {
		return out, fmt.Errorf("gpu %s: nvidia-smi -lgc does not say that it set the clocks: %.400q", g.name, out)
	}
	return out, nil
}

// Unlock gives the clocks back to the driver. Idempotent.
func (g *GPUControl) Unlock(ctx context.Context) (string, error) {
	out, err := g.smi(ctx, "-rgc")
	if err != nil {
		return out, err
	}
	if !strings.Contains(out, "All done.") {
		return out, fmt.Errorf("gpu %s: nvidia-smi -rgc does not say that it is done: %.400q", g.name, out)
	}
	return out, nil
}

// A GPUReading is what nvidia-smi shows of a GPU at one moment.
type GPUReading struct {
	UUID string
	// SM and MaxSM are clocks in MHz; 0: not known.
	SM, MaxSM int
	// Utilization is the share of the last sample period in which the GPU worked, in %.
	Utilization int
	// MIG: the GPU is split, and its clocks are shared by tenants.
	MIG bool
	// Persistence mode off: the driver may unload when nothing uses the GPU, and drop any lock.
	Persistence bool
	// Slowdowns are what else holds the clocks down: thermal, power brake, power cap.
	Slowdowns []string
}

// Fields of a reading. Without the second group a reading is still worth something.
func gpuFields() (need, want []string) {
	return []string{"uuid", "clocks.sm", "utilization.gpu"},
		[]string{"clocks.max.sm", "mig.mode.current", "persistence_mode", reasonsField}
}

const (
	reasonsField    = "clocks_event_reasons.active"
	oldReasonsField = "clocks_throttle_reasons.active" // before driver 535
)

// Read queries the GPU. Fields that this driver does not know are left out,
// unless nothing could be told without them.
func (g *GPUControl) Read(ctx context.Context) (GPUReading, error) {
	need, want := gpuFields()
	for {
		out, err := g.smi(ctx, "--query-gpu="+strings.Join(slices.Concat(need, want), ","), "--format=csv")
		if err == nil {
			return g.parse(out)
		}
		bad := unknownField(out)
		i := slices.Index(want, bad)
		switch {
		case i < 0:
			return GPUReading{}, err
		case bad == reasonsField:
			want[i] = oldReasonsField
		default:
			want = slices.Delete(want, i, i+1)
		}
	}
}

// unknownField finds the name in: Field "xyz" is not a valid field to query.
func unknownField(out string) string {
	_, rest, _ := strings.Cut(out, `Field "`)
	name, _, ok := strings.Cut(rest, `" is not a valid field to query`)
	if !ok {
		return ""
	}
	return name
}

func (g *GPUControl) parse(out string) (GPUReading, error) {
	rows, err := parseSMI(out)
	if err != nil {
		return GPUReading{}, fmt.Errorf("gpu %s: %w", g.name, err)
	}
	i := slices.IndexFunc(rows, func(r map[string]string) bool { return r["uuid"] == g.gpu.UUID })
	if i < 0 {
		return GPUReading{}, fmt.Errorf("gpu %s: nvidia-smi shows no GPU %s: %.400q", g.name, g.gpu.UUID, out)
	}
	row := rows[i]
	r := GPUReading{
		UUID: g.gpu.UUID, MIG: row["mig.mode.current"] == "Enabled",
		Persistence: row["persistence_mode"] != "Disabled",
		Slowdowns:   slowdowns(cmp.Or(row[reasonsField], row[oldReasonsField])),
		MaxSM:       number(row["clocks.max.sm"]),
	}
	for _, f := range []struct {
		name string
		to   *int
	}{{"clocks.sm", &r.SM}, {"utilization.gpu", &r.Utilization}} {
		if *f.to = number(row[f.name]); *f.to < 0 {
			return r, fmt.Errorf("gpu %s: nvidia-smi gives %q for %s: whether a lock is in force cannot be told", g.name, row[f.name], f.name)
		}
	}
	r.MaxSM = max(r.MaxSM, 0)
	return r, nil
}

// number reads "1980 MHz"; -1: none, as in "[N/A]".
func number(text string) int {
	first, _, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(first)
	if err != nil {
		return -1
	}
	return n
}

// slowdowns names the bits (nvmlClocksEventReasons of nvml.h) by which something else than a lock holds the clocks down.
func slowdowns(mask string) []string {
	bits, err := strconv.ParseUint(strings.TrimPrefix(mask, "0x"), 16, 64)
	if err != nil {
		return nil
	}
	var names []string
	for _, b := range []struct {
		bit  uint64
		name string
	}{{0x4, "sw_power_cap"}, {0x8, "hw_slowdown"}, {0x20, "sw_thermal_slowdown"}, {0x40, "hw_thermal_slowdown"}, {0x80, "hw_power_brake_slowdown"}} {
		if bits&b.bit != 0 {
			names = append(names, b.name)
		}
	}
	return names
}
