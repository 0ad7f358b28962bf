package sim

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weirstream/weir"
)

// The owner dies, and the worker with the standby takes over: it replays what
// the standby had not read yet, and nothing else. The worker that comes back
// becomes the standby.
func TestScenario42StandbyTakesOver(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(3), Standbys(1), TopicPartitions("in", 1))
	s.Run()
	owner, standby := s.Owner("in", 0), standbyOf(t, s, 0)
	for i := range 40 {
		Send(s, b.in, strconv.Itoa(i), 0)
	}
	s.Settle()
	if got := s.stats.Followed; got != 40 || s.stats.Restored != 0 {
		t.Fatalf("the standby followed %d records and %d were restored, want 40 and none", got, s.stats.Restored)
	}
	s.Freeze(standby) // it falls behind, and goes on when the owner is gone
	for i := range 7 {
		Send(s, b.in, strconv.Itoa(i), 1)
	}
	s.Settle()
	s.Crash(owner)
	s.Thaw(standby)
	s.expelNow(owner)
	Send(s, b.in, "0", 2)
	s.Run()
	if got := s.Owner("in", 0); got != standby {
		t.Fatalf("worker %d took over, want %d, which has the standby", got, standby)
	}
	if got := s.stats.Restored; got != 7 {
		t.Errorf("%d records were replayed, want the 7 that the standby did not have", got)
	}
	s.Settle()
	if s.stats.Rebuilt != 0 {
		t.Errorf("%d spaces were rebuilt", s.stats.Rebuilt)
	}
	wantTotal(t, s, b.counts, 48)
	if len(b.seen) != 48 {
		t.Errorf("%d records were handled, want 48", len(b.seen))
	}
	s.Restart(owner, LoseDisk)
	s.Settle()
	s.Check()
	third := 3 - owner - standby
	if got := standbyOf(t, s, 0); got != owner && got != third {
		t.Errorf("worker %d has the standby", got)
	}
}

// How many records are replayed is what the standby did not have, to the
// record: it is stopped after each number of them.
func TestPromotionReplaysTheTail(t *testing.T) {
	t.Parallel()
	for followed := range 12 {
		t.Run(strconv.Itoa(followed), func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.counting()
			s := New(t, b.app, Workers(2), Standbys(1), TopicPartitions("in", 1))
			s.cfg.restoreRecords = 1
			s.Run()
			owner, standby := s.Owner("in", 0), standbyOf(t, s, 0)
			// Nothing is read before all is written.
			w := s.workers[standby]
			w.frozen = true
			for i := range 11 {
				Send(s, b.in, strconv.Itoa(i), 0)
			}
			s.Settle()
			w.frozen = false
			for s.stats.Followed < followed && s.step() {
			}
			s.Crash(owner)
			s.expelNow(owner)
			s.Settle()
			if got, want := s.stats.Restored, 11-followed; got != want || s.Owner("in", 0) != standby {
				t.Errorf("%d records were replayed by worker %d after %d had been followed, want %d by %d", got, s.Owner("in", 0), followed, want, standby)
			}
			wantTotal(t, s, b.counts, 11)
			s.Check()
		})
	}
}

// expelNow puts a worker that crashed out of the group before anybody does
// anything else.
func (s *App) expelNow(n int) {
	for _, m := range slices.Clone(s.broker.group.members) {
		if m.w == s.workers[n] {
			s.leave(m)
		}
	}
}

