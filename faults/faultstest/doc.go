// Package faultstest is what every fault must pass, and small servers to pass it on.
//
// Run is the conformance suite: it takes a fault with its parameters and a target,
// and checks what the Fault interface promises: that Prepare changes nothing, that
// evidence grows with traffic and is none without, and that Revert restores from any
// process, twice, after an Inject that failed, went half-way or never ran.
//
// Supervisor, Store, GPU and Link are targets that are real where it counts (HTTP, files,
// processes, TCP) and scripted where a test needs it: each can refuse a change, or make it
// and answer with an error, as a server does whose answer was lost. They stand in for a stack in
// tests of anything that drives faults.
//
// It is not for production code, and holds no fault of its own.
package faultstest
