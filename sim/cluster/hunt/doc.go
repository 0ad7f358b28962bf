// Package hunt looks for bugs in weir itself: one test of which each seed is
// one run of another application, with another number of workers, under other
// faults.
//
//	weir sim run ./sim/cluster/hunt --seeds 1000
package hunt
