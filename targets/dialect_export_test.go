package targets

// Forgetful is a decoder of the same dialect that reads every event in full: the definition
// of what any other way of reading must give.
func Forgetful(d Dialect) Decoder {
	l, ok := d.Decoder().(*learner)
	if !ok {
		panic("the decoder of " + d.Name() + " is no learner")
	}
	return forgetful{l}
}

type forgetful struct{ l *learner }

func (f forgetful) Decode(e *Event, out *Delta) error {
	f.l.plain.wait = 1 // never learns
	return f.l.Decode(e, out)
}

// MergePatch is mergePatch.
func MergePatch(target, patch map[string]any) map[string]any { return mergePatch(target, patch) }
