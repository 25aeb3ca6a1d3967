// Command failwhale breaks an LLM inference stack under load that behaves like
// its users, and says whether it kept serving.
//
// One file a command. Each turns flags into a call of one of the packages,
// writes the answer to stdout and everything else to stderr, and maps what came
// of it to an exit code. Nothing is decided here: plans, verdicts and undo live
// in experiments, results and faults. Only this package touches the process:
// arguments, environment, signals, exit.
//
// urfave/cli v2 parses the command line: subcommands and help as users know
// them from other Go tools. Two of its habits are turned off: it calls os.Exit
// itself unless told not to, and it takes a flag after the first argument for
// an argument, which is answered here with the command line put right.
//
// Four hidden commands are for failwhale itself: reaper (undoes the faults of
// a run that died), stack-node (a process of the reference stack), nvidia-smi
// (its GPUs' look-alike), perfect-server (what calibrate measures by).
package main
