// Package simdisk is a disk that fails the way disks do, and a small
// log-structured store on it.
//
// A Disk keeps what was written and knows what was synced. Crash ends the
// process: open files fail from then on, everything written is still there.
// PowerLoss ends the machine: of what was not synced any prefix, torn or with
// holes, may be left. A Disk can also fill up, fail to sync, be slow and flip
// bits.
//
// The Store is the simulator's own: Pebble does not compile for wasip1. It
// keeps every space in memory and every batch in a log of checksummed
// records; a batch with all its positions is one record, so data and
// positions cannot part. A log ends before the first record that is not whole:
// the rest was lost in a crash. When a later record says that the place had
// been synced, it was not lost but damaged: every space then fails with
// store.ErrCorrupt until it is dropped.
package simdisk
