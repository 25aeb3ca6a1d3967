//go:build !unix

package attacks

import "errors"

// canPark: here a read needs its buffer from the start.
const canPark = false

func readFD(uintptr, []byte) (n int, again bool, err error) { return 0, false, errors.ErrUnsupported }

// limitBuffer does nothing: here a server is further ahead of a slow reader.
func limitBuffer(uintptr, int) error { return nil }
