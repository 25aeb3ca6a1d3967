package calibrate

import (
	"fmt"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// Highest is the highest level up to which every one was within budget, or nil.
func (c *Calibration) Highest() *Level {
	var last *Level
	if c != nil {
		for i := range c.Levels {
			if !c.Levels[i].Within {
				break
			}
			last = &c.Levels[i]
		}
	}
	return last
}

// Exceeds says, before an attack begins, that it means to put on more than the machine is calibrated for. It is ""
// where it does not, and where nothing is known.
func (c *Calibration) Exceeds(peak attacks.Peak) string {
	high := c.Highest()
	tooMuch := ""
	switch {
	case c == nil || len(c.Levels) == 0:
	case high == nil:
		return fmt.Sprintf("this machine was over budget at %d streams already, the lowest load of its calibration (%s): "+
			"expect large timing errors; failwhale calibrate measures them again", c.Levels[0].Streams, c.date())
	case peak.Users > high.Streams:
		tooMuch = fmt.Sprintf("has %d streams at a time, and this machine is calibrated up to %d", peak.Users, high.Streams)
	case peak.Tokens > high.ChunksPerSecond:
		tooMuch = fmt.Sprintf("puts on some %.0f chunks/s (%.4g/s × %.0f tokens), and this machine is calibrated up to %.0f",
			peak.Tokens, peak.Requests, peak.Tokens/peak.Requests, high.ChunksPerSecond)
	}
	if tooMuch == "" {
		return ""
	}
	return "this plan " + tooMuch + ": expect its timing errors to be larger than stated; failwhale calibrate measures them"
}

// Exceeded says, after an attack, that more streams ran at a time than the machine is calibrated for; else it is "".
func (c *Calibration) Exceeded(streams int) string {
	high := c.Highest()
	if high == nil || streams <= high.Streams {
		return ""
	}
	return fmt.Sprintf("up to %d streams ran at a time, and this machine is calibrated up to %d: timing errors may be larger than stated",
		streams, high.Streams)
}

// Replaces says what is lost when c takes old's place: that old was good for more streams, by the same program. "": nothing is.
func (c *Calibration) Replaces(old *Calibration) string {
	was, now := old.Highest(), c.Highest()
	if was == nil || old.OtherVersion || now != nil && now.Streams >= was.Streams {
		return ""
	}
	return fmt.Sprintf("this replaces a calibration of %s up to %d streams", old.date(), was.Streams)
}

// Stated is the timing error of figures that were measured on this machine, in a line.
func (c *Calibration) Stated() string {
	high := c.Highest()
	switch {
	case c == nil || len(c.Levels) == 0:
		return "timing error: not calibrated on this machine (failwhale calibrate)"
	case high == nil:
		return fmt.Sprintf("timing error on this machine: over budget at %d streams already, the lowest load that was tried (calibrated %s)",
			c.Levels[0].Streams, c.date())
	}
	var ttft, itl results.Quantiles // the largest: few streams may wake a core that many keep awake
	for i := 0; i < len(c.Levels) && c.Levels[i].Streams <= high.Streams; i++ {
		l := &c.Levels[i]
		ttft.P50, ttft.P99 = max(ttft.P50, l.TTFT.P50), max(ttft.P99, l.TTFT.P99)
		itl.P50, itl.P99 = max(itl.P50, l.ITL.P50), max(itl.P99, l.ITL.P99)
	}
	return fmt.Sprintf("timing error on this machine up to %d streams: ttft p50 %v p99 %v, itl p50 %v p99 %v (calibrated %s)",
		high.Streams, ttft.P50, ttft.P99, itl.P50, itl.P99, c.date())
}

// date is when it was calibrated, and by whom if not by this version.
func (c *Calibration) date() string {
	date := c.At.Format("2006-01-02")
	if c.OtherVersion {
		date += " by failwhale " + c.Machine.Failwhale
	}
	return date
}
