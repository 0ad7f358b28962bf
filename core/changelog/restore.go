package changelog

import (
	"fmt"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
)

// A Log is what is known of one changelog partition when a task opens.
type Log struct {
	Space store.Space
	TP    record.TopicPartition
	// ID is the identity of the topic, zero when it is not known.
	ID store.LogID
	// Start and End are the log start and the high watermark, taken after
	// the committed offsets of the task were stable: every transaction that
	// the committed offsets belong to begins below End.
	Start, End int64
	// Position is what the store durably holds.
	Position store.Position
	// Corrupt says that the store found the space damaged.
	Corrupt bool
	// Now and TombstoneRetention, in milliseconds, tell whether compaction
	// may have removed tombstones that the space never saw (KAFKA-19943); a
	// retention of zero means never.
	Now, TombstoneRetention int64
}

// Forgotten reports whether, at a time, deletions may be gone from a log whose
// reader last held all of it at whole: compaction keeps a tombstone for the
// retention after it was written, and then for as long as it likes. All are in
// milliseconds; a retention of zero means that none is ever gone.
func Forgotten(whole, now, retention int64) bool { return retention > 0 && now-whole > retention }

// A Plan says how to restore one space.
type Plan struct {
	Space store.Space
	TP    record.TopicPartition
	// ID is the identity of the topic, which goes into positions.
	ID store.LogID
	// From is the offset to read from; the space is complete when all
	// records below To were applied.
	From, To int64
	// Drop says that the space must be emptied first, and Reason why.
	Drop   bool
	Reason string
	// Now is when the plan was made. Since is since when tombstones that the
	// space has not seen are kept for it: until the restore is done, that is
	// when its data was last complete, or when reading from the start began.
	Now, Since int64
	// TombstoneRetention is that of the log, in milliseconds: who has not
	// read on for longer than that begins anew.
	TombstoneRetention int64
	// Fresh says that the space begins with nothing: it has no position, or
	// is dropped first.
	Fresh bool
}

// NewPlan decides how to restore a space. What the store holds is kept when
// it is a prefix of the log; otherwise the space is rebuilt from the start.
func NewPlan(l Log) Plan {
	p := Plan{Space: l.Space, TP: l.TP, ID: l.ID, From: l.Start, To: l.End, Now: l.Now, Since: l.Now, TombstoneRetention: l.TombstoneRetention}
	at, log := l.Position.Changelog, l.Position.Log
	rebuild := func(format string, args ...any) Plan {
		p.Drop, p.Fresh, p.Reason = true, true, fmt.Sprintf(format, args...)
		return p
	}
	switch {
	case l.Corrupt:
		return rebuild("the store found %s damaged", l.Space)
	case !l.Position.Exists:
		p.Fresh = true
		return p
	case log != l.ID && log != store.LogID{} && l.ID != store.LogID{}:
		return rebuild("%s is topic %s now and was %s when the store last followed it: it was deleted and made anew", l.TP.Topic, l.ID, log)
	case at > l.End:
		return rebuild("the store's position %d is beyond the end %d of %s: the log was truncated or made anew", at, l.End, l.TP)
	case at < l.Start:
		return rebuild("the store's position %d is before the start %d of %s: deletions may have been missed", at, l.Start, l.TP)
	case at < l.End && Forgotten(l.Position.At, l.Now, l.TombstoneRetention):
		return rebuild("%s was last complete %d ms ago, longer than tombstones of %s are kept (%d ms): deletions may have been missed",
			l.Space, l.Now-l.Position.At, l.TP, l.TombstoneRetention)
	}
	p.From, p.Since = at, l.Position.At
	return p
}

// A Read is what reading a log on has brought.
type Read struct {
	// Records are committed ones.
	Records []record.Record
	// Next is the offset after them, control records included.
	Next int64
	// At is when they were read. Before and Whole are times at which the log
	// had nothing committed to read: at the offset where the read began or
	// beyond, and at Next or beyond. All are Unix milliseconds, zero when not
	// known.
	At, Before, Whole int64
}

// A Restore follows the restore of one space.
type Restore struct {
	plan    Plan
	next    int64
	records int64
	whole   int64 // when the space last held all that was committed
}

// NewRestore begins one. A log with nothing to read is Done at once.
func NewRestore(p Plan) *Restore {
	r := &Restore{plan: p, next: p.From, whole: p.Since}
	r.advance(Read{Next: p.From})
	return r
}

// advance notes what was read. What was complete when the plan was made is
// complete as of then.
func (r *Restore) advance(rd Read) {
	r.next, r.whole = max(r.next, rd.Next), max(r.whole, rd.Before, rd.Whole)
	if r.Done() {
		r.whole = max(r.whole, r.plan.Now)
	}
}

// Done reports whether the space is complete. It compares offsets, never
// counts records: control records, aborted transactions and compacted gaps
// take offsets without being seen.
func (r *Restore) Done() bool { return r.next >= r.plan.To }

// Next is the offset to read next.
func (r *Restore) Next() int64 { return r.next }

// Records is how many records were applied.
func (r *Restore) Records() int64 { return r.records }

// Remaining is how many offsets are left.
func (r *Restore) Remaining() int64 { return max(r.plan.To-r.next, 0) }

// TooLate reports whether a read came so long after the space was complete that
// deletions may be missing from it. Nothing of it may be added: the space has to
// be planned again, from its Position, and will be rebuilt.
func (r *Restore) TooLate(rd Read) bool {
	return rd.Next > r.next && Forgotten(max(r.whole, rd.Before), rd.At, r.plan.TombstoneRetention)
}

// Add puts what was read and the position after it into a batch. Records before
// the restore's position are dropped: a fetch may begin early.
func (r *Restore) Add(p *store.Part, rd Read) {
	for i := range rd.Records {
		rec := &rd.Records[i]
		if rec.Offset < r.next {
			continue
		}
		if rec.Value == nil {
			p.Delete(rec.Key)
		} else {
			p.Put(rec.Key, rec.Value)
		}
		r.records++
	}
	r.advance(rd)
	p.Position = r.Position()
}

// Load is Add for a space that is filled in bulk, whose position is given to
// the loader at the end.
func (r *Restore) Load(l store.Loader, rd Read) error {
	for i := range rd.Records {
		rec := &rd.Records[i]
		if rec.Offset < r.next {
			continue
		}
		if err := l.Add(rec.Key, rec.Value); err != nil {
			return err
		}
		r.records++
	}
	r.advance(rd)
	return nil
}

// Position is what the space holds after what was added, and since when it has
// not been complete: a crash must not make it look newer than it is.
func (r *Restore) Position() store.Position {
	return store.Position{Log: r.plan.ID, Changelog: r.next, StreamTime: record.NoTime, At: r.whole, Exists: true}
}
