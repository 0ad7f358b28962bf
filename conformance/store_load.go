package conformance

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/store"
)

func loadChecks() []StoreCheck {
	return []StoreCheck{
		{Name: "load/contents", Run: checkLoad},
		{Name: "load/owner", Run: checkLoadOwner},
		{Name: "load/large", Run: checkLoadLarge},
		{Name: "load/power-loss", Needs: []Capability{SurvivesPowerLoss}, Run: checkLoadPowerLoss},
		{Name: "load/failing-disk", Needs: []Capability{ReportsFailingDisk}, Run: checkLoadFailingDisk},
		{Name: "load/kill", Needs: []Capability{SurvivesKill}, Run: checkLoadKill},
	}
}

// loadMemory is little enough for a load to use the disk.
const loadMemory = 1 << 20

// bulkLoader skips the check when the store is none.
func bulkLoader(tb TB, f StoreFactory, s store.Store) store.BulkLoader {
	tb.Helper()
	b, ok := s.(store.BulkLoader)
	if !ok {
		tb.Skipf("%s has no BulkLoader", f.Name)
	}
	return b
}

func mustLoad(tb TB, s store.BulkLoader, sp store.Space, gen store.Generation) store.Loader {
	tb.Helper()
	l, err := s.Load(sp, gen, loadMemory)
	if err != nil {
		tb.Fatalf("loading %s: %v", sp, err)
	}
	tb.Cleanup(l.Abort)
	return l
}

// A loaded is what a load was given: writes in order.
type loaded struct {
	ops []store.Op
	pos store.Position
}

// write gives everything to a loader and commits.
func (l *loaded) write(to store.Loader) error {
	if err := l.add(to); err != nil {
		return err
	}
	return to.Commit(l.pos)
}

// add gives everything to a loader.
func (l *loaded) add(to store.Loader) error {
	for _, op := range l.ops {
		// What is handed over is changed right afterwards.
		key, value := append([]byte(nil), op.Key...), op.Value
		if value != nil {
			value = append([]byte{}, value...)
		}
		if err := to.Add(key, value); err != nil {
			return err
		}
		for _, b := range [][]byte{key, value} {
			for i := range b {
				b[i] ^= 0x55
			}
		}
	}
	return nil
}

// model is what a space holds that was loaded.
func (l *loaded) model() *modelSpace {
	m := &modelSpace{entries: make(map[string]string), position: l.pos}
	for _, op := range l.ops {
		if op.Value == nil {
			delete(m.entries, string(op.Key))
		} else {
			m.entries[string(op.Key)] = string(op.Value)
		}
	}
	return m
}

func loadedPosition(at int64) store.Position {
	return store.Position{Log: store.LogID{4, 2}, Changelog: at, StreamTime: -1, At: 5, Exists: true, Inputs: []store.InputOffset{{Topic: "in", Partition: 1, Offset: at}}}
}

// A changelogOf n writes that come in no order, come again, and are deleted
// at times, with awkward keys among them.
func changelogOf(n, valueBytes int) *loaded {
	l := &loaded{pos: loadedPosition(int64(n))}
	awkward := awkwardKeys()
	for i := range n {
		k := i * 7919 % (n/2 + 1)
		op := store.Op{Key: fmt.Appendf(nil, "%c%d", k*3, k), Value: append(fmt.Appendf(nil, "write %d ", i), pattern(i*31%(valueBytes+1))...)}
		switch {
		case i%9 == 4:
			op.Value = nil
		case i%13 == 5:
			op.Value = []byte{}
		}
		if i%4 == 0 {
			op.Key = []byte(awkward[i/4%len(awkward)])
		}
		l.ops = append(l.ops, op)
	}
	return l
}

// byTurns is a changelog that deletes the empty key and writes it again, n times
// among others: the delete has no bytes at all.
func byTurns(n int) *loaded {
	l := &loaded{pos: loadedPosition(int64(3 * n))}
	for i := range n {
		l.ops = append(l.ops, store.Op{Key: []byte{}}, store.Op{Key: []byte{}, Value: fmt.Append(nil, i)}, store.Op{Key: []byte{byte(n - i)}, Value: []byte{}})
	}
	return l
}

