package changelog_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
)

func TestNewPlan(t *testing.T) {
	t.Parallel()
	at := func(offset, written int64) store.Position {
		return store.Position{Changelog: offset, At: written, Exists: true}
	}
	one, two := store.LogID{1}, store.LogID{2}
	of := func(id store.LogID, offset int64) store.Position {
		return store.Position{Log: id, Changelog: offset, Exists: true}
	}
	for _, c := range []struct {
		name     string
		log      changelog.Log
		from, to int64
		drop     string // part of the reason, or empty to keep the space
	}{
		{"empty log, nothing stored", changelog.Log{}, 0, 0, ""},
		{"nothing stored", changelog.Log{Start: 3, End: 9}, 3, 9, ""},
		{"prefix", changelog.Log{Start: 3, End: 9, Position: at(5, 0)}, 5, 9, ""},
		{"at the start", changelog.Log{Start: 3, End: 9, Position: at(3, 0)}, 3, 9, ""},
		{"at the end", changelog.Log{Start: 3, End: 9, Position: at(9, 0)}, 9, 9, ""},
		{"all of the log was deleted", changelog.Log{Start: 9, End: 9, Position: at(9, 0)}, 9, 9, ""},
		{"beyond the end", changelog.Log{Start: 3, End: 9, Position: at(10, 0)}, 3, 9, "beyond the end 9"},
		{"before the start", changelog.Log{Start: 3, End: 9, Position: at(2, 0)}, 3, 9, "before the start 3"},
		{"zero before the start", changelog.Log{Start: 3, End: 9, Position: at(0, 0)}, 3, 9, "before the start 3"},
		{"damaged", changelog.Log{Start: 3, End: 9, Position: at(5, 0), Corrupt: true}, 3, 9, "damaged"},
		{"as old as tombstones", changelog.Log{End: 9, Position: at(5, 100), Now: 1100, TombstoneRetention: 1000}, 5, 9, ""},
		{"older than tombstones", changelog.Log{End: 9, Position: at(5, 99), Now: 1100, TombstoneRetention: 1000}, 0, 9, "longer than tombstones"},
		{"older, but nothing was missed", changelog.Log{End: 9, Position: at(9, 99), Now: 1100, TombstoneRetention: 1000}, 9, 9, ""},
		{"the same topic", changelog.Log{ID: one, End: 9, Position: of(one, 5)}, 5, 9, ""},
		{"another topic", changelog.Log{ID: two, Start: 3, End: 9, Position: of(one, 5)}, 3, 9, "was deleted and made anew"},
		{"another topic, at the same end", changelog.Log{ID: two, End: 9, Position: of(one, 9)}, 0, 9, "was deleted and made anew"},
		{"another topic, empty", changelog.Log{ID: two, Position: of(one, 0)}, 0, 0, "was deleted and made anew"},
		{"another topic, nothing stored", changelog.Log{ID: two, End: 9}, 0, 9, ""},
		{"the store does not know its topic", changelog.Log{ID: two, End: 9, Position: at(5, 0)}, 5, 9, ""},
		{"the brokers do not know it", changelog.Log{End: 9, Position: of(one, 5)}, 5, 9, ""},
		{"tombstones are kept for ever", changelog.Log{End: 9, Position: at(5, 0), Now: 1 << 50}, 5, 9, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := changelog.NewPlan(c.log)
			if p.ID != c.log.ID {
				t.Errorf("the plan is for topic %s, not %s", p.ID, c.log.ID)
			}
			if p.From != c.from || p.To != c.to {
				t.Errorf("reads from %d to %d, want %d to %d", p.From, p.To, c.from, c.to)
			}
			if p.Drop != (c.drop != "") || !strings.Contains(p.Reason, c.drop) {
				t.Errorf("drop %t because %q, want because %q", p.Drop, p.Reason, c.drop)
			}
		})
	}
}

// A space is a store in a test: data and position change together.
type space struct {
	data map[string]string
	pos  store.Position
}

