package experiments

import (
	"fmt"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// A faultStory is what became of one planned fault.
type faultStory struct {
	report  results.FaultReport
	failed  bool   // Inject or Prepare failed
	forced  bool   // the harm was in force
	touched int64  // the most that any evidence says
	blind   string // why there was no evidence, when last asked
}

func (f *faultStory) event(e *results.Event) {
	r := &f.report
	switch e.Kind {
	case results.EventInject:
		r.Injected = e.At
	case results.EventInjected:
		r.InForce, r.Detail = e.At, e.Detail
		f.forced = true
	case results.EventInjectFailed:
		f.failed = true
		r.Error = e.Detail
	case results.EventEvidence:
		f.blind = e.Detail
		if e.Evidence != nil {
			evidence := *e.Evidence
			r.Evidence, f.touched = &evidence, max(f.touched, evidence.Touched)
		}
	case results.EventReverted:
		r.RevertedAt, r.Restored = e.At, e.Restored
		switch {
		case !e.Restored.Harmless():
			r.Error = e.Detail
		case e.Detail != "" && r.Detail == "":
			r.Detail = e.Detail
		case e.Detail != "":
			r.Detail += "; " + e.Detail
		}
	default: // not a fault's
	}
}

// harm says why harm may remain, or "". A torn log ends before its faults were reverted as a matter
// of course: the reaper has the last word there, and its word is not in the log.
func (f *faultStory) harm(torn bool) string {
	r := f.report
	switch {
	case r.Restored == "" && r.Injected > 0 && !torn:
		return fmt.Sprintf("fault %s was injected and never reverted", r.ID)
	case r.Restored != "" && !r.Restored.Harmless():
		return because(fmt.Sprintf("fault %s: %s", r.ID, r.Restored), r.Error)
	default:
		return ""
	}
}

// void says why what was seen under the fault decides nothing, or "".
func (f *faultStory) void(torn bool) string {
	r := f.report
	switch {
	case f.failed:
		return because(fmt.Sprintf("fault %s could not be put in force", r.ID), r.Error)
	case torn && r.Evidence == nil:
		return "" // killed before it was asked for
	case r.Injected == 0:
		return fmt.Sprintf("fault %s was never injected", r.ID)
	case !f.forced:
		return fmt.Sprintf("fault %s was never seen in force", r.ID)
	case r.Evidence == nil:
		return because(fmt.Sprintf("there is no evidence that fault %s touched anything", r.ID), f.blind)
	case f.touched <= 0:
		return because(fmt.Sprintf("fault %s touched nothing", r.ID), "0 "+r.Evidence.What)
	default:
		return ""
	}
}

// because joins a statement and what is known of its reason; either may be empty.
func because(what, why string) string {
	why = strings.TrimSpace(why)
	if what == "" || why == "" {
		return what + why
	}
	return what + ": " + why
}