// checkLoad: what is loaded replaces the space, at once and at the end, the
// last write of a key winning; other spaces do not notice.
func checkLoad(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	s := bulkLoader(tb, f, fx.store)
	fx.space(spaceA(), 1)
	fx.space(spaceB(), 1)
	fill := func(b *store.Batch) {
		for _, sp := range []store.Space{spaceA(), spaceB()} {
			putAll(b, sp, 1, awkwardKeys())
			b.Part(sp, 1).Position = store.Position{Changelog: 3, Exists: true}
		}
	}
	for round, what := range []*loaded{changelogOf(0, 0), changelogOf(3000, 20), changelogOf(4000, 2000), byTurns(100), changelogOf(1, 1)} {
		fx.apply(fill)
		l := mustLoad(tb, s, spaceA(), 1)
		fx.model.drop(spaceA())
		if err := what.add(l); err != nil {
			tb.Fatalf("load %d: %v", round, err)
		}
		fx.unchanged("while it is loaded", spaceA(), 1)
		if err := l.Commit(what.pos); err != nil {
			tb.Fatalf("load %d: %v", round, err)
		}
		fx.model[spaceA()] = what.model()
		fx.unchanged(fmt.Sprintf("after load %d", round), spaceA(), 1)
		fx.unchanged("the other space", spaceB(), 1)
		l.Abort()
		mustFail(tb, "Add after Commit", l.Add([]byte("k"), nil), store.ErrClosed)
		mustFail(tb, "a second Commit", l.Commit(what.pos), store.ErrClosed)
		fx.unchanged("after a Commit and an Abort", spaceA(), 1)
		fx.apply(func(b *store.Batch) {
			b.Part(spaceA(), 1).Put([]byte("later"), []byte("value"))
			b.Part(spaceA(), 1).Delete([]byte("\x00"))
		})
		if f.Has(Reopens) {
			if err := fx.store.Close(); err != nil {
				tb.Fatalf("closing: %v", err)
			}
			fx.open()
			s = bulkLoader(tb, f, fx.store)
			fx.space(spaceB(), 1)
		}
		fx.space(spaceA(), 1)
	}
	l := mustLoad(tb, s, spaceA(), 1)
	if err := l.Add([]byte("key"), []byte("given up")); err != nil {
		tb.Fatalf("adding: %v", err)
	}
	l.Abort()
	fx.model.drop(spaceA())
	fx.unchanged("after an Abort", spaceA(), 1)
}

// checkLoadOwner: who does not own the space cannot load it, and who loses it
// meanwhile does not commit.
func checkLoadOwner(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	s := bulkLoader(tb, f, fx.store)
	_, err := s.Load(spaceA(), 1, loadMemory)
	mustFail(tb, "a load of a space that is not open", err, store.ErrClosed)
	fx.space(spaceA(), 5)
	_, err = s.Load(spaceA(), 4, loadMemory)
	mustFail(tb, "a load of an older generation", err, store.ErrFenced)
	what := changelogOf(500, 100)

	l := mustLoad(tb, s, spaceA(), 5)
	fx.space(spaceA(), 7)
	fx.put(spaceA(), 7, "key", "from 7")
	mustFail(tb, "a load that lost its space", what.write(l), store.ErrFenced)
	fx.unchanged("after a load that lost its space", spaceA(), 7)

	l = mustLoad(tb, s, spaceA(), 7)
	fx.model.drop(spaceA())
	if err := fx.store.Release(spaceA(), 7); err != nil {
		tb.Fatalf("releasing: %v", err)
	}
	mustFail(tb, "a load whose space was released", what.write(l), store.ErrClosed)
	fx.space(spaceA(), 8)

	l = mustLoad(tb, s, spaceA(), 8)
	if err := fx.store.Close(); err != nil {
		tb.Fatalf("closing: %v", err)
	}
	mustFail(tb, "a load whose store was closed", what.write(l), store.ErrClosed)
	_, err = s.Load(spaceA(), 8, loadMemory)
	mustFail(tb, "a load after Close", err, store.ErrClosed)
}

// checkLoadLarge loads a million entries.
func checkLoadLarge(tb TB, f StoreFactory) {
	entries := entriesOfRestore()
	s := mustOpen(tb, f.New(tb))
	b := bulkLoader(tb, f, s)
	r, _, err := s.Open(spaceA(), 1)
	if err != nil {
		tb.Fatalf("opening: %v", err)
	}
	l := mustLoad(tb, b, spaceA(), 1)
	for i := range entries {
		n := restoreOrder(i, entries)
		if err := l.Add(restoreKey(n), restoreValue(n)); err != nil {
			tb.Fatalf("adding: %v", err)
		}
	}
	if err := l.Commit(loadedPosition(int64(entries))); err != nil {
		tb.Fatalf("committing: %v", err)
	}
	readRestored(tb, r, entries)
	tb.Logf("%d entries; 1,000,000 without -short and -race", entries)
}

