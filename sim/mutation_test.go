package sim

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// A mutation is a mistake in the commit path, planted between the core and
// the world. Each breaks a rule that exactly-once stands on.
type mutation struct {
	name        string
	atLeastOnce bool
	plant       func(h *hooks)
}

func mutations() []mutation {
	return []mutation{
		{name: "a store takes a batch before its commit is decided", plant: applyEarly},
		{name: "a store batch has no position", plant: func(h *hooks) {
			h.batch = eachPosition(func(pos *store.Position) { pos.Exists = false })
		}},
		{name: "a position is ahead of its batch", plant: func(h *hooks) {
			h.batch = eachPosition(func(pos *store.Position) { pos.Changelog += 2 })
		}},
		{name: "input offsets are not in the transaction", plant: offsetsAfter},
		{name: "input offsets are committed before the outputs", plant: offsetsBefore},
		{name: "at least once, input offsets are committed before the outputs", atLeastOnce: true, plant: offsetsBefore},
		{name: "a commit passes a record that was not processed", plant: passRecord},
		{name: "the writes of an aborted epoch stay", plant: keepAborted},
		{name: "inputs are not rewound after an abort", plant: noRewind},
		{name: "an unknown outcome counts as aborted", plant: func(h *hooks) { h.event = decide(worker.Unknown, worker.Aborted) }},
		{name: "an unknown outcome counts as committed", plant: func(h *hooks) { h.event = decide(worker.Unknown, worker.Committed) }},
		{name: "an aborted commit counts as committed", plant: func(h *hooks) { h.event = decide(worker.Aborted, worker.Committed) }},
		{name: "a restore stops at the last stable offset of when it began", plant: func(h *hooks) { h.logEnd = (*partition).stable }},
		{name: "a restore drops tombstones", plant: func(h *hooks) { h.restored = dropTombstones }},
		{name: "committed offsets are read while a transaction is pending on them", plant: func(h *hooks) { h.unstable = true }},
		{name: "records of an older fetch session are taken", plant: staleSession},
		{name: "a revoked task is released before its commit is decided", plant: releaseEarly},
		{name: "the broker takes the commit of a zombie", plant: func(h *hooks) {
			h.after = func(p *process, _ worker.Event) { p.s.broker.group.lax = true }
		}},
		{name: "stream time is not restored", plant: forgetTime},
		{name: "the changelog has no deletions", plant: func(h *hooks) {
			h.round = filterChanges(func(r record.Record) bool { return r.Value != nil })
		}},
		{name: "every third write is missing in the changelog", plant: func(h *hooks) {
			n := 0
			h.round = filterChanges(func(record.Record) bool { n++; return n%3 != 0 })
		}},
	}
}

// cases bounds how many cases a mutation may survive.
const cases = 1000

// TestMutationsAreCaught plants each mistake and fails when the suite does not
// notice it.
func TestMutationsAreCaught(t *testing.T) {
	t.Parallel()
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			g := plans(m.atLeastOnce)
			for i := range cases {
				var h hooks
				m.plant(&h)
				if why := caught(g.Example(i), h); why != "" {
					t.Logf("caught by case %d: %.200s", i+1, why)
					return
				}
			}
			t.Errorf("the mutation survived %d cases", cases)
		})
	}
}

// Without a mutation the same cases pass, so what catches one is not the
// harness.
func TestCasesPassWithoutMutation(t *testing.T) {
	t.Parallel()
	for _, atLeastOnce := range []bool{false, true} {
		g := plans(atLeastOnce)
		for i := range cases / 5 {
			if why := caught(g.Example(i), hooks{}); why != "" {
				t.Fatalf("case %d (at least once: %v): %s", i, atLeastOnce, why)
			}
		}
	}
}

// caught runs a case and returns why it failed, or nothing.
func caught(p plan, h hooks) (why string) {
	defer func() {
		if v := recover(); v != nil {
			why = fmt.Sprint(v)
		}
	}()
	(&trial{t: panicking{}, plan: p, hooks: h}).run()
	return ""
}

// panicking is a test that ends by a panic.
type panicking struct{}

func (panicking) Helper() {}

func (panicking) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// changes applies the changelog records of a round to the worker's disk.
func changes(p *process, r *worker.Round) {
	var b store.Batch
	for _, e := range r.Epochs {
		for _, c := range e.Changes {
			for _, name := range p.s.topology.Sub(e.Task.Sub).Stores() {
				if topology.ChangelogTopic(p.s.topology.App, name) != c.Topic {
					continue
				}
				part := b.Part(store.Space{Table: name, Partition: c.Partition}, e.Generation)
				if c.Value == nil {
					part.Delete(c.Key)
				} else {
					part.Put(c.Key, c.Value)
				}
			}
		}
	}
	_ = p.w.disk.Apply(&b) // a task may have left meanwhile
}

