// Package check decides whether a history of an application on Kafka is one
// that weir promises. It knows nothing of the simulator: histories of runs on
// a real cluster are checked by the same code.
//
// A History is a list of events, one line of JSON each. It is recorded by
// wrapping what a worker is given: Transport wraps its connection to Kafka and
// hears of assignments and commit rounds, Store wraps its store and hears of
// what is found there, Restores is for runtime.Config.OnRestore. At the end of
// a run the committed content of all topics, the committed offsets and the
// state of the group are added.
//
// To tell whose a record is, Transport adds a header with the number of the
// round to everything that is produced.
//
// Each checker is named after its invariant, S for safety and L for liveness;
// Invariants lists them.
package check
