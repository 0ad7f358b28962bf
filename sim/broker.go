package sim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/record"
)

// Answers of the broker that a committer branches on.
var (
	errFenced     = errors.New("sim: producer was replaced by one of a newer epoch")
	errGeneration = errors.New("sim: the group moved on to another generation")
	errNoMember   = errors.New("sim: not a member of the group any more")
)

// A broker keeps topics, transactions and the committed offsets of the one
// consumer group that there is. Every call is done when it returns; what
// takes time in Kafka (markers after a decision) is a step of its own.
type broker struct {
	topics    map[string][]*partition
	names     []string // in the order of creation
	offsets   map[record.TopicPartition]offset
	pending   map[record.TopicPartition]int // transactions with an undecided offset
	producers map[string]*producer
	ids       []string
	ending    []*txn // decided, with markers still to be written
	group     group
}

// An offset is a committed offset.
type offset struct {
	at       int64
	metadata string
}

// A producer is one transactional ID as the coordinator knows it.
type producer struct {
	epoch int
	txn   *txn // open or ending
}

type txnState uint8

const (
	txnOpen txnState = iota
	txnCommitted
	txnAborted
)

// A txn is one transaction.
type txn struct {
	producer *producer
	state    txnState
	parts    []*partition // written to; after the decision: without a marker yet
	offsets  map[record.TopicPartition]offset
	deadline int64
}

func newBroker() *broker {
	return &broker{
		topics:    make(map[string][]*partition),
		offsets:   make(map[record.TopicPartition]offset),
		pending:   make(map[record.TopicPartition]int),
		producers: make(map[string]*producer),
	}
}

func (b *broker) create(name string, partitions int32) {
	if b.topics[name] != nil {
		return
	}
	ps := make([]*partition, partitions)
	for i := range ps {
		ps[i] = &partition{tp: record.TopicPartition{Topic: name, Partition: int32(i)}}
	}
	b.topics[name] = ps
	b.names = append(b.names, name)
}

func (b *broker) partitions(name string) int32 { return int32(len(b.topics[name])) }

func (b *broker) partition(tp record.TopicPartition) *partition {
	if ps := b.topics[tp.Topic]; int(tp.Partition) < len(ps) && tp.Partition >= 0 {
		return ps[tp.Partition]
	}
	return nil
}

// produce writes records to their partitions, in order, and notes the offset
// after the last one of each.
func (b *broker) produce(rs []record.Record, t *txn, next map[record.TopicPartition]int64) error {
	for len(rs) > 0 {
		tp := rs[0].TP()
		n := 1
		for n < len(rs) && rs[n].Partition == tp.Partition && rs[n].Topic == tp.Topic {
			n++
		}
		p := b.partition(tp)
		if p == nil {
			return fmt.Errorf("sim: there is no partition %s", tp)
		}
		next[tp] = p.append(rs[:n], t)
		rs = rs[n:]
	}
	return nil
}

// init gives a producer a new epoch, which fences the older ones, and decides
// what the last one left open.
func (b *broker) init(id string) int {
	p := b.producers[id]
	if p == nil {
		p = &producer{}
		b.producers[id] = p
		b.ids = append(b.ids, id)
	}
	p.epoch++
	if p.txn != nil {
		if p.txn.state == txnOpen {
			b.decide(p.txn, txnAborted)
		}
		for p.txn != nil {
			b.finish(p.txn, 0)
		}
	}
	return p.epoch
}

// ready reports whether a producer may begin: its last transaction is over.
func (b *broker) ready(id string) bool { return b.producers[id].txn == nil }

func (b *broker) begin(id string, epoch int, deadline int64) (*txn, error) {
	p := b.producers[id]
	if p.epoch != epoch {
		return nil, errFenced
	}
	p.txn = &txn{producer: p, offsets: make(map[record.TopicPartition]offset), deadline: deadline}
	return p.txn, nil
}

// live fails when the transaction is not open any more or belongs to an older
// epoch.
func (t *txn) live(epoch int) error {
	if t.producer.epoch != epoch || t.state != txnOpen {
		return errFenced
	}
	return nil
}

// addOffsets puts the group's offsets into the transaction (KIP-447).
func (b *broker) addOffsets(t *txn, offsets map[record.TopicPartition]offset, m membership) error {
	if err := b.group.check(m); err != nil {
		return err
	}
	for tp, o := range offsets {
		if _, ok := t.offsets[tp]; !ok {
			b.pending[tp]++
		}
		t.offsets[tp] = o
	}
	return nil
}

// commitOffsets commits offsets without a transaction.
func (b *broker) commitOffsets(offsets map[record.TopicPartition]offset, m membership) error {
	if err := b.group.check(m); err != nil {
		return err
	}
	for tp, o := range offsets {
		b.offsets[tp] = o
	}
	return nil
}

// decide ends a transaction; its markers follow.
func (b *broker) decide(t *txn, to txnState) {
	t.state = to
	b.ending = append(b.ending, t)
	if len(t.parts) == 0 && len(t.offsets) == 0 {
		b.finish(t, 0)
	}
}

// steps is how many markers a decided transaction still lacks.
func (t *txn) steps() int {
	n := len(t.parts)
	if len(t.offsets) > 0 {
		n++
	}
	return n
}

// finish writes the which-th of the markers that a transaction lacks; the one
// of the offsets topic is the last of them.
func (b *broker) finish(t *txn, which int) {
	switch {
	case which < len(t.parts):
		t.parts[which].mark(t)
		t.parts = slices.Delete(t.parts, which, which+1)
	case len(t.offsets) > 0:
		for tp, o := range t.offsets {
			if b.pending[tp]--; b.pending[tp] == 0 {
				delete(b.pending, tp)
			}
			if t.state == txnCommitted {
				b.offsets[tp] = o
			}
		}
		t.offsets = nil
	}
	if t.steps() == 0 {
		b.ending = slices.DeleteFunc(b.ending, func(x *txn) bool { return x == t })
		if t.producer.txn == t {
			t.producer.txn = nil
		}
	}
}

// isStable reports whether no transaction is pending on the offsets.
func (b *broker) isStable(tps []record.TopicPartition) bool {
	return !slices.ContainsFunc(tps, func(tp record.TopicPartition) bool { return b.pending[tp] > 0 })
}

// timeouts returns the open transactions in order.
func (b *broker) openTxns() []*txn {
	var open []*txn
	for _, id := range b.ids {
		if t := b.producers[id].txn; t != nil && t.state == txnOpen {
			open = append(open, t)
		}
	}
	return open
}

// expire aborts transactions that were open for too long and fences their
// producers, as the coordinator does.
func (b *broker) expire(now int64) {
	for _, t := range b.openTxns() {
		if t.deadline <= now {
			t.producer.epoch++
			b.decide(t, txnAborted)
		}
	}
}
