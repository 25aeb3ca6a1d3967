// Package wire is a TCP proxy whose links can be made slow, over a control API, with a lease.
package wire
