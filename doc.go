// Package weir is the language in which stateful stream processing on Kafka is
// written: agents, functions of a stream, that keep durable tables.
//
//	var (
//		app     = weir.NewApp("flights")
//		flights = weir.NewTopic[string, Flight](app, "flights")
//		delays  = weir.NewTable[string, Stats](app, "delays")
//	)
//
//	func init() {
//		byCarrier := weir.GroupBy(flights.Stream(), "by-carrier", func(f Flight) string { return f.Carrier })
//		weir.Each(byCarrier, "delays", func(ctx weir.Context, f Flight) error {
//			return delays.Update(ctx, f.Carrier, func(s Stats) Stats { return s.Add(f.Delay) })
//		}, weir.Uses(delays))
//	}
//
//	func main() { cli.Main(app) }
//
// # Data first
//
// Declaring makes data, nothing runs. App.Build checks it and reports every
// mistake at once; App.Graph is what drivers run: package runtime/cli on
// Kafka, package sim in virtual time. Declarations never panic and never
// return errors: what is wrong with them is reported by Build.
//
// # Streams
//
// A Topic has a Stream. The operators Filter, Map, FlatMap, Transform, Join
// and JoinGlobal make streams of streams, without state and without writing
// anything. A stream ends in an agent: Each and EachEvent call a function for
// each value, Loop is a range loop over events or batches, GroupBy sends the
// stream through a repartition topic under new keys and is a stream again,
// Forward sends it to a topic.
//
// # State
//
// Table is a keyed table, WindowedTable one for each window of event time,
// GlobalTable the whole content of a topic on every worker, read-only. Timer
// is a set of durable event-time timers. Agents declare what they touch with
// Uses, Sends and Sets; agents that share a table run together and must be
// partitioned alike.
//
// # Failure
//
// When a function fails or panics, or a record cannot be decoded, all that was
// done for that record is undone, and the agent's Policy decides: Retry, then
// Skip, DeadLetter or Stop. The default is DefaultPolicy: a few retries, then
// the partition stops loudly. A null value is no failure: the function gets
// the zero value, and Context.Null is true.
//
// # Names
//
// What ends up in Kafka has a name that the application gave or one derived
// from it: the changelog of table t of application a is a-t-changelog, the
// topic behind group-by g is a-g-repartition. Reordering code renames nothing;
// renaming a table or group-by leaves its state behind.
//
// # Handlers are deterministic
//
// The engine may run a function again: after an error, a crash, a move, or in
// a replay. It should depend on its arguments only. Context has the clock
// (Now), event time (Time), random numbers (Rand) and a logger.
package weir
