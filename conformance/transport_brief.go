package conformance

import (
	"fmt"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// briefing is an assignor that tells each member but the last, by ID, how many
// there are.
type briefing struct{ evenly }

var _ runtime.Briefer = briefing{}

// Brief implements runtime.Briefer.
func (b briefing) Brief(members map[string]runtime.Member, partitions map[string]int32) (map[string][]record.TopicPartition, map[string][]byte, error) {
	plan, err := b.Assign(members, partitions)
	briefs := make(map[string][]byte)
	for i, id := range sortedKeys(members) {
		if i == 0 || i < len(members)-1 {
			briefs[id] = fmt.Appendf(nil, "%s is one of %d", id, len(members))
		}
	}
	return plan, briefs, err
}

// briefed is a member that hears what the leader has to say.
type briefed struct {
	*member
	last  string // under the member's lock
	early bool   // a brief came after partitions of its assignment
}

var _ runtime.BriefedListener = (*briefed)(nil)

// Briefed implements runtime.BriefedListener.
func (b *briefed) Briefed(brief []byte) {
	defer b.call("briefed", []tp{{}})()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = string(brief)
}

// Assigned implements runtime.Listener.
func (b *briefed) Assigned(session int64, parts []record.TopicPartition) {
	b.mu.Lock()
	b.early = b.early || b.last == "" && len(b.owned) == 0 && session == 1
	b.mu.Unlock()
	b.member.Assigned(session, parts)
}

func (s *wire) joinBriefed(tr runtime.Transport) *briefed {
	s.Helper()
	b := &briefed{member: s.newMember()}
	s.enter(tr, b.member, b, runtime.GroupConfig{Assignor: briefing{}})
	return b
}

// checkBriefs: what the leader has to say comes with each generation, before
// its partitions, to the one whom it is for; nothing said is heard as nothing.
func checkBriefs(s *wire) {
	a := s.joinBriefed(s.tr)
	a.waitOwned(4)
	if id, _ := a.group.Member(); a.last != id+" is one of 1" || a.early {
		s.Fatalf("a member of one heard %q (too late: %t)", a.last, a.early)
	}
	b := s.joinBriefed(s.connect())
	b.waitOwned(2)
	a.waitOwned(2)
	first, last := a, b
	idA, _ := a.group.Member()
	idB, _ := b.group.Member()
	if idB < idA {
		first, last = b, a
	}
	first.wait("what the leader said to the first of two", func() bool { return first.last == min(idA, idB)+" is one of 2" })
	last.wait("that the leader said nothing", func() bool { return last.last == "" })
	b.leave()
	a.waitOwned(4)
	a.wait("that it is alone again", func() bool { return a.last == idA+" is one of 1" })
}
