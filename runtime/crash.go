//go:build !weirsim

package runtime

// Crash marks a point at which the simulator may end a worker. In production
// builds it compiles to nothing.
func Crash(*Config, string) {}

// bulkRecords is how many records there must be for a space to be filled in
// bulk: fewer are applied faster than files are made of them.
const bulkRecords = 10_000
