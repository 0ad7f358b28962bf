//go:build !weirsim

package runtime

// Crash marks a point at which the simulator may end a worker. In production
// builds it compiles to nothing.
func Crash(*Config, string) {}
