// Package worker is the life of tasks on one lane of a worker, as a step
// machine: events in, effects out.
//
// A driver (package runtime on real brokers and disks, package sim on
// simulated ones) makes one Machine for each lane, feeds it what happened and
// carries out, in order, what it answers. The machine never waits, reads no
// clock and does no I/O, so any production history can be written down as a
// list of events and run again in a unit test.
//
// The life of a task:
//
//	opening ──Opened──▶ restoring ──Restored──▶ running ──Revoke──▶ draining ──▶ gone
//	   ▲                                        │  │  ▲
//	   │                                        │  │  └─ Decided(aborted): rewind
//	   └────── Recovered ◀── Decided(unknown) ──┘  └─ policy says stop: stopped
//
// The life of a commit round, of which a lane has one at a time:
//
//	none ──due──▶ in flight ──committed──▶ applying ──Applied──▶ none
//	                  ├──────aborted────▶ rewind its tasks ─────▶ none
//	                  ├──────unknown────▶ recover the producer, reopen its tasks
//	                  └──────fenced─────▶ give everything up, rejoin
//
// Rules that the machine keeps, whatever the order of events:
//
//   - Everything about a task carries the generation in which it was assigned,
//     and everything fetched the session in which it was asked for. What
//     carries an older one is dropped.
//   - A store batch is made only from a round that is known to be committed.
//   - A revoked task takes no new record; it commits what is done and leaves.
//     When its budget is used up it leaves at once, uncommitted.
//   - While a round is in flight its tasks go on with the next epoch.
//   - A position that ages is written again in a round of its own, so that an
//     owned table is not rebuilt only because nobody writes it.
//   - A task is not opened again while an epoch of its own is in flight: what
//     it would start from is not decided yet.
//   - When no round can begin, epochs grow up to MaxEpochBytes and no further.
package worker
