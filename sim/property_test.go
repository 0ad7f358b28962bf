package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/sim/generate"
	"pgregory.net/rapid"
)

// Whatever happens to an application, its tables and its committed output are
// those of one plain pass over its input.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	g := plans(false)
	var total Stats
	rapid.Check(t, func(t *rapid.T) {
		tr := &trial{t: t, plan: g.Draw(t, "plan")}
		tr.run()
		total.add(tr.s.Stats())
	})
	t.Logf("%+v", total)
}

// add sums what the cases did, to see that they do enough.
func (st *Stats) add(o Stats) {
	st.Tasks.Processed += o.Tasks.Processed
	st.Tasks.Stale += o.Tasks.Stale
	st.Tasks.Late += o.Tasks.Late
	st.Tasks.Closed += o.Tasks.Closed
	st.Tasks.Fired += o.Tasks.Fired
	st.Tasks.Retried += o.Tasks.Retried
	st.Tasks.DeadLettered += o.Tasks.DeadLettered
	st.Commits += o.Commits
	st.Aborts += o.Aborts
	st.Unknowns += o.Unknowns
	st.Fenced += o.Fenced
	st.Crashes += o.Crashes
	st.Rejoins += o.Rejoins
	st.Rebalances += o.Rebalances
	st.Restored += o.Restored
	st.Rebuilt += o.Rebuilt
	st.Resets += o.Resets
	st.Steps += o.Steps
}

// At-least-once loses nothing and invents nothing.
func TestAtLeastOnce(t *testing.T) {
	t.Parallel()
	g := plans(true)
	rapid.Check(t, func(t *rapid.T) { (&trial{t: t, plan: g.Draw(t, "plan")}).run() })
}

// A trial runs one case.
type trial struct {
	t     T
	plan  plan
	hooks hooks
	rng   *rand.Rand
	f     *generate.Fixture
	s     *App
	ids   int64
	clock time.Time // of events
}

func (tr *trial) run() {
	p := tr.plan
	tr.rng = rand.New(rand.NewPCG(p.Seed, 1))
	tr.f = generate.Build(p.Plan)
	top, err := tr.f.App.Build()
	if err != nil {
		tr.t.Fatalf("%v", err)
	}
	h := tr.hooks
	h.choose = tr.rng.IntN
	h.limit = func(most int) int { return 1 + tr.rng.IntN(min(most, 4)) }
	opts := []Option{Workers(0), Standbys(p.Standbys), CommitInterval(50 * time.Millisecond), MaxSteps(100_000)}
	h.configure = func(c *config) { c.patience = time.Hour }
	if p.AtLeastOnce {
		opts = append(opts, AtLeastOnce())
	}
	tr.s = newApp(tr.t, tr.f.App, top, h, opts)
	tr.clock = tr.s.Now()
	if tr.f.Dims != nil {
		for _, d := range []string{"d0", "d1", "d2"} {
			Send(tr.s, tr.f.Dims, d, generate.DimValue(d))
		}
	}
	for range p.Workers {
		tr.s.AddWorker()
	}
	for _, o := range p.Ops {
		tr.do(o)
		if o.Kind == opCrash || o.Kind == opFreeze {
			tr.s.Check()
		}
	}
	tr.heal()
	tr.s.Settle()
	tr.s.Check()
	tr.compare()
}

// heal brings every worker back.
func (tr *trial) heal() {
	for i, w := range tr.s.workers {
		switch {
		case w.frozen:
			tr.s.Thaw(i)
		case w.p == nil && !w.stopped:
			tr.s.Restart(i, KeepDisk)
		}
	}
	if !slices.ContainsFunc(tr.s.workers, func(w *Worker) bool { return w.p != nil }) {
		tr.s.AddWorker()
	}
}

// up returns the nth of the workers for which ok holds, or -1.
func (tr *trial) up(n int, ok func(w *Worker) bool) int {
	var is []int
	for i, w := range tr.s.workers {
		if ok(w) {
			is = append(is, i)
		}
	}
	if len(is) == 0 {
		return -1
	}
	return is[n%len(is)]
}

