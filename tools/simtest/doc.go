// Package simtest runs the tests of any package with seeds: what `weir sim run`
// is made of.
//
// Load compiles a package once for the simulator of package simhost and lists its tests.
// Run runs one test with one seed, in a program of its own, so that a test
// behaves the same whether others run or not. Shrink looks for a smaller case
// that fails in the same way.
package simtest
