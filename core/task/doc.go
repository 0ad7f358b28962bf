// Package task runs one task: one sub-topology on one partition number.
//
// A Task is a step machine. Its owner, a lane of package worker, does this:
//
//  1. New, with readers over restored state and the committed position;
//  2. Add fetched records; Step until it reports Idle, Blocked or Stopped;
//  3. when Committable, Seal the current epoch and hand it to the commit
//     round; go on with Add and Step meanwhile, in the next epoch;
//  4. when the round is known to be committed, Collect its writes into the
//     store batch, have that applied, and call Applied; when it is known to
//     be aborted, Abort and fetch again from the offsets that it returns;
//  5. Close.
//
// User code runs inside Step only. Its table writes go to an overlay over the
// store and its output to an outbox; both belong to the epoch. The store is
// never written here. Everything a Task does depends on the records it was
// given, the order of calls and the processing time passed to Step: the same
// inputs give the same bytes.
package task
