package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/worker"
)

// Faust's acceptance scenarios, under their numbers, in the stricter variant
// where there is one. What Faust says of acknowledging a message, weir says
// of processing a record: a commit never passes a record that is not
// processed.

// An app under test with one source of one partition.
type bench struct {
	app    *weir.App
	in     *weir.Topic[string, int64]
	counts *weir.Table[string, int64]
	seen   []int64 // values in the order in which the counting agent had them
}

func newBench() *bench {
	b := &bench{app: weir.NewApp("bench")}
	b.in = weir.NewTopic[string, int64](b.app, "in", weir.Partitions(1))
	return b
}

// counting adds an agent that counts by key and remembers what it saw.
func (b *bench) counting() {
	b.counts = weir.NewTable[string, int64](b.app, "counts")
	weir.EachEvent(b.in.Stream(), "count", func(ctx weir.Context, e weir.Event[string, int64]) error {
		b.seen = append(b.seen, e.Value)
		return b.counts.Update(ctx, e.Key, func(n int64) int64 { return n + 1 })
	}, weir.Uses(b.counts))
}

// send sends values from lo to hi-1, offset by offset.
func (b *bench) send(s *App, lo, hi int64) {
	for v := lo; v < hi; v++ {
		Send(s, b.in, fmt.Sprintf("k%d", v%3), v)
	}
}

func wantCommitted(t *testing.T, s *App, want int64) {
	t.Helper()
	if got := s.Committed("in", 0); got != want {
		t.Errorf("committed offset is %d, want %d", got, want)
	}
}

func wantTotal(t *testing.T, s *App, table *weir.Table[string, int64], want int64) {
	t.Helper()
	var sum int64
	for _, e := range Entries(s, table) {
		sum += e.Value
	}
	if sum != want {
		t.Errorf("table %s sums up to %d, want %d", table.Name(), sum, want)
	}
}

// intact takes batches of n, however long they take, of what keep keeps.
func (b *bench) batching(n int, keep func(int64) bool, got *[][]int64) {
	weir.Loop(weir.Filter(b.in.Stream(), "keep", keep), "batch", func(_ weir.Context, in *weir.Inbox[string, int64]) error {
		for batch := range in.Take(n, time.Hour) {
			var vs []int64
			for _, e := range batch {
				vs = append(vs, e.Value)
			}
			*got = append(*got, vs)
		}
		return nil
	})
}

func all(int64) bool { return true }

// Two agents read a record; one is done with it, the other still holds it:
// its offset cannot be committed.
func TestScenario01TwoAgentsOneHolds(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	var batches [][]int64
	b.batching(2, all, &batches)
	s := New(t, b.app)
	b.send(s, 0, 1)
	s.Commit()
	if len(b.seen) != 1 {
		t.Fatalf("the first agent saw %v", b.seen)
	}
	wantCommitted(t, s, 0)
	b.send(s, 1, 2)
	s.Settle()
	wantCommitted(t, s, 2)
}

// Records up to 8 are processed, 9 is not, 10 waits behind it: 9 is committed
// and 10 is kept.
func TestScenario02CommitStopsAtGap(t *testing.T) {
	t.Parallel()
	b := newBench()
	out := weir.NewTopic[string, int64](b.app, "out")
	broken := true
	weir.EachEvent(b.in.Stream(), "pick", func(ctx weir.Context, e weir.Event[string, int64]) error {
		if e.Value == 9 && broken {
			return errors.New("not yet")
		}
		return out.Send(ctx, e.Key, e.Value)
	}, weir.Sends(out), weir.OnError(weir.Retry(100, time.Second, time.Second)))
	s := New(t, b.app)
	b.send(s, 0, 11)
	s.Advance(3 * time.Second)
	s.Commit()
	// The task is between two attempts of record 9, so it cannot commit in
	// the middle of it; a commit that began before it stops there.
	if got := s.Committed("in", 0); got > 9 {
		t.Errorf("committed %d, beyond record 9, which is not processed", got)
	}
	s.Move("in", 0, s.AddWorker()) // a revoked task commits what is done
	s.Run()
	wantCommitted(t, s, 9)
	broken = false
	s.Settle()
	wantCommitted(t, s, 11)
	if got := values(Read(s, out)); !slices.Equal(got, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("output is %v", got)
	}
}

