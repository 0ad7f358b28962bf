// Package assign decides which member of a consumer group runs which task.
//
// Assign is a pure function of what the leader of the group knows: the
// sub-topologies, the partition counts, and for each member what it owns now
// and what it says in its user data. Whoever is the leader, and in whatever
// order the members are listed, the plan is the same.
//
// A plan is
//
//   - complete: every partition of every source belongs to exactly one member;
//   - co-partitioned: partition p of all sources of a sub-topology is one
//     task and goes to one member;
//   - balanced: members differ by at most one task in total, and by at most
//     one task in each sub-topology, which keeps an expensive sub-topology
//     from piling up on one member;
//   - sticky: among all balanced plans it is one with the fewest tasks taken
//     from a member that owns them, among those one with the most tasks placed
//     where a standby is caught up, and among those one with the most tasks
//     placed where their state is still on disk.
//
// Beside the tasks it places standbys, the replicas of tasks with state: for
// each task on as many members as its group asks for, as far as there are
// members, never two on one member and never on the one that runs the task.
// They are as balanced as that allows, and among those placements it is one
// that keeps the most standbys where they are, then one with the most standbys
// where state is on disk.
//
// Both choices are minimum-cost flows, so that the last points are exact and
// not a heuristic's best effort. See docs/design/assignment.md for the networks.
//
// The plan is the target. Under the cooperative protocol (KIP-429) a
// partition that changes hands must first be given up; withholding it for one
// round is the business of the transport, not of this package.
package assign
