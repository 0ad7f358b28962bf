package sim

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
)

// errOutOfRange marks a fetch from an offset that the log does not hold.
var errOutOfRange = errors.New("sim: offset out of range")

// A partition is one log. Records, markers and what compaction removed all
// keep their offsets, so an entry's index is its offset.
type partition struct {
	tp    record.TopicPartition
	log   []entry
	start int64 // first offset that can be read
	open  []holding
	// anew counts how often the log was deleted and made again.
	anew int
}

// An entry is one offset of a log.
type entry struct {
	rec    record.Record
	txn    *txn // nil outside a transaction
	marker bool
	gone   bool // removed by compaction
}

// holding is a transaction that keeps the last stable offset at first.
type holding struct {
	txn   *txn
	first int64
}

// id is the identity of the topic.
func (p *partition) id() store.LogID { return store.LogID{15: byte(p.anew + 1)} }

// end is the high watermark.
func (p *partition) end() int64 { return int64(len(p.log)) }

// stable is the last stable offset: where read-committed readers stop.
func (p *partition) stable() int64 {
	lso := p.end()
	for _, h := range p.open {
		lso = min(lso, h.first)
	}
	return lso
}

// append adds records and returns the offset after them. Bytes are copied.
func (p *partition) append(rs []record.Record, t *txn) int64 {
	if t != nil && !slices.ContainsFunc(p.open, func(h holding) bool { return h.txn == t }) {
		p.open = append(p.open, holding{t, p.end()})
		t.parts = append(t.parts, p)
	}
	for _, r := range rs {
		r.Topic, r.Partition, r.Offset = p.tp.Topic, p.tp.Partition, p.end()
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		r.Headers = slices.Clone(r.Headers)
		for i := range r.Headers {
			r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
		}
		p.log = append(p.log, entry{rec: r, txn: t})
	}
	return p.end()
}

// mark ends a transaction here: the marker takes an offset.
func (p *partition) mark(t *txn) {
	p.open = slices.DeleteFunc(p.open, func(h holding) bool { return h.txn == t })
	p.log = append(p.log, entry{txn: t, marker: true})
}

// committed reports whether a read-committed reader sees the entry, once the
// last stable offset is past it.
func (e *entry) committed() bool {
	return !e.marker && (e.txn == nil || e.txn.state == txnCommitted)
}

// fetch reads at most limit committed records and returns the offset after
// what it saw, markers and aborted records included.
func (p *partition) fetch(from int64, limit int) ([]record.Record, int64, error) {
	if from < p.start || from > p.end() {
		return nil, from, errOutOfRange
	}
	var rs []record.Record
	at, stable := from, p.stable()
	for ; at < stable && len(rs) < limit; at++ {
		if e := &p.log[at]; e.committed() && !e.gone {
			if rs == nil {
				rs = make([]record.Record, 0, min(int64(limit), stable-at))
			}
			rs = append(rs, e.rec)
		}
	}
	// Control records behind the last record are seen with it.
	for at < stable && (!p.log[at].committed() || p.log[at].gone) {
		at++
	}
	return rs, at, nil
}

// lastData is the offset after the last record that committed readers see.
func (p *partition) lastData() int64 {
	for at := p.stable(); at > p.start; at-- {
		if e := &p.log[at-1]; e.committed() && !e.gone {
			return at
		}
	}
	return p.start
}

// fold replays the committed records before an offset as a table. It looks at
// what compaction removed, too; moot are the keys of which it removed the
// newest record, because a newer one is beyond the offset: a reader who comes
// late does not see what they were.
func (p *partition) fold(to int64) (table map[string][]byte, moot map[string]bool) {
	table, moot = make(map[string][]byte), make(map[string]bool)
	for at := p.start; at < to && at < p.end(); at++ {
		e := &p.log[at]
		if !e.committed() {
			continue
		}
		k := string(e.rec.Key)
		if e.rec.Value == nil {
			delete(table, k)
		} else {
			table[k] = e.rec.Value
		}
		if e.gone {
			moot[k] = true
		} else if len(moot) > 0 {
			delete(moot, k)
		}
	}
	if len(moot) == 0 {
		return table, moot
	}
	newer := make(map[string]bool)
	for at := max(p.start, to); at < p.end(); at++ {
		if e := &p.log[at]; e.committed() {
			newer[string(e.rec.Key)] = true
		}
	}
	maps.DeleteFunc(moot, func(k string, _ bool) bool { return !newer[k] })
	return table, moot
}

// compact removes what a newer committed record of the same key supersedes,
// and with tombstones also deletions that are the newest of their key.
func (p *partition) compact(tombstones bool) {
	newest := make(map[string]bool)
	for at := p.stable() - 1; at >= p.start; at-- {
		e := &p.log[at]
		if !e.committed() {
			continue
		}
		k := string(e.rec.Key)
		if newest[k] || tombstones && e.rec.Value == nil {
			e.gone = true
		}
		newest[k] = true
	}
}

// renew deletes the log and makes it again, empty.
func (p *partition) renew() {
	p.log, p.start, p.open = nil, 0, nil
	p.anew++
}
