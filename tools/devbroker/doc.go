// Package devbroker runs a single-node development broker with its data on
// disk: kfake behind one fixed port of the loopback interface. Any Kafka
// client can talk to it. It is for trying applications and for tests, not for
// data that matters.
//
// # What survives
//
// After Close (SIGTERM or SIGINT of `weir dev`) everything survives: topics and
// their configuration, records, transactions with their outcome, open ones
// included, committed offsets, group members, producer IDs, epochs and
// sequence numbers.
//
// After SIGKILL of the broker all acknowledged records, topics, committed
// offsets and producer epochs survive, because kfake writes each to a file
// before it answers; the operating system still holds what was not yet synced.
// Not kept, or not kept exactly:
//
//   - A transaction that was open is treated as aborted, but no abort marker
//     is written. Read-committed clients that read across it then skip what
//     the same producer commits next, up to the marker of that commit.
//   - A transaction that was just being committed can be torn: kfake writes
//     its markers and its offsets one after the other, without a coordinator
//     log from which to finish the rest.
//   - Sequence numbers are saved at shutdown only, so a produce request that is
//     retried across the kill can be appended twice.
//   - Where records were deleted (DeleteRecords), some may reappear.
//   - Group members have to join again.
//
// So exactly-once holds through any number of kills of the applications and
// through restarts of the broker, but not through SIGKILL of the broker. To
// test that, use a real Kafka. Sync makes every write durable against loss of
// power as well; it changes nothing about the list above and is slow, which is
// why it is off by default.
//
// # Groups
//
// Members that wait for a rebalance are kept, and members whose process is gone
// are removed when their session ends, as in Kafka. kfake by itself does
// neither; see attendant for how it is helped.
//
// # Compaction and retention
//
// Both are off unless CleanEvery is set: kfake's cleaner does not stop at the
// last stable offset, so that a write which is aborted afterwards can remove
// the committed value it was meant to replace. With CleanEvery set, an
// exactly-once changelog can lose values.
package devbroker
