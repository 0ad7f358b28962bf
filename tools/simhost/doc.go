// Package simhost runs a Go program, usually a test binary, bit for bit the
// same from a seed.
//
// The program is built for GOOS=wasip1 GOARCH=wasm and run by wazero. Go has one
// thread there, goroutines that give way only at calls, and no network but its
// own process, so everything that could differ between two runs comes through
// a handful of host functions, and those are ours:
//
//   - The clock is virtual and frozen: it moves only when every goroutine waits
//     (a sleep, by its length) or when it spins (1 µs for 1000 yields). Reading it
//     does not move it, so more logging or another garbage collector setting
//     does not change what happens.
//   - Randomness comes from the seed: map seeds, select order, math/rand.
//   - Goroutines run in an order that the seed decides: the build takes a copy
//     of some files of the runtime in which a goroutine that becomes runnable is
//     put at a random place of the run queue (Overlay).
//   - Jumps of the compiled module are made direct, and its functions lean, for
//     speed alone (direct, lean).
//   - The file system is the host's, read only, with a fresh directory for
//     temporary files.
//
// What happened is summed up in a trace hash: every sleep, yield and draw of
// randomness, and what the program wrote to /sim/trace. Two runs with the same
// module, seed, arguments and environment have the same hash.
//
// BuildTest makes a module of a package's tests, Load compiles a module, and Do
// turns a Run into a Result. What differs from Go's own standard library is in two
// tables of edits (build.go): one for the order of things, one for speed. What
// a module is changed by before it is compiled is in jumps.go, lean.go and
// checks.go; another way to say the same in fewer instructions belongs into fold.
package simhost
