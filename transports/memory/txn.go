package memory

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A Producer is a producer ID with its epoch.
type Producer struct {
	ID    int64
	Epoch int16
}

func (p Producer) String() string { return fmt.Sprintf("%d/%d", p.ID, p.Epoch) }

// A producerState is what the transaction coordinator knows of a
// transactional ID.
type producerState struct {
	id   string
	pid  Producer
	open *transaction
	// last is how the previous transaction of this epoch ended, so that a
	// repeated EndTxn gets the same answer.
	last txnState
	// before is what pid was before TimeoutTxn replaced it: its owner may
	// renew it (KIP-360).
	before *Producer
}

type txnState uint8

const (
	none txnState = iota
	open
	committed
	aborted
)

// A transaction is shared by the entries it wrote: its end decides them all.
type transaction struct {
	state  txnState
	parts  []*partition
	groups []*group
}

// InitProducer registers a producer under a transactional ID. It gets a new
// epoch, which fences all older ones, and what those left open is aborted.
func (b *Broker) InitProducer(txnID string) Producer {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.txnIDs[txnID]
	if s == nil {
		s = &producerState{id: txnID}
		b.txnIDs[txnID] = s
		b.identify(s)
		return s.pid
	}
	b.newEpoch(s)
	return s.pid
}

// RenewProducer gives a producer a new epoch and aborts what it left open. It
// fails with runtime.ErrFenced when a newer producer has the ID; one that has
// only lost its transaction to TimeoutTxn goes on (KIP-360).
func (b *Broker) RenewProducer(pid Producer) (Producer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timedOut(pid) {
		pid = b.producers[pid.ID].pid
	}
	s, err := b.producer(pid)
	if err != nil {
		return Producer{}, err
	}
	b.newEpoch(s)
	return s.pid, nil
}

// timedOut says that nothing but TimeoutTxn has replaced the producer.
func (b *Broker) timedOut(pid Producer) bool {
	s := b.producers[pid.ID]
	return s != nil && s.before != nil && *s.before == pid
}

// identify gives a producer a new ID.
func (b *Broker) identify(s *producerState) {
	s.pid = Producer{ID: b.nextID}
	b.nextID++
	b.producers[s.pid.ID] = s
}

// newEpoch fences whoever uses the current epoch and aborts what it has open.
func (b *Broker) newEpoch(s *producerState) {
	if s.open != nil {
		b.end(s, aborted)
	}
	s.last, s.before = none, nil
	if s.pid.Epoch == math.MaxInt16 {
		b.identify(s)
		return
	}
	s.pid.Epoch++
}

// TimeoutTxn does what the coordinator does with a transaction that takes too
// long: it aborts it and fences its producer. Without an open transaction of
// the ID it is ErrTxnState.
func (b *Broker) TimeoutTxn(txnID string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.txnIDs[txnID]
	if s == nil || s.open == nil {
		return fmt.Errorf("%w: transactional ID %q", ErrTxnState, txnID)
	}
	b.timeout(s)
	return nil
}

func (b *Broker) timeout(s *producerState) {
	before := s.pid
	b.newEpoch(s)
	s.before = &before
}

// expire times out what a producer has open, unless it was replaced.
func (b *Broker) expire(pid Producer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.producers[pid.ID]; s != nil && s.pid == pid && s.open != nil {
		b.timeout(s)
	}
}

// OpenTxns lists the transactional IDs that have a transaction open.
func (b *Broker) OpenTxns() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for id, s := range b.txnIDs {
		if s.open != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// producer finds a producer whose epoch is still the current one.
func (b *Broker) producer(p Producer) (*producerState, error) {
	s := b.producers[p.ID]
	if s == nil || s.pid != p {
		return nil, fmt.Errorf("%w: producer %v was replaced; make a new one", runtime.ErrFenced, p)
	}
	return s, nil
}

// begin returns the open transaction and opens one where there is none, as
// brokers do since KIP-890.
func (s *producerState) begin() *transaction {
	if s.open == nil {
		s.open = &transaction{state: open}
	}
	return s.open
}

// AppendTxn appends records within the producer's transaction and returns the
// offset of the first. See Append.
func (b *Broker) AppendTxn(pid Producer, tp record.TopicPartition, recs []record.Record) (base int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.producer(pid)
	if err != nil {
		return 0, err
	}
	t, p, err := b.partition(tp)
	if err != nil {
		return 0, err
	}
	if err := t.accepts(tp, recs); err != nil {
		return 0, err
	}
	txn := s.begin()
	if !slices.Contains(txn.parts, p) {
		txn.parts = append(txn.parts, p)
		p.begin(txn)
	}
	base = p.append(tp, recs, txn)
	b.notify()
	return base, nil
}

// TxnOffsets adds offsets of a group to the producer's transaction. They are
// pending until it ends. The membership is checked as in Kafka: one that is
// given has to be the current one, and the zero Membership is not checked.
func (b *Broker) TxnOffsets(pid Producer, groupID string, m Membership, offsets map[record.TopicPartition]runtime.Offset) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.producer(pid)
	if err != nil {
		return err
	}
	g := b.group(groupID)
	if m != (Membership{}) {
		if err := g.check(m); err != nil {
			return err
		}
	}
	txn := s.begin()
	if !slices.Contains(txn.groups, g) {
		txn.groups = append(txn.groups, g)
		g.pending[txn] = make(map[record.TopicPartition]commitment)
	}
	maps.Copy(g.pending[txn], b.commitments(offsets))
	b.notify()
	return nil
}

// EndTxn ends the producer's transaction: a marker goes into each partition
// it wrote to and its offsets are committed, or dropped. Ending the same way
// twice is fine; without a transaction, or when it ended the other way, it is
// ErrTxnState.
func (b *Broker) EndTxn(pid Producer, commit bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.producer(pid)
	if err != nil {
		return err
	}
	how := aborted
	if commit {
		how = committed
	}
	if s.open == nil {
		if s.last == how {
			return nil
		}
		return fmt.Errorf("%w: producer %v", ErrTxnState, pid)
	}
	b.end(s, how)
	return nil
}

func (b *Broker) end(s *producerState, how txnState) {
	txn := s.open
	s.open, s.last, txn.state = nil, how, how
	for _, p := range txn.parts {
		p.mark(txn)
	}
	for _, g := range txn.groups {
		g.decide(txn)
	}
	b.notify()
}
