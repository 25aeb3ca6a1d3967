// Package targets is what is tested: a stack of endpoints, regions, config
// stores, dependencies and GPUs, how to reach each of them, and the wire formats
// that its endpoints speak.
//
// It is not for deciding what to do to a stack (faults), what to ask of it
// (attacks), or when (experiments). It offers verbs; they hold the sentences.
//
//	Spec (YAML) ─ Open ─► Stack ─ Handle (JSON) ─► file, journal ─ Attach ─► Stack, in another process
//	                        ├─ Region      kill, stop, start          the supervisor's control API
//	                        ├─ Store       read, swap, remove         HTTP with ETags, or a file
//	                        ├─ Dependency  set, clear                 a wire proxy's control API
//	                        └─ GPU         lock, unlock, read         nvidia-smi, run where the GPU is
//	Prompt ─ Dialect.Encode ─► request … response ─ Events ─ Dialect.Decode ─► Delta
//
// # Handles
//
// A Stack is reached through its Handle alone, which is plain JSON without
// secrets. So whatever one process did to a stack, another can undo. A process is
// named by pid, start time and boot: a stack whose supervisor has certainly ended
// is ErrGone, and then nothing of it is left to undo, its simulated GPUs and stores
// included. A supervisor that lives and does not answer is an error and never ErrGone.
//
// A reference stack is a child process that is started by an argv which main
// passes in (Launcher); this package does not know what runs in it. It reads the
// other end of a pipe, and ends with whoever started it.
//
// # Trust
//
// A change of a config store is always made on what was read before: by If-Match, or by
// comparing the file's digest. nvidia-smi exits 0 where it did nothing, and prints errors
// where results go: its text counts as much as its code.
//
// # Libraries
//
// golang.org/x/sys asks what the standard library does not expose: whether a directory may be
// written, and macOS's process table. Everything else is the standard library.
package targets