func applyEarly(h *hooks) {
	h.effect = func(p *process, _ worker.Event, e worker.Effect) worker.Effect {
		if c, ok := e.(worker.Commit); ok {
			changes(p, c.Round)
		}
		return e
	}
}

func keepAborted(h *hooks) {
	rounds := make(map[*process]*worker.Round)
	h.effect = func(p *process, _ worker.Event, e worker.Effect) worker.Effect {
		if c, ok := e.(worker.Commit); ok {
			rounds[p] = c.Round
		}
		return e
	}
	h.event = func(p *process, ev worker.Event) worker.Event {
		if d, ok := ev.(worker.Decided); ok && d.Outcome == worker.Aborted {
			changes(p, rounds[p])
		}
		return ev
	}
}

func eachPosition(f func(pos *store.Position)) func(*process, *store.Batch) {
	return func(_ *process, b *store.Batch) {
		parts := b.Parts()
		for i := range parts {
			f(&parts[i].Position)
		}
	}
}

// offsetsAfter ends the transaction without the input offsets and commits
// them in a step of their own.
func offsetsAfter(h *hooks) {
	done := make(map[*roundJob]bool)
	h.stage = func(j *roundJob) bool {
		switch {
		case j.txn == nil || done[j]:
		case j.stage == stageOffsets:
			j.to(stageEnd)
			return true
		case j.stage == stageReply && j.done.Outcome == worker.Committed:
			done[j] = true
			_ = j.p.s.broker.commitOffsets(j.offsets, j.shown)
			return true
		}
		return false
	}
}

func offsetsBefore(h *hooks) {
	done := make(map[*roundJob]bool)
	h.stage = func(j *roundJob) bool {
		if j.stage == stageBegin && !done[j] {
			done[j] = true
			_ = j.p.s.broker.commitOffsets(j.offsets, membership{j.p, j.p.generation})
			return true
		}
		return false
	}
}

func passRecord(h *hooks) {
	h.round = func(j *roundJob) {
		for tp, o := range j.offsets {
			o.at++
			j.offsets[tp] = o
		}
	}
}

func noRewind(h *hooks) {
	h.effect = func(p *process, ev worker.Event, e worker.Effect) worker.Effect {
		d, aborted := ev.(worker.Decided)
		f, fetch := e.(worker.Fetch)
		if !aborted || !fetch || d.Outcome != worker.Aborted {
			return e
		}
		for tp := range f.At {
			if r := p.reading(tp); r != nil {
				f.At[tp] = r.next
			}
		}
		return f
	}
}

func decide(from, to worker.Outcome) func(*process, worker.Event) worker.Event {
	return func(_ *process, ev worker.Event) worker.Event {
		if d, ok := ev.(worker.Decided); ok && d.Outcome == from {
			d.Outcome = to
			return d
		}
		return ev
	}
}

func dropTombstones(rs []record.Record) []record.Record {
	return slices.DeleteFunc(slices.Clone(rs), func(r record.Record) bool { return r.Value == nil })
}

func staleSession(h *hooks) {
	h.event = func(p *process, ev worker.Event) worker.Event {
		if f, ok := ev.(worker.Fetched); ok {
			if r := p.reading(f.TP); r != nil {
				f.Session = r.session
			}
			return f
		}
		return ev
	}
}

func releaseEarly(h *hooks) {
	h.after = func(p *process, ev worker.Event) {
		rev, ok := ev.(worker.Revoke)
		if !ok {
			return
		}
		for _, id := range rev.Tasks {
			gen, owned := p.claims[id]
			p.s.released(p, id)
			if owned {
				p.claims[id] = gen
			}
		}
	}
}

func forgetTime(h *hooks) {
	h.event = func(_ *process, ev worker.Event) worker.Event {
		if o, ok := ev.(worker.Opened); ok {
			for i := range o.Inputs {
				o.Inputs[i].Metadata = ""
			}
		}
		return ev
	}
}

// filterChanges keeps changelog records out of a round.
func filterChanges(keep func(r record.Record) bool) func(*roundJob) {
	return func(j *roundJob) {
		for i, rs := range j.records {
			if len(rs) > 0 && j.p.s.topology.Topics[rs[0].Topic].Kind == topology.Changelog {
				j.records[i] = slices.DeleteFunc(slices.Clone(rs), func(r record.Record) bool { return !keep(r) })
			}
		}
	}
}