// values returns the values of messages in ascending order.
func values(ms []Message[string, int64]) []int64 {
	var vs []int64
	for _, m := range ms {
		vs = append(vs, m.Value)
	}
	slices.Sort(vs)
	return vs
}

// Compaction removed a record in the middle: the commit goes over the gap.
func TestScenario03CompactedGap(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(0))
	for v := range int64(9) {
		key := fmt.Sprintf("k%d", v)
		if v == 5 {
			key = "k8"
		}
		Send(s, b.in, key, v)
	}
	s.Compact("in", false)
	s.AddWorker()
	s.Settle()
	wantCommitted(t, s, 9)
	if want := []int64{0, 1, 2, 3, 4, 6, 7, 8}; !slices.Equal(b.seen, want) {
		t.Errorf("saw %v, want %v", b.seen, want)
	}
}

// Offset 1 is committed; 2 and 3 are processed but 1 is not: nothing more is
// committed.
func TestScenario04NothingPastGap(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	var batches [][]int64
	b.batching(2, func(v int64) bool { return v == 1 || v == 4 }, &batches)
	s := New(t, b.app)
	b.send(s, 0, 1)
	s.Settle()
	wantCommitted(t, s, 1)
	b.send(s, 1, 4)
	s.Commit()
	s.Commit()
	if len(b.seen) != 4 {
		t.Fatalf("the counting agent saw %v", b.seen)
	}
	wantCommitted(t, s, 1)
	b.send(s, 4, 5)
	s.Settle()
	wantCommitted(t, s, 5)
}

// A record comes twice: it is processed once.
func TestScenario05SameRecordTwice(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	top, err := b.app.Build()
	if err != nil {
		t.Fatal(err)
	}
	again := hooks{after: func(p *process, ev worker.Event) {
		if f, ok := ev.(worker.Fetched); ok {
			p.m.Step(f)
		}
	}}
	s := newApp(t, b.app, top, again, nil)
	b.send(s, 0, 5)
	s.Settle()
	wantTotal(t, s, b.counts, 5)
	wantCommitted(t, s, 5)
	if n := s.Stats().Tasks.Stale; n != 5 {
		t.Errorf("%d records were dropped as seen before, want 5", n)
	}
}

// While a commit is running no second one begins, however long it takes, and
// processing goes on.
func TestScenario06OneCommitAtATime(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	top, err := b.app.Build()
	if err != nil {
		t.Fatal(err)
	}
	stalled, rounds := true, 0
	h := hooks{
		choose: rand.New(rand.NewPCG(1, 1)).IntN,
		stage:  func(j *roundJob) bool { return stalled && j.stage == stageEnd },
		round:  func(*roundJob) { rounds++ },
	}
	s := newApp(t, b.app, top, h, nil)
	for i := range int64(5) {
		b.send(s, 10*i, 10*i+10)
		s.setClock(s.now.Add(s.cfg.commitInterval))
		for range 300 {
			s.step()
		}
	}
	if rounds != 1 {
		t.Errorf("%d commits began while the first was running, want 1", rounds)
	}
	if len(b.seen) != 50 {
		t.Errorf("%d records were processed while the commit was running, want 50", len(b.seen))
	}
	wantCommitted(t, s, 0)
	stalled = false
	s.Settle()
	wantCommitted(t, s, 50)
	wantTotal(t, s, b.counts, 50)
}

// The outputs of an offset cannot be produced: the offset is not committed,
// and both come together later.
func TestScenario07ProducerFails(t *testing.T) {
	t.Parallel()
	for _, fault := range []Fault{FailProduce, FailOffsets, LoseRequest, LoseReply} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench()
			out := weir.NewTopic[string, int64](b.app, "out")
			weir.Forward(b.in.Stream(), "forward", out)
			s := New(t, b.app)
			b.send(s, 0, 1)
			s.Settle()
			s.FailCommit(fault)
			b.send(s, 1, 4)
			s.Run()
			s.setClock(s.now.Add(s.cfg.commitInterval))
			for s.stats.Aborts+s.stats.Unknowns == 0 && s.step() {
				if fault != LoseReply && (s.Committed("in", 0) != 1 || len(Read(s, out)) != 1) {
					t.Fatalf("%d committed and %d outputs visible", s.Committed("in", 0), len(Read(s, out)))
				}
			}
			if s.stats.Aborts+s.stats.Unknowns != 1 {
				t.Fatalf("the commit did not fail: %+v", s.stats)
			}
			s.Settle()
			wantCommitted(t, s, 4)
			if got := values(Read(s, out)); !slices.Equal(got, []int64{0, 1, 2, 3}) {
				t.Errorf("output is %v", got)
			}
		})
	}
}

