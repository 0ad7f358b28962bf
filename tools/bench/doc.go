// Command bench prints, in one run, what a raw franz-go consumer and the
// keyed-count application cost on the same records: records per second, CPU
// microseconds per record, and the ratio of each to the raw consumer.
//
//	go run ./tools/bench [--brokers HOST:PORT] [--records N] [--store memory,pebble]
//
// Without brokers it starts the development broker as a process of its own.
// Each case runs in a process of its own, so its CPU time is its alone; the
// broker's is not counted. Rates on a machine that is shared with the broker
// are noisy; CPU time per record is the figure to compare.
package main
