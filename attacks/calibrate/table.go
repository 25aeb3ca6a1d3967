package calibrate

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// WriteTable draws the calibration for people.
func (c *Calibration) WriteTable(w io.Writer) error {
	out := new(strings.Builder)
	m := c.Machine
	fmt.Fprintf(out, "%s\n", c.Verdict())
	fmt.Fprintf(out, "%s: %s, %d cores, %s/%s, %s, failwhale %s; %s\n", m.Host, orUnknown(m.Model), m.CPUs, m.OS, m.Arch,
		m.Go, m.Failwhale, c.At.Format(time.RFC3339))
	if len(c.Levels) > 0 {
		if err := c.errorTable(out); err != nil {
			return err
		}
		if err := c.costTable(out); err != nil {
			return err
		}
	}
	if m := c.Memory; m != nil {
		fmt.Fprintf(out, "\nMEMORY  of a stream, with %d at a time (prompts of %d KiB, %d chunks each)\n %.1f KiB resident, of which %.1f KiB are alive and the rest is garbage not collected yet\n",
			m.Streams, m.PromptBytes/1024, m.Chunks, kib(m.ResidentPerStream), kib(m.LivePerStream))
		if m.Why != "" {
			fmt.Fprintf(out, " not a fair figure: %d failed; %s\n", m.Failed, m.Why)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Verdict is the highest load within budget, in a sentence.
func (c *Calibration) Verdict() string {
	budget := fmt.Sprintf("median errors of ttft %v and itl %v, %v at p99", c.Budget.TTFT, c.Budget.ITL, c.Budget.P99)
	switch high := c.Highest(); {
	case len(c.Levels) == 0:
		return "no load was measured"
	case high == nil:
		return fmt.Sprintf("at %d streams already, the lowest load that was tried, this machine does not stay within %s", c.Levels[0].Streams, budget)
	default:
		return fmt.Sprintf("up to %d streams (%.0f chunks/s) this machine stays within %s", high.Streams, high.ChunksPerSecond, budget)
	}
}

func (c *Calibration) errorTable(out io.Writer) error {
	fmt.Fprintf(out, "\nTIMING  p50 / p99, against the server's own stamps; a token each %v in every stream; server late: p99\n", c.Interval)
	var rows [][]string
	for _, l := range c.Levels {
		within := "✓ within"
		if !l.Within {
			within = "✗ over"
		}
		rows = append(rows, []string{
			fmt.Sprint(l.Streams), fmt.Sprint(l.Requests), pair(l.TTFT), pair(l.ITL), pair(l.Delay), pair(l.Lag), l.ServerLate.P99.String(), within,
		})
	}
	header := []string{"streams", "n", "ttft error", "itl error", "delivery", "lag", "server late", "budget"}
	if err := results.Table(out, header, rows); err != nil {
		return err
	}
	c.notes(out)
	return nil
}

// notes say below the errors why levels were over budget, and what else was in the way.
func (c *Calibration) notes(out io.Writer) {
	var late, disturbed []string
	for _, l := range c.Levels {
		if l.Why != "" {
			fmt.Fprintf(out, " ✗ %d streams: %s\n", l.Streams, l.Why)
		}
		if l.ServerLate.P99 > lateServer {
			late = append(late, fmt.Sprint(l.Streams))
		}
		if l.OtherCores > manyOthers*float64(c.Machine.CPUs) {
			disturbed = append(disturbed, fmt.Sprintf("%.1f cores at %d", l.OtherCores, l.Streams))
		}
	}
	if len(late) > 0 {
		fmt.Fprintf(out, " The server itself was late at %s streams: it lacked CPU, and the load was not as even as meant.\n", strings.Join(late, ", "))
	}
	if len(disturbed) > 0 {
		fmt.Fprintf(out, " Other processes used %s streams: calibrate again when the machine is quiet.\n", strings.Join(disturbed, ", "))
	}
}

// manyOthers is the part of the cores whose use by others is worth a word.
const manyOthers = 0.1

// lateServer is when the server's lateness is worth a word: a fifth of a gap, by which load is no longer even.
const lateServer results.Seconds = 4e-3

func (c *Calibration) costTable(out io.Writer) error {
	fmt.Fprintf(out, "\nCOST  of this process; the cores of the server, and of all others, beside it\n")
	var rows [][]string
	for _, l := range c.Levels {
		memory := fmt.Sprintf("%.0f", kib(l.ResidentPerStream))
		if l.Streams < manyStreams {
			memory = "–"
		}
		others := fmt.Sprintf("%.2f", l.OtherCores)
		if c.Machine.OS != "linux" { // the system does not say
			others = "–"
		}
		rows = append(rows, []string{
			fmt.Sprint(l.Streams), fmt.Sprintf("%.0f", l.ChunksPerSecond), fmt.Sprintf("%.2f", l.Cores), fmt.Sprintf("%.2f", l.ServerCores), others,
			fmt.Sprintf("%.0f", l.ChunksPerCPUSecond), memory, fmt.Sprint(l.GC.N), l.GC.P99.String(),
		})
	}
	return results.Table(out, []string{"streams", "chunks/s", "cores", "the server's", "others'", "chunks per CPU-second", "KiB a stream", "gc pauses", "gc p99"}, rows)
}

// manyStreams are enough for the memory of one to be seen beside that of the attack itself.
const manyStreams = 100

func pair(q results.Quantiles) string { return fmt.Sprintf("%v / %v", q.P50, q.P99) }

func kib(bytes int64) float64 { return float64(bytes) / 1024 }

func orUnknown(name string) string {
	if name == "" {
		return "processor unknown"
	}
	return name
}