func (tr *trial) do(o op) {
	s := tr.s
	alive := func(w *Worker) bool { return w.p != nil && !w.frozen }
	switch o.Kind {
	case opSend:
		tr.send(1 + o.A/2)
	case opSteps:
		for range 1 + o.A*(1+o.B%4) {
			s.step()
		}
	case opAdvance:
		s.setClock(s.now.Add(time.Duration(1+o.A) * time.Millisecond))
	case opCommit:
		s.Commit()
	case opCrash:
		if i := tr.up(o.A, func(w *Worker) bool { return w.p != nil }); i >= 0 {
			s.workers[i].frozen = false
			s.Crash(i)
		}
	case opRestart:
		if i := tr.up(o.A, func(w *Worker) bool { return w.p == nil }); i >= 0 {
			s.Restart(i, Disk(o.B%2))
		}
	case opMove:
		if i := tr.up(o.B, alive); i >= 0 {
			sources := s.topology.Sources()
			topic := sources[o.A%len(sources)]
			s.Move(topic, int32(o.B/2)%s.counts[topic], i)
		}
	case opAddWorker:
		if len(s.workers) < 4 {
			s.AddWorker()
		}
	case opStop:
		if i := tr.up(o.A, alive); i >= 0 {
			s.StopWorker(i)
		}
	case opFreeze:
		// Without transactions the broker cannot keep a zombie's records
		// out of a changelog, so at-least-once has no answer to one.
		if tr.plan.AtLeastOnce {
			return
		}
		if i := tr.up(o.A, alive); i >= 0 {
			s.Freeze(i)
		}
	case opThaw:
		if i := tr.up(o.A, func(w *Worker) bool { return w.frozen }); i >= 0 {
			s.Thaw(i)
		}
	case opFault:
		s.FailCommit(Fault(1 + o.A%int(LoseReply)))
	case opCompact:
		for _, name := range s.broker.names {
			if s.topology.Topics[name].Kind.String() == "changelog" {
				s.Compact(name, false)
			}
		}
	case opTimeout:
		s.setClock(s.now.Add(16 * time.Second))
	case opZombie:
		tr.zombie(o)
	}
}

// zombie freezes a worker in the middle of a commit, lets others take its
// tasks, and wakes it.
func (tr *trial) zombie(o op) {
	s := tr.s
	if tr.plan.AtLeastOnce {
		return
	}
	s.setClock(s.now.Add(s.cfg.commitInterval))
	for range 200 {
		if !s.step() {
			return
		}
		i := tr.up(0, func(w *Worker) bool {
			if w.p == nil || w.frozen || len(w.p.commits) == 0 {
				return false
			}
			j, ok := w.p.commits[0].(*roundJob)
			return ok && int(j.stage) == 1+o.A%int(stageReply)
		})
		if i < 0 {
			continue
		}
		s.Freeze(i)
		s.setClock(s.now.Add(16 * time.Second))
		for range 20 * o.B {
			s.step()
		}
		s.Thaw(i)
		return
	}
}

// send writes records whose event time goes on, with some disorder.
func (tr *trial) send(n int) {
	for range n {
		tr.clock = tr.clock.Add(time.Duration(tr.rng.IntN(4000)) * time.Millisecond)
		at := tr.clock.Add(-time.Duration(tr.rng.IntN(3)*tr.rng.IntN(12)) * time.Second)
		k := tr.rng.Int64N(5)
		tr.ids++
		src := tr.f.Sources[tr.rng.IntN(len(tr.f.Sources))]
		Send(tr.s, src, "k"+strconv.FormatInt(k, 10), tr.ids*1000+k*100+tr.rng.Int64N(100), At(at))
	}
}