// A loadStage is how far a load has come: the emptying was flushed, Commit
// returned, and that was flushed.
type loadStage int32

const (
	notBegun loadStage = iota
	emptied
	committed
	durable
)

// loadHistory writes space A and loads it, telling the stage.
func loadHistory(s store.Store, what *loaded, stage func(loadStage)) error {
	if _, _, err := s.Open(spaceA(), 1); err != nil {
		return err
	}
	if err := s.Apply(putBatch(spaceA(), 1, "old", "value")); err != nil {
		return err
	}
	l, err := s.(store.BulkLoader).Load(spaceA(), 1, loadMemory)
	if err != nil {
		return err
	}
	defer l.Abort()
	if err := s.Flush(); err != nil {
		return err
	}
	stage(emptied)
	if err := what.write(l); err != nil {
		return err
	}
	stage(committed)
	if err := s.Flush(); err != nil {
		return err
	}
	stage(durable)
	return nil
}

// mustBeLoaded opens a place and expects the space to be as it was before the
// load, empty or complete, as far as the stage allows.
func mustBeLoaded(tb TB, when string, place StorePlace, what *loaded, reached loadStage, survives loadStage) (complete bool) {
	tb.Helper()
	s := mustOpen(tb, place)
	defer func() { _ = s.Close() }()
	r, pos, err := s.Open(spaceA(), 2)
	if err != nil {
		tb.Fatalf("%s: opening: %v", when, err)
	}
	if pos.Exists && pos.Changelog == what.pos.Changelog {
		what.model().mustEqual(tb, when+": a load that shows", r, pos)
		return true
	}
	if reached >= survives {
		tb.Fatalf("%s: the load was committed and is not there; the position is %+v", when, pos)
	}
	if reached >= emptied {
		(&modelSpace{}).mustEqual(tb, when+": a load that does not show", r, pos)
	}
	return false
}

// checkLoadPowerLoss cuts the power at each of the first writes of a load, and
// at every third after them.
func checkLoadPowerLoss(tb TB, f StoreFactory) {
	needHook(tb, f, "OnWrite and Crash", func(p StorePlace) bool { return p.OnWrite != nil && p.Crash != nil })
	what := changelogOf(1000, 2500)
	place := f.New(tb)
	s := mustOpen(tb, place)
	bulkLoader(tb, f, s)
	type cut struct {
		place StorePlace
		stage loadStage
	}
	var mu sync.Mutex
	var cuts []cut
	n := 0
	var stage atomic.Int32
	place.OnWrite(func() {
		mu.Lock()
		defer mu.Unlock()
		n++
		if at := loadStage(stage.Load()); at >= emptied && (len(cuts) < 20 || n%3 == 0) {
			cuts = append(cuts, cut{place.Crash(uint64(len(cuts))), at})
		}
	})
	if err := loadHistory(s, what, func(at loadStage) { stage.Store(int32(at)) }); err != nil {
		tb.Fatalf("loading: %v", err)
	}
	place.OnWrite(nil)
	last := cut{place.Crash(0), durable}
	mu.Lock() // the store may still write in the background
	all := slices.Concat(cuts, []cut{last})
	mu.Unlock()
	if len(all) < 5 {
		tb.Fatalf("only %d power cuts happened: the place does not report its writes", len(all))
	}
	complete := 0
	for i, c := range all {
		if mustBeLoaded(tb, fmt.Sprintf("power cut %d of %d", i, len(all)), c.place, what, c.stage, durable) {
			complete++
		}
	}
	tb.Logf("%d power cuts; %d left the whole load", len(all), complete)
}

