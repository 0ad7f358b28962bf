package memory

import (
	"fmt"

	"github.com/weirstream/weir/core/record"
)

// A group is a consumer group: its offsets and its members.
type group struct {
	id         string
	generation int32
	members    map[string]struct{}
	offsets    map[record.TopicPartition]commitment
	// pending holds the offsets of open transactions.
	pending map[*transaction]map[record.TopicPartition]commitment
}

func (b *Broker) group(id string) *group {
	g := b.groups[id]
	if g == nil {
		g = &group{
			id:      id,
			members: make(map[string]struct{}),
			offsets: make(map[record.TopicPartition]commitment),
			pending: make(map[*transaction]map[record.TopicPartition]commitment),
		}
		b.groups[id] = g
	}
	return g
}

// check refuses whoever is not in the group under its current generation.
func (g *group) check(m Membership) error {
	if _, ok := g.members[m.Member]; !ok {
		return fmt.Errorf("%w: %q in group %s; join again", ErrUnknownMember, m.Member, g.id)
	}
	if m.Generation != g.generation {
		return fmt.Errorf("%w: %s is in generation %d, the commit is of %d; join again", ErrIllegalGeneration, g.id, g.generation, m.Generation)
	}
	return nil
}
