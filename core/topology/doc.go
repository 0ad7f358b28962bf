// Package topology is an application as data: topics, tables, timers and the
// agents between them, all by name. A Graph is what package weir compiles an
// application to, and what both drivers run.
//
// A caller fills a Graph, calls Build, which reports every mistake at once,
// and gets a Topology: the same names resolved and cut into sub-topologies.
// A sub-topology is a set of agents that must run together, because they read
// the same topics or share a table; one sub-topology on one partition number
// is a task. Plan then compares it with the topics that exist, and Render draws
// it. Nothing in this package knows brokers or time.
package topology
