// Package standby is the life of the standby replicas of a worker, as a step
// machine: events in, effects out.
//
// A standby is a restore that never ends: it follows the changelogs of a task
// that runs elsewhere, read committed, into the store of its worker, so that
// this worker can take the task over and replay only the tail. A driver
// (package runtime, package sim) makes one Machine for a worker, feeds it what
// happened and carries out, in order, what it answers.
//
// The life of a standby:
//
//	                      ┌──── Dropped ◀── dropping ◀─┐ does not fit the log
//	                      ▼                            │
//	Wanted ──▶ opening ──Opened──▶ following ──────────┘
//	   ▲          ▲                    │ │
//	   │          └── out of range ────┘ └─ Take, not wanted any more: closed
//	   └── Retry, the next assignment ── failed
//
// Rules that the machine keeps, whatever the order of events:
//
//   - A task that is active on this worker is not followed here. Take gives
//     its spaces up before it answers Taken, and the driver opens the task only
//     then; the new generation of the task fences whatever is late.
//   - Everything about a standby carries the generation in which it was
//     assigned, and everything fetched the session in which it was asked for.
//     What carries an older one is dropped.
//   - Data and position are written in one batch. A position never moves
//     without the records below it.
//   - What the store holds is kept when it is a prefix of the log; otherwise
//     the space is emptied and read from the start, as in any restore.
//   - What was read and not written is bounded, and standbys stand still while
//     tasks of this worker restore: those hold up work, standbys do not.
package standby