// A partition is taken away in the middle of a commit that holds it: that
// commit has no effect.
func TestScenario08RevokedInCommit(t *testing.T) {
	t.Parallel()
	b := newBench()
	out := weir.NewTopic[string, int64](b.app, "out")
	weir.Forward(b.in.Stream(), "forward", out)
	s := New(t, b.app, Workers(2))
	s.Move("in", 0, 0)
	b.send(s, 0, 1)
	s.Settle()
	b.send(s, 1, 3)
	s.Run()
	wantCommitted(t, s, 1)
	s.setClock(s.now.Add(s.cfg.commitInterval))
	stepTo(t, s, 0, stageOffsets)
	s.Freeze(0)
	s.Advance(20 * time.Second) // the session ends, worker 1 takes over
	wantCommitted(t, s, 3)
	if s.Owner("in", 0) != 1 {
		t.Fatalf("worker %d owns the task", s.Owner("in", 0))
	}
	s.Thaw(0)
	s.Settle()
	wantCommitted(t, s, 3)
	if got := values(Read(s, out)); !slices.Equal(got, []int64{0, 1, 2}) {
		t.Errorf("output is %v", got)
	}
	if st := s.Stats(); st.Fenced+st.Aborts != 1 {
		t.Errorf("the old owner's commit was not refused: %+v", st)
	}
}

// stepTo goes on until the commit of a worker is at a stage.
func stepTo(t *testing.T, s *App, w int, at stage) {
	t.Helper()
	for {
		if p := s.workers[w].p; len(p.commits) > 0 {
			if j, ok := p.commits[0].(*roundJob); ok && j.stage == at {
				return
			}
		}
		if !s.step() {
			t.Fatal("no commit came to that stage")
		}
	}
}

// Records 10 to 19 are processed and not committed when the partition is
// revoked: 20 is committed before the next owner begins, who does none again.
func TestScenario09RevokeCommitsWhatIsDone(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(2))
	s.Move("in", 0, 0)
	b.send(s, 0, 10)
	s.Settle()
	b.send(s, 10, 20)
	s.Run()
	wantCommitted(t, s, 10)
	s.Move("in", 0, 1)
	s.Run()
	wantCommitted(t, s, 20)
	s.Settle()
	if s.Owner("in", 0) != 1 || len(b.seen) != 20 {
		t.Errorf("worker %d owns the task, %d records were handled; want 1 and 20", s.Owner("in", 0), len(b.seen))
	}
	wantTotal(t, s, b.counts, 20)
}

// Record 10 is not processed at the revocation, later ones were seen by
// another agent: no more than 10 is committed.
func TestScenario10RevokeNeverPassesUnprocessed(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	failing := true
	handled := 0
	weir.EachEvent(b.in.Stream(), "fragile", func(_ weir.Context, e weir.Event[string, int64]) error {
		if e.Value == 10 && failing {
			return errors.New("not yet")
		}
		handled++
		return nil
	}, weir.OnError(weir.Retry(1000, time.Second, time.Second)))
	s := New(t, b.app, Workers(2))
	s.Move("in", 0, 0)
	b.send(s, 0, 14)
	s.Advance(5 * time.Second)
	s.Move("in", 0, 1)
	s.Run()
	wantCommitted(t, s, 10)
	if s.Owner("in", 0) != 1 {
		t.Fatalf("worker %d owns the task", s.Owner("in", 0))
	}
	failing = false
	s.Settle()
	wantCommitted(t, s, 14)
	wantTotal(t, s, b.counts, 14)
	if handled != 14 {
		t.Errorf("the fragile agent handled %d records, want 14", handled)
	}
}

