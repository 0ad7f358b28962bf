package memory

import (
	"slices"
	"sort"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A partition is a log. Entries are in offset order, with gaps where
// compaction took something away.
type partition struct {
	start, end int64
	entries    []entry
	// open lists the open transactions by their first offset.
	open []span
}

// An entry is a record, or a marker that ends a transaction.
type entry struct {
	rec    record.Record
	txn    *transaction // nil outside of transactions
	marker bool
}

type span struct {
	txn   *transaction
	first int64
}

// visible says whether readers of committed records get the entry, which is
// below the last stable offset.
func (e *entry) visible() bool {
	return !e.marker && (e.txn == nil || e.txn.state == committed)
}

func (p *partition) bounds() runtime.LogRange { return runtime.LogRange{Start: p.start, End: p.end} }

// lastStable is the first offset of the oldest open transaction, or the end.
func (p *partition) lastStable() int64 {
	if len(p.open) == 0 {
		return p.end
	}
	return max(p.open[0].first, p.start)
}

// index is where the first entry at or above an offset is.
func (p *partition) index(offset int64) int {
	return sort.Search(len(p.entries), func(i int) bool { return p.entries[i].rec.Offset >= offset })
}

func (p *partition) append(tp record.TopicPartition, recs []record.Record, txn *transaction) int64 {
	base := p.end
	for _, r := range cloneRecords(recs) {
		r.Topic, r.Partition, r.Offset = tp.Topic, tp.Partition, p.end
		p.entries = append(p.entries, entry{rec: r, txn: txn})
		p.end++
	}
	return base
}

// begin notes that a transaction writes from here on.
func (p *partition) begin(txn *transaction) {
	p.open = append(p.open, span{txn, p.end})
}

// mark ends a transaction with a marker, which takes an offset.
func (p *partition) mark(txn *transaction) {
	p.open = slices.DeleteFunc(p.open, func(s span) bool { return s.txn == txn })
	p.entries = append(p.entries, entry{rec: record.Record{Offset: p.end}, txn: txn, marker: true})
	p.end++
}

// limits bound a fetch; zero is no limit.
type limits struct {
	records, bytes int
	uncommitted    bool
}

func (p *partition) fetch(from int64, l limits) Fetched {
	stop := p.lastStable()
	f := Fetched{Next: from, Start: p.start, LastStable: stop, End: p.end}
	if l.uncommitted {
		stop = p.end
	}
	size := 0
	for i := p.index(from); i < len(p.entries) && p.entries[i].rec.Offset < stop; i++ {
		e := &p.entries[i]
		if e.visible() || l.uncommitted && !e.marker {
			if l.records > 0 && len(f.Records) >= l.records || l.bytes > 0 && size >= l.bytes {
				return f
			}
			f.Records = append(f.Records, e.rec)
			size += len(e.rec.Key) + len(e.rec.Value)
		}
		f.Next = e.rec.Offset + 1
	}
	f.Next = max(f.Next, stop)
	return f
}

// drop removes what is below the new start.
func (p *partition) drop(before int64) {
	if before <= p.start {
		return
	}
	p.start = before
	p.entries = slices.Clone(p.entries[p.index(before):])
}

// truncate removes what is at or above the new end.
func (p *partition) truncate(end int64) {
	if end >= p.end {
		return
	}
	p.end = end
	p.entries = slices.Clone(p.entries[:p.index(end)])
	p.open = slices.DeleteFunc(p.open, func(s span) bool {
		if s.first < end {
			return false
		}
		// All that it wrote here is gone; what it writes next begins anew.
		s.txn.parts = slices.DeleteFunc(s.txn.parts, func(q *partition) bool { return q == p })
		return true
	})
}

// compact keeps the last committed record of each key below the last stable
// offset. Aborted records go. Tombstones, and markers of transactions that
// have nothing left here, go if drop says so.
func (p *partition) compact(drop bool) {
	stop := p.index(p.lastStable())
	last := make(map[string]int)
	for i := range p.entries[:stop] {
		if e := &p.entries[i]; e.visible() {
			last[string(e.rec.Key)] = i
		}
	}
	left := make(map[*transaction]bool)
	kept := make([]entry, 0, len(p.entries))
	for i := range p.entries[:stop] {
		e := &p.entries[i]
		switch {
		case e.marker && drop && !left[e.txn]:
			continue
		case e.marker:
		case !e.visible(), last[string(e.rec.Key)] != i, drop && e.rec.Value == nil:
			continue
		default:
			left[e.txn] = true
		}
		kept = append(kept, *e)
	}
	p.entries = append(kept, p.entries[stop:]...)
}

// cloneRecords copies records with all their bytes. Nil stays nil.
func cloneRecords(recs []record.Record) []record.Record {
	size := 0
	for i := range recs {
		size += len(recs[i].Key) + len(recs[i].Value)
		for _, h := range recs[i].Headers {
			size += len(h.Value)
		}
	}
	arena := make([]byte, 0, size)
	clone := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		from := len(arena)
		arena = append(arena, b...)
		return arena[from:len(arena):len(arena)]
	}
	out := slices.Clone(recs)
	for i := range out {
		r := &out[i]
		r.Key, r.Value, r.Headers = clone(r.Key), clone(r.Value), slices.Clone(r.Headers)
		for j := range r.Headers {
			r.Headers[j].Value = clone(r.Headers[j].Value)
		}
	}
	return out
}
