package memory

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// TestChurn joins, leaves and expels at random. No partition ever has two
// owners, and when all is quiet each has one.
func TestChurn(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { churn(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func churn(t *testing.T, r *rand.Rand) {
	t.Helper()
	s, b := newSuite(t)
	var members []*testMember
	pick := func() int { return r.IntN(len(members)) }
	for range 30 {
		switch n := r.IntN(10); {
		case n < 4 && len(members) < 5 || len(members) == 0:
			members = append(members, s.join(s.connect()))
		case n < 6:
			i := pick()
			members[i].leave()
			members = append(members[:i], members[i+1:]...)
		case n < 8:
			synctest.Wait()
			m := members[pick()]
			id, _ := m.group.Member()
			s.owners.drop(m.name)
			s.ok(b.Expel(id))
		default:
			synctest.Wait()
			checkQuiet(t, s, b, members)
		}
	}
	synctest.Wait()
	checkQuiet(t, s, b, members)
	s.close(members...)
}

func checkQuiet(t *testing.T, s *suite, b *Broker, members []*testMember) {
	t.Helper()
	g := b.Group("g")
	if !g.Stable || len(g.Members) != len(members) {
		t.Fatalf("%d members: %+v", len(members), g)
	}
	if len(members) == 0 {
		return
	}
	total := 0
	for _, m := range members {
		id, generation := m.group.Member()
		parts := m.parts()
		if generation != g.Generation || fmt.Sprint(g.Owned[id]) != fmt.Sprint(parts) {
			t.Fatalf("%s in generation %d has %v; the group: %+v", id, generation, parts, g)
		}
		for _, tp := range parts {
			if owner := s.owners.of(tp); owner != m.name {
				t.Fatalf("%v of %s belongs to %q", tp, m.name, owner)
			}
		}
		total += len(parts)
	}
	if total != 4 {
		t.Fatalf("%d of 4 partitions are owned", total)
	}
}
