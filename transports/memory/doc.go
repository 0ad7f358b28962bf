// Package memory is Kafka in memory: a Broker with topics, transactions,
// committed offsets and consumer groups, and a runtime.Transport over it.
//
// The Broker is synchronous and deterministic. It starts no goroutine, reads
// no clock and draws no randomness: the same calls in the same order leave
// the same bytes at the same offsets. Simulators drive it directly. What
// Kafka does by the clock (retention, compaction, transaction timeouts,
// session timeouts) happens when the caller says so: DeleteRecords, Compact,
// TimeoutTxn, Expel.
//
// The Transport adds what needs goroutines and a clock: waiting, a goroutine
// for each group member that calls its listener, the rebalance timeout and the
// transaction timeout. It waits on channels only, so it
// works inside testing/synctest.
//
// Offsets behave as in Kafka: a transaction marker takes an offset in every
// partition that the transaction wrote to, compaction leaves gaps, and
// readers of committed records stop at the last stable offset.
package memory
