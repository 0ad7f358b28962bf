package memory

import (
	"fmt"
	"maps"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A Membership is a member ID with the generation it acts under. The zero
// value stands for somebody outside of the group's protocol.
type Membership struct {
	Member     string
	Generation int32
}

// A commitment is a committed offset and the place of its commit among all.
type commitment struct {
	runtime.Offset
	order int64
}

func (b *Broker) commitments(offsets map[record.TopicPartition]runtime.Offset) map[record.TopicPartition]commitment {
	b.commits++
	cs := make(map[record.TopicPartition]commitment, len(offsets))
	for tp, o := range offsets {
		cs[tp] = commitment{o, b.commits}
	}
	return cs
}

// Commit commits offsets of a group without a transaction. With the zero
// Membership the group must have no members; else member and generation must
// be current: ErrUnknownMember, ErrIllegalGeneration.
func (b *Broker) Commit(groupID string, m Membership, offsets map[record.TopicPartition]runtime.Offset) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.group(groupID)
	if m == (Membership{}) && len(g.members) > 0 {
		return fmt.Errorf("%w: group %s has members; only they commit", ErrUnknownMember, groupID)
	}
	if m != (Membership{}) {
		if err := g.check(m); err != nil {
			return err
		}
	}
	maps.Copy(g.offsets, b.commitments(offsets))
	b.notify()
	return nil
}

// Committed returns the committed offsets of a group; partitions without one
// are absent. pending says that an open transaction holds offsets for one of
// the partitions, so that the answer may change (KIP-447). Without partitions
// it is about all that the group has.
func (b *Broker) Committed(groupID string, parts ...record.TopicPartition) (offsets map[record.TopicPartition]runtime.Offset, pending bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.committed(groupID, parts)
}

func (b *Broker) committed(groupID string, parts []record.TopicPartition) (offsets map[record.TopicPartition]runtime.Offset, pending bool) {
	offsets = make(map[record.TopicPartition]runtime.Offset)
	g := b.groups[groupID]
	if g == nil {
		return offsets, false
	}
	for _, tp := range parts {
		if c, ok := g.offsets[tp]; ok {
			offsets[tp] = c.Offset
		}
		for _, held := range g.pending {
			if _, ok := held[tp]; ok {
				pending = true
			}
		}
	}
	if len(parts) == 0 {
		for tp, c := range g.offsets {
			offsets[tp] = c.Offset
		}
		pending = len(g.pending) > 0
	}
	return offsets, pending
}

// decide applies or drops what a transaction holds. As in Kafka a commit that
// was made later stays, whichever way it was made.
func (g *group) decide(txn *transaction) {
	held := g.pending[txn]
	delete(g.pending, txn)
	if txn.state != committed {
		return
	}
	for tp, c := range held {
		if g.offsets[tp].order < c.order {
			g.offsets[tp] = c
		}
	}
}

// forget drops the offsets of a deleted topic.
func (g *group) forget(topic string) {
	for tp := range g.offsets {
		if tp.Topic == topic {
			delete(g.offsets, tp)
		}
	}
	for _, held := range g.pending {
		for tp := range held {
			if tp.Topic == topic {
				delete(held, tp)
			}
		}
	}
}
