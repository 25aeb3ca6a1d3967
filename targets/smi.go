package targets

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Limits of one call of nvidia-smi. A GPU that fell off the bus can keep it for long.
const (
	smiLimit  = 20 * time.Second
	smiOutput = 1 << 20
)

// smi runs nvidia-smi for this GPU and returns what it printed, on stdout and stderr. What
// it printed decides as much as the exit code.
func (g *GPUControl) smi(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, smiLimit)
	defer cancel()
	argv := slices.Concat(g.gpu.SMI, []string{"-i", g.gpu.UUID}, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) // the stack's own description names it
	cmd.WaitDelay = time.Second                           // an inherited pipe must not outlast it
	out := &bounded{left: smiOutput}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	text := out.String()
	if ctx.Err() != nil {
		return text, fmt.Errorf("gpu %s: %s did not end within its limit: %w", g.name, strings.Join(argv, " "), ctx.Err())
	}
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return text, fmt.Errorf("gpu %s: run %s: %w", g.name, argv[0], err)
	}
	if why := smiRefusal(code, text); why != "" {
		return text, fmt.Errorf("gpu %s: %s: exit %d: %s: %.400q", g.name, strings.Join(argv, " "), code, why, strings.TrimSpace(text))
	}
	return text, nil
}

// smiRefusal explains what nvidia-smi refused, or gives "". The codes are NVML's
// (nvmlReturn_t), which nvidia-smi exits with; the texts are recorded ones.
func smiRefusal(code int, text string) string {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
	}
	switch {
	case code == 4 || has("does not have permission", "Insufficient Permissions"):
		return "no permission: run as root, and in a container with --cap-add SYS_ADMIN"
	case code == 9 || has("couldn't communicate with the NVIDIA driver"):
		return "the NVIDIA driver is not loaded"
	case code == 3 || has("is not supported"):
		return "this GPU does not support it"
	case code == 6 || has("No devices were found"):
		return "unknown GPU; nvidia-smi -L lists the UUIDs"
	case code == 15 || has("GPU is lost"):
		return "the GPU is lost: it needs a reset"
	case code != 0:
		return "failed"
	}
	return ""
}

// parseSMI reads --format=csv by its header's names: nvidia-smi reorders and
// renames. The names come back without units and in the words of gpuFields.
func parseSMI(out string) ([]map[string]string, error) {
	r := csv.NewReader(strings.NewReader(out))
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = -1 // warnings may come before and after the table
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read nvidia-smi's table: %w: %.400q", err, out)
	}
	head := slices.IndexFunc(lines, func(l []string) bool { return slices.Contains(l, "uuid") })
	if head < 0 {
		return nil, fmt.Errorf("read nvidia-smi's table: no header: %.400q", out)
	}
	var rows []map[string]string
	for _, line := range lines[head+1:] {
		if len(line) != len(lines[head]) {
			continue
		}
		row := map[string]string{}
		for i, name := range lines[head] {
			name, _, _ = strings.Cut(name, " [") // clocks.current.sm [MHz]
			row[strings.Replace(name, "clocks.current.", "clocks.", 1)] = strings.TrimSpace(line[i])
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// bounded keeps the first bytes that are written to it, and takes all.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), b.left)
	b.left -= keep
	b.Buffer.Write(p[:keep])
	return len(p), nil
}