func (s *space) apply(b *store.Batch) {
	for _, p := range b.Parts() {
		for _, op := range p.Ops {
			if op.Value == nil {
				delete(s.data, string(op.Key))
			} else {
				s.data[string(op.Key)] = string(op.Value)
			}
		}
		if p.Position.Exists {
			s.pos = p.Position
		}
	}
}

// TestRestore restores from logs with markers, aborted records and compacted
// gaps, crashes after any batch, and goes on; compaction goes on meanwhile. The
// space is the fold of the log.
func TestRestore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		s := &space{data: make(map[string]string)}
		for {
			crashed := restore(t, s, log)
			for at, r := range log {
				if r != nil && r.Value != nil && superseded(log, at) && rapid.Bool().Draw(t, "compacted") {
					log[at] = nil
				}
			}
			if !crashed {
				break
			}
			log = append(log, drawLog(t)...)
		}
		want := fold(log)
		if !maps.Equal(s.data, want) {
			t.Fatalf("restored %v, want %v", s.data, want)
		}
		if len(log) > 0 && s.pos.Changelog != int64(len(log)) {
			t.Fatalf("position %d, want %d", s.pos.Changelog, len(log))
		}
	})
}

// drawLog draws a log; nil is an offset that no reader sees.
func drawLog(t *rapid.T) []*record.Record {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *record.Record {
		if rapid.IntRange(0, 3).Draw(t, "hole") == 0 {
			return nil
		}
		r := &record.Record{Key: []byte(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key"))}
		if rapid.Bool().Draw(t, "put") {
			r.Value = []byte(rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "value"))
		}
		return r
	}), 0, 12).Draw(t, "log")
}

func fold(log []*record.Record) map[string]string {
	m := make(map[string]string)
	for _, r := range log {
		switch {
		case r == nil:
		case r.Value == nil:
			delete(m, string(r.Key))
		default:
			m[string(r.Key)] = string(r.Value)
		}
	}
	return m
}

// superseded reports whether compaction may remove a record.
func superseded(log []*record.Record, at int) bool {
	return slices.ContainsFunc(log[at+1:], func(r *record.Record) bool {
		return r != nil && string(r.Key) == string(log[at].Key)
	})
}

// restore runs one restore and reports whether it crashed on the way.
func restore(t *rapid.T, s *space, log []*record.Record) bool {
	end := int64(len(log))
	p := changelog.NewPlan(changelog.Log{End: end, Position: s.pos})
	if p.Drop {
		t.Fatalf("rebuilds without need: %s", p.Reason)
	}
	r := changelog.NewRestore(p)
	for !r.Done() {
		before := r.Remaining()
		// A fetch may begin early, and brings what it likes.
		at := max(r.Next()-rapid.Int64Range(0, 2).Draw(t, "early"), 0)
		limit := min(end, r.Next()+rapid.Int64Range(1, 5).Draw(t, "span"))
		var rs []record.Record
		for ; at < limit; at++ {
			if log[at] != nil {
				rec := *log[at]
				rec.Offset = at
				rs = append(rs, rec)
			}
		}
		var b store.Batch
		r.Add(b.Part(store.Space{Table: "t"}, 1), changelog.Read{Records: rs, Next: at})
		s.apply(&b)
		if r.Remaining() >= before {
			t.Fatalf("no progress at %d", r.Next())
		}
		if rapid.IntRange(0, 9).Draw(t, "crash") == 0 {
			return true
		}
	}
	if r.Remaining() != 0 {
		t.Fatalf("done with %d remaining", r.Remaining())
	}
	return false
}