// A handler fails: the record comes again, those behind it wait, and after
// the last attempt it is a dead letter with all that is known.
func TestScenario11RetryThenDeadLetter(t *testing.T) {
	t.Parallel()
	b := newBench()
	var order []int64
	weir.EachEvent(b.in.Stream(), "fragile", func(_ weir.Context, e weir.Event[string, int64]) error {
		order = append(order, e.Value)
		if e.Value == 1 {
			panic("no ones")
		}
		return nil
	}, weir.OnError(weir.Retry(2, time.Second, 0).Then(weir.DeadLetter("dead"))))
	s := New(t, b.app)
	Send(s, b.in, "a", 0)
	Send(s, b.in, "b", 1, Header("trace", "x"))
	Send(s, b.in, "c", 2)
	s.Settle()
	if want := []int64{0, 1, 1, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("handled in order %v, want %v", order, want)
	}
	dead := s.DeadLetters("dead")
	if len(dead) != 1 {
		t.Fatalf("%d dead letters, want 1", len(dead))
	}
	d := dead[0]
	v, err := b.in.DecodeValue(d.Value)
	if string(d.Key) != "b" || err != nil || v != 1 || d.Topic != "in" || d.Partition != 0 || d.Offset != 1 ||
		d.Agent != "fragile" || d.Attempts != 3 || d.Error != "panic: no ones" || d.Stack == "" {
		t.Errorf("dead letter is %+v", d)
	}
	if len(d.Headers) != 1 || d.Headers[0].Key != "trace" || string(d.Headers[0].Value) != "x" {
		t.Errorf("headers are %v", d.Headers)
	}
	wantCommitted(t, s, 3)
}

// What a loop was given but did not handle is not committed; after a crash it
// comes again.
func TestScenario12HeldUntilHandled(t *testing.T) {
	t.Parallel()
	b := newBench()
	var batches [][]int64
	b.batching(3, all, &batches)
	s := New(t, b.app)
	b.send(s, 0, 2)
	s.Commit()
	wantCommitted(t, s, 0)
	s.Crash(0)
	s.Restart(0, KeepDisk)
	b.send(s, 2, 3)
	s.Settle()
	wantCommitted(t, s, 3)
	if len(batches) != 1 || !slices.Equal(batches[0], []int64{0, 1, 2}) {
		t.Errorf("batches are %v", batches)
	}
}

// A filter rejects a record: no agent gets it, and it is committed.
func TestScenario13FilteredIsCommitted(t *testing.T) {
	t.Parallel()
	b := newBench()
	got := 0
	weir.Each(weir.Filter(b.in.Stream(), "none", func(int64) bool { return false }), "never", func(weir.Context, int64) error {
		got++
		return nil
	})
	s := New(t, b.app)
	b.send(s, 0, 4)
	s.Settle()
	wantCommitted(t, s, 4)
	if got != 0 {
		t.Errorf("the agent got %d records", got)
	}
}

// A filter before a batch: when the batch is handled, all source records are
// committed, those between included, and those after it.
func TestScenario14FilterAndTake(t *testing.T) {
	t.Parallel()
	b := newBench()
	var batches [][]int64
	b.batching(3, func(v int64) bool { return v%2 == 1 }, &batches)
	s := New(t, b.app)
	b.send(s, 0, 7)
	s.Settle()
	wantCommitted(t, s, 7)
	if len(batches) != 1 || !slices.Equal(batches[0], []int64{1, 3, 5}) {
		t.Errorf("batches are %v", batches)
	}
}

// The key function of a group-by fails: the policy decides. With Skip the
// record is committed and the others go on.
func TestScenario23GroupKeyFails(t *testing.T) {
	t.Parallel()
	b := newBench()
	sums := weir.NewTable[int64, int64](b.app, "sums")
	byMod := weir.GroupBy(b.in.Stream(), "by-mod", func(v int64) int64 {
		if v == 2 {
			panic("no key for two")
		}
		return v % 2
	}, weir.OnError(weir.Skip()))
	weir.EachEvent(byMod, "sum", func(ctx weir.Context, e weir.Event[int64, int64]) error {
		return sums.Update(ctx, e.Key, func(n int64) int64 { return n + e.Value })
	}, weir.Uses(sums))
	s := New(t, b.app)
	b.send(s, 0, 6)
	s.Settle()
	wantCommitted(t, s, 6)
	if got := Table(s, sums); got[0] != 0+4 || got[1] != 1+3+5 {
		t.Errorf("sums are %v", got)
	}
	if n := s.Stats().Tasks.Skipped; n != 1 {
		t.Errorf("%d records skipped, want 1", n)
	}
}
