// Package attacks puts load on a stack.
package attacks
