package refstack

import (
	"fmt"
	"strings"
	"time"
)

// What the look-alike says of its GPUs where it is asked for more than clocks. Figures of an H100 SXM.
const (
	gpuName     = "NVIDIA H100 80GB HBM3"
	gpuDriver   = "580.95.05"
	gpuMemoryMB = 81559
	gpuUsedMB   = 73404 // weights and KV pool at 0.9
	gpuMemMHz   = 2619
	gpuIdleWatt = 72.0
	gpuMaxWatt  = 700.0
	// Decoding draws 137 to 300 of 700 W on the H200 (arXiv 2605.11999): power caps hardly ever bite.
	gpuLoadWatt = 300.0
)

// A smiField is one column of --query-gpu: its header, its unit if it has one, and its value.
type smiField struct {
	header, unit string
	value        func(i int, g hostGPU, s gpuStatus) string
}

// lookUp finds a field. Headers come back under the current names, as the real ones do.
func lookUp(name string, now time.Time) (smiField, bool) {
	fixed := func(header, unit, value string) (smiField, bool) {
		return smiField{header, unit, func(int, hostGPU, gpuStatus) string { return value }}, true
	}
	switch name = strings.Replace(name, "clocks_throttle_reasons.", "clocks_event_reasons.", 1); name {
	case "timestamp":
		return fixed(name, "", now.Format("2006/01/02 15:04:05.000"))
	case "name", "gpu_name":
		return fixed("name", "", gpuName)
	case "driver_version":
		return fixed(name, "", gpuDriver)
	case "memory.total", "memory.used", "memory.free":
		return fixed(name, "MiB", fmt.Sprint(map[string]int{
			"memory.total": gpuMemoryMB, "memory.used": gpuUsedMB, "memory.free": gpuMemoryMB - gpuUsedMB,
		}[name]))
	case "clocks.mem", "clocks.current.memory":
		return fixed("clocks.current.memory", "MHz", fmt.Sprint(gpuMemMHz))
	case "clocks.max.sm", "clocks.max.gr", "clocks.max.graphics":
		return fixed(strings.Replace(name, "max.gr", "max.graphics", 1), "MHz", fmt.Sprint(NominalMHz))
	case "clocks.max.mem", "clocks.max.memory":
		return fixed("clocks.max.memory", "MHz", fmt.Sprint(gpuMemMHz))
	case "power.limit", "power.default_limit", "power.max_limit":
		return fixed(name, "W", fmt.Sprintf("%.2f", gpuMaxWatt))
	case "power.min_limit":
		return fixed(name, "W", "200.00")
	case "persistence_mode":
		return fixed(name, "", "Enabled")
	case "mig.mode.current":
		return fixed(name, "", "Disabled")
	}
	return liveField(name)
}

// liveField finds a field that differs by GPU or changes.
func liveField(name string) (smiField, bool) {
	field := func(header, unit string, value func(i int, g hostGPU, s gpuStatus) string) (smiField, bool) {
		return smiField{header, unit, value}, true
	}
	switch name {
	case "index":
		return field(name, "", func(i int, _ hostGPU, _ gpuStatus) string { return fmt.Sprint(i) })
	case "uuid", "gpu_uuid":
		return field("uuid", "", func(_ int, g hostGPU, _ gpuStatus) string { return g.UUID })
	case "pci.bus_id", "gpu_bus_id":
		return field("pci.bus_id", "", func(_ int, g hostGPU, _ gpuStatus) string { return g.Bus })
	case "clocks.sm", "clocks.current.sm":
		return field("clocks.current.sm", "MHz", func(_ int, _ hostGPU, s gpuStatus) string { return fmt.Sprint(s.SM) })
	case "clocks.gr", "clocks.current.graphics":
		return field("clocks.current.graphics", "MHz", func(_ int, _ hostGPU, s gpuStatus) string { return fmt.Sprint(s.SM) })
	case "utilization.gpu":
		return field(name, "%", func(_ int, _ hostGPU, s gpuStatus) string { return fmt.Sprint(s.Utilization) })
	case "power.draw":
		return field(name, "W", func(_ int, _ hostGPU, s gpuStatus) string {
			share := float64(s.Utilization) / 100 * float64(s.SM) / NominalMHz
			return fmt.Sprintf("%.2f", gpuIdleWatt+share*(gpuLoadWatt-gpuIdleWatt))
		})
	case "clocks_event_reasons.active":
		return field(name, "", func(_ int, _ hostGPU, s gpuStatus) string {
			if s.Utilization == 0 {
				return "0x0000000000000001"
			}
			return "0x0000000000000000"
		})
	case "clocks_event_reasons.gpu_idle":
		return field(name, "", func(_ int, _ hostGPU, s gpuStatus) string { return active(s.Utilization == 0) })
	case "clocks_event_reasons.applications_clocks_setting", "clocks_event_reasons.sw_power_cap",
		"clocks_event_reasons.hw_slowdown", "clocks_event_reasons.hw_thermal_slowdown",
		"clocks_event_reasons.hw_power_brake_slowdown", "clocks_event_reasons.sw_thermal_slowdown",
		"clocks_event_reasons.sync_boost":
		return field(name, "", func(int, hostGPU, gpuStatus) string { return active(false) })
	}
	return smiField{}, false
}

func active(yes bool) string {
	if yes {
		return "Active"
	}
	return "Not Active"
}

// printQuery answers --query-gpu as CSV.
func (s *smi) printQuery(status []gpuStatus) int {
	var fields []smiField
	now := time.Now()
	for name := range strings.SplitSeq(s.query, ",") {
		name = strings.TrimSpace(name)
		f, ok := lookUp(name, now)
		if !ok {
			fmt.Fprintf(s.out, "Field %q is not a valid field to query.\n", name)
			return smiInvalid
		}
		fields = append(fields, f)
	}
	if !s.noHeader {
		cells := make([]string, len(fields))
		for k, f := range fields {
			if cells[k] = f.header; f.unit != "" { // nounits is for the values alone
				cells[k] += " [" + f.unit + "]"
			}
		}
		fmt.Fprintln(s.out, strings.Join(cells, ", "))
	}
	for _, i := range s.chosen {
		cells := make([]string, len(fields))
		for k, f := range fields {
			if cells[k] = f.value(i, s.host.GPUs[i], status[i]); f.unit != "" && !s.noUnit {
				cells[k] += " " + f.unit
			}
		}
		fmt.Fprintln(s.out, strings.Join(cells, ", "))
	}
	return smiOK
}
