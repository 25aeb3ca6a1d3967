//go:build !unix

package attacks

import "errors"

// canPark: here a read needs its buffer from the start.
const canPark = false

func readFD(uintptr, []byte) (n int, again bool, err error) { return 0, false, errors.ErrUnsupported }
