package worker_test

import (
	"cmp"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// A broker is what Kafka would hold: read-committed logs and the group's
// committed offsets.
type broker struct {
	logs      map[record.TopicPartition]*partition
	committed map[record.TopicPartition]committed
	// open is the transaction that is neither committed nor aborted, or nil.
	open *transaction
	// made is how many logs there were so far.
	made byte
}

type committed struct {
	offset   int64
	metadata string
}

// A partition is one log. The index of a slot is its offset; a nil slot is a
// transaction marker, an aborted record or one that compaction removed.
type partition struct {
	id    store.LogID
	start int64
	slots []*record.Record
	// open is the first offset of the open transaction, or -1: readers of
	// committed records wait there.
	open int64
}

func newBroker() *broker {
	return &broker{logs: make(map[record.TopicPartition]*partition), committed: make(map[record.TopicPartition]committed)}
}

func (b *broker) log(tp record.TopicPartition) *partition {
	if b.logs[tp] == nil {
		b.made++
		b.logs[tp] = &partition{id: store.LogID{b.made}, open: -1}
	}
	return b.logs[tp]
}

func (p *partition) end() int64 { return int64(len(p.slots)) }

// stable is the last stable offset.
func (p *partition) stable() int64 {
	if p.open >= 0 {
		return p.open
	}
	return p.end()
}

func (p *partition) append(r *record.Record) int64 {
	if r != nil {
		r.Offset = p.end()
	}
	p.slots = append(p.slots, r)
	return p.end() - 1
}

// read returns up to limit records from an offset on, and the offset after them.
func (p *partition) read(from int64, limit int) ([]record.Record, int64) {
	var rs []record.Record
	for from = max(from, p.start); from < p.stable() && len(rs) < limit; from++ {
		if r := p.slots[from]; r != nil {
			rs = append(rs, *r)
		}
	}
	for from < p.stable() && p.slots[from] == nil {
		from++
	}
	return rs, from
}

// compact keeps the last record of each key; tombstones go too.
func (p *partition) compact() {
	seen := make(map[string]bool)
	for i := len(p.slots) - 1; i >= 0; i-- {
		r := p.slots[i]
		if r == nil {
			continue
		}
		if seen[string(r.Key)] || r.Value == nil {
			p.slots[i] = nil
		}
		seen[string(r.Key)] = true
	}
}

// A transaction is a round on its way: its records have offsets that nobody
// can read past, its input offsets are pending.
type transaction struct {
	b       *broker
	round   *worker.Round
	records []*record.Record
	next    map[record.TopicPartition]int64
	// pending says that the offsets were added: the round is complete.
	pending bool
}

func (b *broker) begin(r *worker.Round) *transaction {
	b.open = &transaction{b: b, round: r, next: make(map[record.TopicPartition]int64)}
	return b.open
}

func (x *transaction) produce(rs []record.Record) {
	for _, rec := range rs {
		p, kept := x.b.log(rec.TP()), clone(rec)
		kept.Offset = p.append(nil)
		if p.open < 0 {
			p.open = kept.Offset
		}
		x.records = append(x.records, kept)
		x.next[rec.TP()] = kept.Offset + 1
	}
}

// end makes the records visible, or leaves nothing but offsets that are used
// up, and returns the offset after the last record of each partition.
func (x *transaction) end(commit bool) map[record.TopicPartition]int64 {
	for _, r := range x.records {
		if commit {
			x.b.log(r.TP()).slots[r.Offset] = r
		}
	}
	for _, tp := range sortedParts(x.next) {
		x.b.log(tp).open = -1
		x.b.log(tp).append(nil) // the transaction's marker
	}
	x.b.open = nil
	if !commit {
		return nil
	}
	x.b.commit(x.round)
	return x.next
}

// commit sets the group's offsets.
func (b *broker) commit(r *worker.Round) {
	for _, e := range r.Epochs {
		for _, o := range e.Offsets {
			b.committed[record.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = committed{o.Offset, task.Metadata(e.StreamTime)}
		}
	}
}

// stable reports whether the committed offsets of partitions will not change
// by a transaction that is open.
func (b *broker) stable(tps []record.TopicPartition) bool {
	if b.open == nil || !b.open.pending {
		return true
	}
	for _, e := range b.open.round.Epochs {
		for _, o := range e.Offsets {
			if slices.Contains(tps, record.TopicPartition{Topic: o.Topic, Partition: o.Partition}) {
				return false
			}
		}
	}
	return true
}

func sortedParts[V any](m map[record.TopicPartition]V) []record.TopicPartition {
	var tps []record.TopicPartition
	for tp := range m {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, func(x, y record.TopicPartition) int { return x.Compare(y) })
	return tps
}

// clone copies a record: what a round holds is valid only until it is decided.
func clone(r record.Record) *record.Record {
	r.Key, r.Value = slices.Clone(r.Key), slices.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = slices.Clone(r.Headers[i].Value)
	}
	return &r
}

func compareIDs(x, y task.ID) int {
	return cmp.Or(cmp.Compare(x.Sub, y.Sub), cmp.Compare(x.Partition, y.Partition))
}
