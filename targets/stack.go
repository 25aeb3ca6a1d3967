package targets

// A Stack is what is tested, connected. It is safe for concurrent use.
type Stack struct {
	handle Handle
}

// Handle is what another process needs to Attach to the stack.
func (s *Stack) Handle() Handle { return s.handle }
