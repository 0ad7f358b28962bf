package topology

import (
	"fmt"
)

// contextKey is the type of the keys that Context.Value knows.
type contextKey uint8

// LoggerKey is the key under which Context.Value gives the *slog.Logger of
// the driver. Without one, package weir logs to slog.Default.
const LoggerKey contextKey = 0

// A PanicError is a panic in user code that was caught where its stack was
// still known, on the way to the agent's policy.
type PanicError struct {
	Value any
	// Stack is what debug.Stack gave where the panic was caught.
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value of the panic when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
