// Package aerospike keeps tables on Aerospike servers: for state that is larger
// than the workers' disks, or that should not move when tasks do. The servers
// are shared with every worker there is, zombies included, and may forget what
// they acknowledged; the changelog stays the truth.
//
// # How data lies there
//
// A space is written under an incarnation, a random number that one owner
// draws. Entries are in numbered slots of the incarnation. A batch never writes
// over what is live: new versions and tombstones go into free slots, and slots
// become free when the version in them is superseded. The record that makes
// slots count is the incarnation's head. It holds the sequence number of the
// last batch, the position, and the number and the summed hashes of all live
// entries, and it is written with its generation expected. So:
//
//   - Data and position change in one write of one record. A batch that was
//     half-written when its worker died is in slots that nobody reads.
//   - A batch of several spaces has their heads refer to a transaction record;
//     creating that record commits it. Who takes over a space with an undecided
//     batch creates it as aborted first.
//   - A batch costs three calls in a row: slots, heads, transaction record; two
//     when it is for one space.
//   - Who takes over seals the old head and begins an incarnation of its own on
//     top of the old one. The old owner can write slots that nobody reads, and
//     cannot write the head: its batches fail with store.ErrFenced. An owner
//     that released the space in order leaves its incarnation to the next.
//
// # What is checked
//
// Opening a space reads the keys of its slots (not the values), and compares
// number and sum with the head. When the server lost writes, or brought deleted
// records back, they differ: Open fails with store.ErrCorrupt, and the space is
// dropped, that is, begun in a new incarnation, and rebuilt from the changelog.
// Each read compares the hash of what it got with the index, so that a loss
// that happens while the space is open is found as well and never served.
// Nothing at all is simply a space without a position.
//
// # What it costs
//
// The keys of open spaces are in memory, sorted, because Aerospike has no order:
// 64 bytes for each entry and the bytes of its key. Values are not in memory.
// Calls on their way take 16 MiB at most. Opening reads all keys; a release gives
// the memory back. On the server
// a space takes at most twice its largest number of entries in records, since
// slots are used again and tombstones too.
//
// # Durability
//
// Apply returns when the servers have acknowledged the batch, Flush does
// nothing more: what a server has acknowledged it keeps when it likes
// (flush-max-ms, commit-to-device, replication). A loss is noticed, as above.
// Entries never expire: a server that let them would look like one that lost
// them.
//
// # Clocks
//
// Generations come from the clocks of workers. A worker whose clock is behind
// that of the last owner is fenced, and joins its group anew until it has caught
// up.
package aerospike
