// Package sim runs an application in a test: over topics in memory, in virtual
// time, on one goroutine, with any number of workers that can crash, move
// tasks and come back. It drives the same core that the production runtime
// drives; nothing of the application is replaced.
//
//	func TestCount(t *testing.T) {
//		s := sim.New(t, app, sim.Workers(2))
//		sim.Send(s, words, "weir", 1)
//		s.Settle()
//		if n, _ := sim.Lookup(s, counts, "weir"); n != 1 {
//			t.Errorf("counted %d", n)
//		}
//	}
//
// The order of use:
//
//  1. New builds the application, makes its topics and starts its workers.
//  2. Send writes records, at the time of the simulation unless At says
//     otherwise.
//  3. Run lets happen what can happen now; Advance moves the clock; Commit
//     moves it by one commit interval; Settle moves it until everything is
//     processed and committed. Nothing happens in between.
//  4. Read, DeadLetters, Table, Lookup and Windows return what is committed.
//     Tables are read from their changelogs and compared with the disks of all
//     workers, so a test of anything is also a test that those agree.
//  5. Crash, Restart, Freeze, Thaw, Move, AddWorker, StopWorker, FailCommit and
//     Compact are what may happen to an application in production. Its results
//     must not depend on any of it.
//
// The same calls give the same run, step by step. Every helper fails the test
// by itself, with the reason.
package sim