// checkLoadFailingDisk makes the disk fail at each write of a load in turn.
func checkLoadFailingDisk(tb TB, f StoreFactory) {
	needHook(tb, f, "OnWrite and Fail", func(p StorePlace) bool { return p.OnWrite != nil && p.Fail != nil })
	what := changelogOf(1000, 3000)
	runs, reported := 0, 0
	for at := 1; ; at += 1 + at/20 {
		place := f.New(tb)
		s := mustOpen(tb, place)
		bulkLoader(tb, f, s)
		var n atomic.Int64
		place.OnWrite(func() {
			if n.Add(1) == int64(at) {
				place.Fail(errors.New("the disk is broken"))
			}
		})
		stage := notBegun
		err := loadHistory(s, what, func(to loadStage) { stage = to })
		_ = s.Close()
		place.OnWrite(nil)
		place.Fail(nil)
		if err != nil {
			reported++
		}
		mustBeLoaded(tb, fmt.Sprintf("the disk failed at write %d (%v)", at, err), place, what, stage, committed)
		if n.Load() < int64(at) {
			break
		}
		runs++
	}
	if reported == 0 {
		tb.Fatalf("the disk failed at each of %d writes and no call ever said so", runs)
	}
	tb.Logf("the disk failed at %d writes; calls said so in %d of them", runs, reported)
}

// loadRandom is the share of loads in the comparison with the model.
func loadRandom(t *rapid.T) *loaded {
	l := changelogOf(rapid.IntRange(0, 60).Draw(t, "entries"), rapid.IntRange(0, 50).Draw(t, "value"))
	l.pos = loadedPosition(rapid.Int64Range(0, 1000).Draw(t, "position"))
	return l
}

// loadWork names what a child that is killed while it loads does: it loads the
// space again and again, and reports several times during each load how many
// are complete.
const loadWork = "load"

func killedLoad(round int) *loaded {
	l := changelogOf(1200, 2500)
	l.pos = loadedPosition(int64(round))
	return l
}

func loadUntilKilled(s store.Store) error {
	_, pos, err := s.Open(spaceA(), 1)
	if err != nil {
		return err
	}
	for round := int(pos.Changelog) + 1; ; round++ {
		l, err := s.(store.BulkLoader).Load(spaceA(), 1, loadMemory)
		if err != nil {
			return err
		}
		what := killedLoad(round)
		for i, op := range what.ops {
			if i%100 == 0 {
				if err := sayApplied(round - 1); err != nil {
					return err
				}
			}
			if err := l.Add(op.Key, op.Value); err != nil {
				return err
			}
		}
		if err := l.Commit(what.pos); err != nil {
			return err
		}
	}
}

// checkLoadKill kills a process while it loads: the space is empty, or holds
// a whole load that is not older than the last one reported.
func checkLoadKill(tb TB, f StoreFactory) {
	if f.OpenDir == nil {
		tb.Fatalf("%s declares %q without OpenDir", f.Name, SurvivesKill)
	}
	dir := filepath.Join(tb.TempDir(), "store")
	s, err := f.OpenDir(dir)
	if err != nil {
		tb.Fatalf("opening: %v", err)
	}
	_, is := s.(store.BulkLoader)
	if err := s.Close(); err != nil {
		tb.Fatalf("closing: %v", err)
	}
	if !is {
		tb.Skipf("%s has no BulkLoader", f.Name)
	}
	kills := 0
	defer func() { tb.Logf("%d kills", kills) }()
	for n, after := range []int{1, 5, 11, 12, 13, 30, 49} {
		if short() && n == 3 {
			break
		}
		acked := killAfter(tb, f, dir, loadWork, after)
		kills++
		mustBeLoadedAfterKill(tb, f, dir, acked)
	}
}

func mustBeLoadedAfterKill(tb TB, f StoreFactory, dir string, acked int) {
	tb.Helper()
	s, err := f.OpenDir(dir)
	if err != nil {
		tb.Fatalf("opening after SIGKILL: %v", err)
	}
	defer func() { _ = s.Close() }()
	r, pos, err := s.Open(spaceA(), 1)
	if err != nil {
		tb.Fatalf("opening a space after SIGKILL: %v", err)
	}
	when := fmt.Sprintf("killed when %d loads were reported", acked)
	if !pos.Exists {
		(&modelSpace{}).mustEqual(tb, when+": no load shows", r, pos)
		return
	}
	if pos.Changelog < int64(acked) || pos.Changelog > int64(acked)+1 {
		tb.Fatalf("%s: the position is %+v", when, pos)
	}
	killedLoad(int(pos.Changelog)).model().mustEqual(tb, when, r, pos)
}