// What is restored has no stream time of its own: that comes with the committed
// offsets.
func TestRestorePosition(t *testing.T) {
	t.Parallel()
	r := changelog.NewRestore(changelog.Plan{ID: store.LogID{7}, From: 4, To: 9, Since: 33, Now: 78})
	var b store.Batch
	part := b.Part(store.Space{Table: "t"}, 1)
	r.Add(part, changelog.Read{Records: []record.Record{{Offset: 3, Key: []byte("old")}, {Offset: 5, Key: []byte("k"), Value: []byte("v")}}, Next: 8})
	want := store.Position{Log: store.LogID{7}, Changelog: 8, StreamTime: record.NoTime, At: 33, Exists: true}
	if part.Position.Log != want.Log || part.Position.Changelog != want.Changelog || part.Position.StreamTime != want.StreamTime || part.Position.At != want.At || !part.Position.Exists {
		t.Errorf("position %+v, want %+v", part.Position, want)
	}
	if len(part.Ops) != 1 || string(part.Ops[0].Key) != "k" || r.Records() != 1 {
		t.Errorf("applied %v (%d), want k alone", part.Ops, r.Records())
	}
	if r.Done() || r.Remaining() != 1 || r.Next() != 8 {
		t.Errorf("done %t, %d remaining at %d; want 1 at 8: the end is an offset", r.Done(), r.Remaining(), r.Next())
	}
	// A marker takes the last offset; nothing is seen of it.
	r.Add(part, changelog.Read{Next: 9})
	if !r.Done() || part.Position.At != 78 {
		t.Errorf("done %t, complete at %d; want it done and complete at 78", r.Done(), part.Position.At)
	}
	// A standby follows the log beyond that. It is complete when it has met
	// the log's end, and not while it lags.
	r.Add(part, changelog.Read{Next: 12})
	if part.Position.Changelog != 12 || part.Position.At != 78 {
		t.Errorf("at %d complete at %d; want 12, complete at 78", part.Position.Changelog, part.Position.At)
	}
	if r.Add(part, changelog.Read{Next: 15, Whole: 99}); part.Position.At != 99 {
		t.Errorf("complete at %d, want 99", part.Position.At)
	}
}

// A restore that breaks off does not make the space look newer than it is. Of a
// log with a put and, further on, its deletion, the first half is read; both go
// to compaction, and the tombstone when it has been kept for long enough.
// Whoever goes on from the middle after that would keep the entry for ever.
func TestBrokenOffRestoreIsAsOldAsItsBegin(t *testing.T) {
	t.Parallel()
	const kept = 1000
	log := changelog.Log{End: 9, Now: 5000, TombstoneRetention: kept}
	fresh := changelog.NewPlan(log)
	log.Position = store.Position{Changelog: 2, At: 4500, Exists: true}
	behind := changelog.NewPlan(log)
	for name, c := range map[string]struct {
		plan  changelog.Plan
		since int64
	}{"from the start": {fresh, 5000}, "what was missing": {behind, 4500}} {
		r := changelog.NewRestore(c.plan)
		var b store.Batch
		part := b.Part(store.Space{Table: "t"}, 1)
		r.Add(part, changelog.Read{Records: []record.Record{{Offset: 4, Key: []byte("k"), Value: []byte("v")}}, Next: 5, At: c.since})
		again := changelog.Log{End: 9, TombstoneRetention: kept, Position: part.Position, Now: c.since + kept}
		if p := changelog.NewPlan(again); p.Drop || p.Since != c.since {
			t.Errorf("%s: at %d: drop %t (%s), kept since %d, want since %d", name, again.Now, p.Drop, p.Reason, p.Since, c.since)
		}
		again.Now++
		if p := changelog.NewPlan(again); !p.Drop {
			t.Errorf("%s: at %d a tombstone may be gone, and the space is kept", name, again.Now)
		}
		// The same for one that does not break off, but reads no sooner. What
		// it sees of the log, or of its end, makes it young again.
		for _, late := range []struct {
			name string
			read changelog.Read
			want bool
		}{
			{"in time", changelog.Read{Next: 6, At: c.since + kept}, false},
			{"late", changelog.Read{Next: 6, At: c.since + kept + 1}, true},
			{"late, with nothing new", changelog.Read{Next: 5, At: c.since + kept + 1}, false},
			{"there was nothing before", changelog.Read{Next: 6, At: c.since + kept + 1, Before: c.since + 1}, false},
			{"late, though it meets the end", changelog.Read{Next: 9, At: c.since + kept + 1, Whole: c.since + kept + 1}, true},
			{"at a time that is not known", changelog.Read{Next: 6}, false},
		} {
			if got := r.TooLate(late.read); got != late.want {
				t.Errorf("%s: a read %s is too late: %t", name, late.name, got)
			}
		}
	}
}
