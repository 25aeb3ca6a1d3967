package experiments

import (
	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// slowReaders says whether all or some of the clients read slowly by plan, as Report.SlowReaders.
func (a *AttackSpec) slowReaders() results.SlowReaders {
	slow := 0
	for _, client := range a.Clients {
		if client.Read > 0 {
			slow++
		}
	}
	switch slow {
	case 0:
		return ""
	case len(a.Clients):
		return results.SlowAll
	default:
		return results.SlowSome
	}
}

// noEcho says why 0 leaks say nothing where no answer that labels select carried its own nonce, and what would help:
// no canary in a class that has one, nor in one whose questions are known, which it would change.
func (a *AttackSpec) noEcho(labels results.Labels) string {
	const none = "no answer carried its own nonce"
	const unseen = "a swap would not have been seen"
	canaries, golden, plain := 0, 0, 0
	w := a.Workload
	if len(w) == 0 {
		w = attacks.Workload{{}}
	}
	for i, feature := range w.Features() {
		if only, asked := labels["feature"]; asked && only != feature {
			continue
		}
		d, err := targets.DialectNamed(w.Dialects()[i])
		switch {
		case w[i].Canary:
			canaries++
		case len(w[i].Golden) > 0:
			golden++
		case err == nil && d.Framing() == targets.Whole: // no model there that could be asked
		default:
			plain++
		}
	}
	switch {
	case canaries > 0:
		return none + ", though canary asks for it: the model did not repeat it, and " + unseen
	case plain > 0 && golden > 0:
		return none + ": " + unseen + " (write canary: true in the classes without golden)"
	case plain > 0:
		return none + ": " + unseen + " (write canary: true)"
	case golden > 0:
		return none + ": " + unseen + " (golden questions do not ask for it: add a class without them and with canary: true)"
	}
	return none + ": " + unseen
}