// compare checks everything against the model.
func (tr *trial) compare() {
	m := generate.NewModel(tr.plan.Plan)
	for i, src := range tr.f.Sources {
		for _, p := range tr.s.broker.topics[src.Name()] {
			rs, _, err := p.fetch(0, len(p.log))
			if err != nil {
				tr.t.Fatalf("%v", err)
			}
			m.Partition(i, rs, func(r record.Record) (string, int64) {
				k, _ := src.DecodeKey(r.Key)
				v, _ := src.DecodeValue(r.Value)
				return k, v
			})
		}
	}
	for _, t := range tr.f.Tables {
		tr.compareTable(t.Name(), Table(tr.s, t), m.Tables[t.Name()])
	}
	for _, w := range tr.f.Windows {
		got := make(map[string]int64)
		for _, e := range Windows(tr.s, w) {
			got[generate.WindowKey(e.Start.UnixMilli(), e.Key)] = e.Value
		}
		tr.compareTable(w.Name(), got, m.Tables[w.Name()])
	}
	for _, o := range tr.f.Outs {
		got := make(map[string][]int64)
		for _, msg := range Read(tr.s, o) {
			got[msg.Key] = append(got[msg.Key], msg.Value)
		}
		tr.compareOutput(o.Name(), got, m.Outs[o.Name()])
	}
}

func (tr *trial) compareTable(name string, got, want map[string]int64) {
	if tr.plan.AtLeastOnce {
		tr.atLeast(name, got, want)
		return
	}
	if err := differ(got, want, func(a, b int64) bool { return a == b }); err != nil {
		tr.t.Fatalf("table %s: %v\n%s", name, err, tr.plan)
	}
}

// differ says where two maps do.
func differ[V any](got, want map[string]V, equal func(a, b V) bool) error {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[k]; !ok || !equal(g, want[k]) {
			return fmt.Errorf("%s is %v (present: %v), want %v", k, g, ok, want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			return fmt.Errorf("%s is %v, want none", k, got[k])
		}
	}
	return nil
}

func (tr *trial) compareOutput(name string, got, want map[string][]int64) {
	if tr.plan.AtLeastOnce {
		tr.covers(name, got, want)
		return
	}
	if err := differ(got, want, slices.Equal[[]int64]); err != nil {
		tr.t.Fatalf("topic %s: %v\n%s", name, err, tr.plan)
	}
}

// timed reports whether a name is of something that depends on when records
// were handled again, which at-least-once leaves open.
func timed(name string) bool {
	for _, p := range []string{"windows-", "fires-", "fired-", "closed-", "late-"} {
		if len(name) > len(p) && name[:len(p)] == p {
			return true
		}
	}
	return false
}

// atLeast checks a table under at-least-once: sets are exact, sums are not
// less than they must be, and what depends on order is left alone.
func (tr *trial) atLeast(name string, got, want map[string]int64) {
	exact := name[:min(len(name), 4)] == "seen" || name[:min(len(name), 4)] == "last"
	if timed(name) || name[:min(len(name), 5)] == "folds" || name[:min(len(name), 5)] == "order" {
		return
	}
	err := differ(got, want, func(a, b int64) bool { return a == b || !exact && a > b })
	if err != nil {
		tr.t.Fatalf("at least once: table %s: %v\n%s", name, err, tr.plan)
	}
}

// covers checks an output under at-least-once: every record is there, and
// none that does not belong.
func (tr *trial) covers(name string, got, want map[string][]int64) {
	if timed(name) {
		return
	}
	set := func(vs []int64) []int64 { return slices.Compact(slices.Sorted(slices.Values(vs))) }
	err := differ(got, want, func(a, b []int64) bool { return slices.Equal(set(a), set(b)) })
	if err != nil {
		tr.t.Fatalf("at least once: topic %s: %v\n%s", name, err, tr.plan)
	}
}

// The same calls give the same run: every record of every topic, markers
// included, and every counter.
func TestSameCallsSameRun(t *testing.T) {
	t.Parallel()
	g := plans(false)
	for i := range 20 {
		var runs [2]string
		for n := range runs {
			tr := &trial{t: t, plan: g.Example(i)}
			tr.run()
			runs[n] = history(tr.s)
		}
		if runs[0] != runs[1] {
			t.Fatalf("case %d gave two histories: %s", i, g.Example(i))
		}
	}
}

// history is all that a run left behind.
func history(s *App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v at %s\n", s.Stats(), s.now)
	for _, name := range s.broker.names {
		for _, p := range s.broker.topics[name] {
			for at, e := range p.log {
				fmt.Fprintf(&b, "%s %d: %x=%x at %d, marker %v, gone %v, committed %v\n", p.tp, at, e.rec.Key, e.rec.Value, e.rec.Time, e.marker, e.gone, e.committed())
			}
		}
	}
	return b.String()
}
