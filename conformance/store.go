package conformance

import (
	"slices"
	"testing"

	"github.com/weirstream/weir/core/store"
)

// A Capability is something that not every adapter can do.
type Capability string

// The capabilities of stores.
const (
	// Reopens: what a store held when it was closed is there when its place
	// is opened again.
	Reopens Capability = "reopens"
	// LocksOut: a place that is open cannot be opened again; that fails with
	// store.ErrLocked.
	LocksOut Capability = "locks out"
	// Shared: a place may be open several times at once, in several
	// processes, and newer generations fence older ones across them, even
	// after all were closed.
	Shared Capability = "shared across processes"
	// SurvivesKill: batches that were applied survive SIGKILL of the
	// process. Needs StoreFactory.OpenDir.
	SurvivesKill Capability = "survives kill"
	// SurvivesPowerLoss: what was flushed survives a crash of the machine at
	// any moment, and what is left is the state after some prefix of the
	// writes. Needs StorePlace.OnWrite and Crash.
	SurvivesPowerLoss Capability = "survives power loss"
	// ReportsFailingDisk: when the disk fails, calls return errors, and what
	// was applied before is there once the disk is well. Needs
	// StorePlace.OnWrite and Fail.
	ReportsFailingDisk Capability = "reports a failing disk"
	// ReportsFullDisk: when files cannot grow any more, calls return errors
	// with the system's reason, and what was applied before is there, at its
	// position, once they can. Needs StoreFactory.OpenDir, which is called in
	// a child process with RLIMIT_FSIZE.
	ReportsFullDisk Capability = "reports a full disk"
	// DetectsDamage: data that was changed on disk is reported as
	// store.ErrCorrupt and never served. Needs StorePlace.Damage.
	DetectsDamage Capability = "detects damage"
	// HealsDamage: a store of which entries were changed on disk opens, and
	// what is damaged can be dropped and rebuilt while other spaces are used.
	// All of them may be lost in that, and then say so (store.ErrCorrupt)
	// until they are opened again. Needs StorePlace.DamageEntries.
	HealsDamage Capability = "heals damage"
	// LosesWrites: the store is on a server that may restart without its last
	// writes, or with what was deleted. Opening a space then finds a state
	// that was, with its position, or nothing, or store.ErrCorrupt, and never
	// a mixture. Needs StorePlace.Restart.
	LosesWrites Capability = "loses writes"
)

// StoreCapabilities lists all of them.
func StoreCapabilities() []Capability {
	return []Capability{Reopens, LocksOut, Shared, SurvivesKill, SurvivesPowerLoss, ReportsFailingDisk, ReportsFullDisk, DetectsDamage, HealsDamage, LosesAnswers, LosesWrites}
}

// A StoreFactory makes places for stores, each empty and independent of the
// others.
type StoreFactory struct {
	// Name of the adapter, for messages.
	Name string
	// New makes a place. It may use tb's Cleanup and TempDir.
	New func(tb TB) StorePlace
	// Can lists the adapter's capabilities.
	Can []Capability
	// OpenDir opens a store in a directory of the real file system. It is
	// called in a child process that will be killed, or whose files cannot
	// grow; SurvivesKill and ReportsFullDisk need it.
	OpenDir func(dir string) (store.Store, error)

	test  string // the name of the test that runs the suite
	fault string // the bug that was planted
}

// Has reports whether the factory declares a capability.
func (f StoreFactory) Has(c Capability) bool { return slices.Contains(f.Can, c) }

// A StorePlace is where a store keeps its data: a directory, a simulated disk,
// a server, or nothing.
type StorePlace struct {
	// Open opens the store. Each check closes what it opens.
	Open func() (store.Store, error)

	// OnWrite asks for before to be called before anything is written to the
	// disk, from whatever goroutine writes; nil ends that. Calls are not
	// made at the same time.
	OnWrite func(before func())
	// Crash returns a place with what the disk would hold had the machine
	// lost power now, one of several possibilities chosen by seed. It may be
	// called from OnWrite's function.
	Crash func(seed uint64) StorePlace
	// Fail makes all writes fail with err until it is called with nil. It
	// may be called from OnWrite's function.
	Fail func(err error)
	// Damage changes bytes of what is stored while no store is open. The store
	// may not open at all then.
	Damage func() error
	// DamageEntries does so with some of the entries of spaces only, where
	// these have hundreds of KiB.
	DamageEntries func() error
	// LoseAnswer makes the server lose answers until mend, which reports
	// whether it lost any.
	LoseAnswer func(l LostAnswer) (mend func() (lost bool))
	// OpenHasty is Open; calls of that store give up soon when the server
	// does not answer. Default: Open.
	OpenHasty func() (store.Store, error)
	// Restart stops the server and starts it again with what it might hold
	// then, one of several possibilities chosen by seed: as it was at an
	// earlier moment, without some of its last writes, with deletes undone,
	// with nothing, or all right. Stores may be open.
	Restart func(seed uint64)
}

// A LostAnswer says which answers a server does not give.
type LostAnswer struct {
	// After is how many writes are answered before.
	After int
	// Applied carries the write out whose answer is lost.
	Applied bool
	// Lasts leaves everything after it without an answer, too, and writes
	// are carried out or not like that one. Otherwise it is only that one.
	Lasts bool
}

// A StoreCheck is one check of the suite.
type StoreCheck struct {
	Name string
	// Needs are the capabilities without which the check says nothing.
	Needs []Capability
	Run   func(tb TB, f StoreFactory)
}

// StoreChecks returns the suite.
func StoreChecks() []StoreCheck {
	return slices.Concat(readChecks(), writeChecks(), ownerChecks(), lifeChecks(), crashChecks(), loadChecks(), bulkChecks(), serverChecks())
}

// Store runs the suite. Checks run in parallel. It must be called from a test
// function, or a subtest, that does nothing else before it: the check of
// SIGKILL runs that test again in a child process.
func Store(t *testing.T, f StoreFactory) {
	t.Helper()
	f.test = t.Name()
	runKillChild(f)
	t.Run("store", func(t *testing.T) {
		for _, c := range StoreChecks() {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				for _, need := range c.Needs {
					if !f.Has(need) {
						t.Skipf("%s does not declare %q", f.Name, need)
					}
				}
				c.Run(t, f)
			})
		}
	})
	report(t, f.Name, StoreCapabilities(), f.Has, nil)
}
