// Package faults does harm to a stack, and always undoes it: the kinds of faults,
// the journal that is the only door to them, and the reaper that undoes what a
// run left when it died.
//
// It is not for deciding when a fault is due or what it should show
// (experiments), nor for reaching into a stack (targets): a fault is a sentence
// made of a Stack's verbs.
//
//	Arm ── Prepare, intent on disk ─► Armed ── Inject ─► in force ── Revert ─► closed
//	            │                        └─ renews the lease, watches the time to live
//	            ▼
//	   000007-RUN-ID.json ─ Attach(Handle), fault from JSON ─► Revert
//	                           by this process, by the reaper, by `failwhale revert`
//
// There is one way to undo, and every process takes it: read the entry, Attach to the stack
// by the Handle in it, decode the fault, Revert. What the run does at its end is so what the reaper
// does after a kill -9.
//
// # Layers, each on its own
//
//   - The intent is on the disk (file and directory synced) before Inject. A failed
//     sync stops there. An undo, in contrast, goes on if the journal cannot be written.
//   - Each fault has a time to live. The run watches it (Armed.Lapsed), and if the run does
//     not, being stopped by a Ctrl-Z for example, the reaper does. An Inject that comes back to life
//     later finds its entry closed, and undoes what it did.
//   - The Reaper is a process in a session of its own that reads the other end of a pipe which
//     the run holds. It covers the death of the process, not of its machine or container.
//   - Open entries of dead owners are reverted by the next start and by `failwhale revert`.
//     Dead means certainly so: another boot, or no process of that pid and start time. What lives in
//     another PID namespace, as a container's, cannot be told from here, and is left alone.
//   - A fault that is held by a lease at its target (Renewer) ends there by itself.
//
// # The journal's directory
//
//	000007-RUN-ID.json    an entry; written under a lock, by temp file, fsync, rename, fsync
//	000007-RUN-ID.claim   held (flock) by who reverts it
//	lock                  held (flock) for the moment of a transition
//	stacks/DIGEST.lock    held (flock) by the run that uses the stack, and removed by it
//	reaper/RUN-PID.log    what the reaper of that run had to say; removed if that was nothing
//
// Directories are 0700 and files 0600: an entry of config.push holds the config that
// was replaced. The directory belongs to one machine; processes and boots are compared with its own.
//
// Two runs may have the same name: an entry is a run's own if its owner, a process, is too. An entry
// names what it changes (Claimer), so that two stacks that share a file or a GPU keep off each other's.
//
// # What is not covered
//
// A PUT that a server carries out after its caller has died, and after the undo: the undo writes the
// original once more under If-Match, and so makes a new version, which such a PUT was not made from.
// That is no help where the store makes ETags of the content alone, for the version is the old one
// again, nor where there was no document at first. The undo looks a second time, a second later.
//
// # Libraries
//
// The standard library, with flock from syscall: the kernel frees a lock whose
// holder was killed, which no lock file of ours could.
package faults