// A task that moves away in good order leaves its newest state behind, which
// is followed from there; when it comes back nothing is replayed.
func TestOwnerBecomesStandby(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(2), Standbys(1), TopicPartitions("in", 1))
	s.Run()
	owner, standby := s.Owner("in", 0), standbyOf(t, s, 0)
	b.send(s, 0, 20)
	s.Settle()
	for i := range int64(4) {
		s.Move("in", 0, standby)
		b.send(s, 20+i, 21+i)
		s.Settle()
		if got := s.Owner("in", 0); got != standby {
			t.Fatalf("worker %d owns the task, want %d", got, standby)
		}
		if got := standbyOf(t, s, 0); got != owner {
			t.Fatalf("worker %d has the standby, want %d", got, owner)
		}
		owner, standby = standby, owner
	}
	if s.stats.Restored != 0 || s.stats.Rebuilt != 0 {
		t.Errorf("%d records were replayed and %d spaces rebuilt, want none", s.stats.Restored, s.stats.Rebuilt)
	}
	wantTotal(t, s, b.counts, 24)
	s.Check()
}

// A standby that lost its disk, and one whose log went on without it, are read
// anew; a compacted log gives the same table.
func TestStandbyOfACompactedLog(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(2), Standbys(1), TopicPartitions("in", 1))
	s.Run()
	owner, standby := s.Owner("in", 0), standbyOf(t, s, 0)
	b.send(s, 0, 30)
	s.Settle()
	s.Crash(standby)
	b.send(s, 30, 60)
	s.Settle()
	s.Compact("bench-counts-changelog", true)
	s.Restart(standby, LoseDisk)
	s.Settle()
	s.Crash(owner)
	b.send(s, 60, 61)
	s.Settle()
	if s.stats.Restored != 0 {
		t.Errorf("%d records were replayed, want none", s.stats.Restored)
	}
	wantTotal(t, s, b.counts, 61)
	s.Check()
}

// A standby sees nothing of its log for longer than deletions are kept, and one
// of them goes meanwhile: it must not go on from where it was.
func TestStandbyCutOffForLongerThanDeletionsAreKept(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	words := weir.NewTable[string, string](app, "words")
	weir.EachEvent(in.Stream(), "keep", func(ctx weir.Context, e weir.Event[string, string]) error {
		if e.Value == "" {
			return words.Delete(ctx, e.Key)
		}
		return words.Set(ctx, e.Key, e.Value)
	}, weir.Uses(words))
	s := New(t, app, Workers(2), Standbys(1), TopicPartitions("in", 1))
	s.cfg.tombstones = 10 * time.Second
	s.Run()
	owner, standby := s.Owner("in", 0), standbyOf(t, s, 0)
	Send(s, in, "a", "1")
	Send(s, in, "b", "1")
	s.Settle()
	s.Advance(time.Minute) // with nothing to read
	Send(s, in, "c", "1")
	s.Settle()
	if s.stats.Rebuilt != 0 {
		t.Errorf("%d spaces were rebuilt of a standby that saw everything", s.stats.Rebuilt)
	}

	w := s.workers[standby]
	w.frozen = true // unlike with Freeze, the group does not notice
	Send(s, in, "a", "")
	Send(s, in, "d", "1")
	s.Commit()
	s.Advance(11 * time.Second)
	s.Compact("app-words-changelog", true)
	w.frozen = false
	s.Settle()
	if s.stats.Rebuilt != 1 {
		t.Errorf("%d spaces were rebuilt, want one", s.stats.Rebuilt)
	}
	s.Crash(owner)
	s.expelNow(owner)
	s.Settle()
	if got := Table(s, words); len(got) != 3 || got["a"] != "" {
		t.Errorf("the table has %v", got)
	}
	s.Check()
}

func standbyOf(t *testing.T, s *App, p int32) int {
	t.Helper()
	ns := s.StandbysOf("in", p)
	if len(ns) != 1 {
		t.Fatalf("workers %v have a standby of partition %d, want one", ns, p)
	}
	return ns[0]
}

