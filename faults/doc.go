// Package faults does harm to a stack, and always undoes it.
package faults
