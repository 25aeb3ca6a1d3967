// Package drills is the embedded library of experiments: each reproduces, on
// the reference stack, the mechanism that was published for one outage, or says
// that there was none. A drill is refuted on a flawed stack by the hypothesis
// that names the outage, and holds on a hardened one.
//
// It is not for logic: a drill is an ordinary experiment file, which `failwhale
// drills NAME` prints so that users can start their own from it. It uses package
// experiments only for its suggestions; that package does not know its library.
package drills