// Workers come and go: every partition has one owner and its standby elsewhere,
// and no more partitions and standbys move than balance needs.
func TestScenario43StickyAssignment(t *testing.T) {
	t.Parallel()
	const partitions = 12
	app := weir.NewApp("sticky")
	in := weir.NewTopic[string, int64](app, "in", weir.Partitions(partitions))
	counts := weir.NewTable[string, int64](app, "counts")
	weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, e weir.Event[string, int64]) error {
		return counts.Update(ctx, e.Key, func(n int64) int64 { return n + 1 })
	}, weir.Uses(counts))
	s := New(t, app, Workers(3), Standbys(1))
	sent := 0
	// look settles and returns owners and standbys by partition.
	look := func() (owners, standbys []int) {
		t.Helper()
		for range 50 {
			Send(s, in, fmt.Sprint(sent), 0)
			sent++
		}
		s.Settle()
		s.Check()
		owns, follows := make(map[int]int), make(map[int]int)
		for p := range int32(partitions) {
			owner, standby := s.Owner("in", p), standbyOf(t, s, p)
			if owner < 0 || owner == standby {
				t.Fatalf("partition %d is owned by %d and followed by %d", p, owner, standby)
			}
			owners, standbys = append(owners, owner), append(standbys, standby)
			owns[owner]++
			follows[standby]++
			if n := s.readersOf(p); n != 1 {
				t.Errorf("%d workers read partition %d", n, p)
			}
		}
		withinOne(t, s, "partitions", owns)
		withinOne(t, s, "standbys", follows)
		return owners, standbys
	}
	three, _ := look()
	again, standbys := look()
	if moved(three, again) != 0 {
		t.Errorf("partitions moved without cause: %v → %v", three, again)
	}
	s.AddWorker()
	four, standbysOfFour := look()
	if n := moved(three, four); n != 3 {
		t.Errorf("%d partitions moved to the fourth worker, want 3: %v → %v", n, three, four)
	}
	// Its share of standbys, and those that stood where a task moved to.
	if n := moved(standbys, standbysOfFour); n > 3+3 {
		t.Errorf("%d standbys moved when the fourth worker came, want 6 at most: %v → %v", n, standbys, standbysOfFour)
	}
	s.StopWorker(1)
	back, standbysBack := look()
	if n := moved(four, back); n != 3 {
		t.Errorf("%d partitions moved when worker 1 left, want its 3: %v → %v", n, four, back)
	}
	if n := moved(standbysOfFour, standbysBack); n > 3+3 {
		t.Errorf("%d standbys moved when worker 1 left, want at most its 3 and 3 that were promoted: %v → %v", n, standbysOfFour, standbysBack)
	}
	s.Crash(2)
	s.Advance(s.cfg.session)
	two, _ := look()
	if n := moved(back, two); n != 4 {
		t.Errorf("%d partitions moved when worker 2 died, want its 4", n)
	}
	restored := 0
	for p := range partitions {
		if back[p] == 2 && two[p] != standbysBack[p] {
			restored++
		}
	}
	if restored > 1 {
		t.Errorf("%d of the partitions of worker 2 did not go to their standbys: %v of %v → %v", restored, standbysBack, back, two)
	}
	if got := int64(len(Table(s, counts))); got != int64(sent) {
		t.Errorf("%d keys were counted, want %d", got, sent)
	}
}

// readersOf counts the workers that read an input.
func (s *App) readersOf(p int32) int {
	n := 0
	for _, w := range s.workers {
		if w.p != nil && slices.ContainsFunc(w.p.reads, func(r *reading) bool { return r.tp.Partition == p }) {
			n++
		}
	}
	return n
}

func withinOne(t *testing.T, s *App, what string, load map[int]int) {
	t.Helper()
	for w := range s.workers {
		for x := range s.workers {
			if s.workers[w].p != nil && s.workers[x].p != nil && load[w]-load[x] > 1 {
				t.Errorf("worker %d has %d %s and worker %d has %d", w, load[w], what, x, load[x])
			}
		}
	}
}

// moved counts what is somewhere else.
func moved(was, is []int) int {
	n := 0
	for p := range was {
		if was[p] != is[p] {
			n++
		}
	}
	return n
}
