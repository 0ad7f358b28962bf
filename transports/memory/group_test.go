package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// TestStuckMemberIsExpelled: who does not come back from Revoked within the
// rebalance timeout is put out, and the group goes on without it.
func TestStuckMemberIsExpelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSuite(t)
		a := s.join(s.tr)
		a.waitOwned(4)
		asked, let := make(chan []record.TopicPartition, 1), make(chan struct{})
		var spent time.Duration
		a.onRevoked(func(ctx context.Context, parts []record.TopicPartition) {
			start := time.Now()
			<-ctx.Done()
			spent = time.Since(start)
			asked <- parts
			<-let
		})
		start := time.Now()
		c := s.join(s.connect())
		parts := <-asked
		if spent != 30*time.Second {
			t.Fatalf("budget was %v", spent)
		}
		d := s.join(s.connect())
		s.owners.drop(a.name)
		c.waitOwned(2)
		d.waitOwned(2)
		if took := time.Since(start); took < time.Minute || took > 2*time.Minute {
			t.Fatalf("expelled after %v", took)
		}
		a.onRevoked(nil)
		close(let)
		rest := slices.DeleteFunc([]record.TopicPartition{in0, tpOf("in", 1), tpOf("in", 2), tpOf("in", 3)},
			func(tp record.TopicPartition) bool { return slices.Contains(parts, tp) })
		a.waitHeard(fmt.Sprint("lost ", rest))
		a.waitOwned(1)
		s.close(a, c, d)
	})
}

func TestStaticMemberIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newSuite(t)
		a := s.joinWith(s.tr, runtime.GroupConfig{InstanceID: "i"})
		a.waitOwned(4)
		s.owners.drop(a.name)
		c := s.joinWith(s.connect(), runtime.GroupConfig{InstanceID: "i"})
		c.waitOwned(4)
		a.waitOwned(0)
		s.is(a.group.Commit(s.ctx, nil, offsets("1")), runtime.ErrFenced)
		synctest.Wait()
		if g := b.Group("g"); len(g.Members) != 1 || !g.Stable {
			t.Fatalf("%+v", g)
		}
		s.close(a, c)
	})
}

func TestTopicsThatComeAndGo(t *testing.T) {
	t.Parallel()
	s, b := newSuite(t)
	a := s.join(s.tr)
	a.waitOwned(4)
	b.DeleteTopic("in")
	a.waitOwned(0)
	s.ok(b.CreateTopic("in", runtime.TopicSpec{Partitions: 6, Replicas: 1}))
	a.waitOwned(6)
}

// broken is an assignor that fails, or gives a partition twice.
type broken struct {
	evenly
	plan map[string][]record.TopicPartition
}

func (a broken) Assign(members map[string]runtime.Member, _ map[string]int32) (map[string][]record.TopicPartition, error) {
	if a.plan == nil {
		return nil, errBroken
	}
	for id := range members {
		return map[string][]record.TopicPartition{id: {in0, in0}}, nil
	}
	return nil, nil
}

func TestBrokenAssignorAssignsNothing(t *testing.T) {
	t.Parallel()
	for _, assignor := range []runtime.Assignor{broken{}, broken{plan: map[string][]record.TopicPartition{}}} {
		synctest.Test(t, func(t *testing.T) {
			s, b := newSuite(t)
			a := s.joinWith(s.tr, runtime.GroupConfig{Assignor: assignor})
			synctest.Wait()
			if g := b.Group("g"); !g.Stable || g.Generation != 0 || len(a.parts()) != 0 {
				t.Fatalf("%+v %v", g, a.parts())
			}
			if id, _ := a.group.Member(); id != "" {
				t.Fatalf("member %s without a generation", id)
			}
			s.close(a)
		})
	}
}

// slow is an assignor that calls a function before its first decision.
type slow struct {
	evenly
	first *sync.Once
	call  func()
}

func (a slow) Assign(members map[string]runtime.Member, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	a.first.Do(a.call)
	return a.evenly.Assign(members, partitions)
}

// TestPlanForAnotherMembershipIsDropped: somebody joins while the leader
// decides; the decision is made again instead of being carried out and undone.
func TestPlanForAnotherMembershipIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newSuite(t)
		var c *testMember
		a := s.joinWith(s.tr, runtime.GroupConfig{Assignor: slow{first: new(sync.Once), call: func() { c = s.join(s.connect()) }}})
		synctest.Wait()
		if want := []string{fmt.Sprint("assigned ", a.parts())}; !slices.Equal(a.heard, want) || len(a.parts()) != 2 {
			t.Fatalf("heard %v; want %v", a.heard, want)
		}
		if g := b.Group("g"); !g.Stable || g.Generation != 1 {
			t.Fatalf("%+v", g)
		}
		s.close(a, c)
	})
}

// TestLateDecisionIsDropped: the leader is expelled while it decides, and its
// decision comes after that of the next leader.
func TestLateDecisionIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newSuite(t)
		let := make(chan struct{})
		a := s.joinWith(s.tr, runtime.GroupConfig{Assignor: slow{first: new(sync.Once), call: func() { <-let }}})
		synctest.Wait()
		s.ok(b.Expel(b.Group("g").Members[0]))
		c := s.join(s.connect())
		c.waitOwned(4)
		close(let)
		a.waitOwned(2)
		c.waitOwned(2)
		checkQuiet(t, s, b, []*testMember{a, c})
		s.close(a, c)
	})
}

// TestLateDecisionInTheNextRound drives the coordinator by hand: the decision
// of one round arrives while the leader of the next is deciding.
func TestLateDecisionInTheNextRound(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	cfg := runtime.GroupConfig{Group: "g", Topics: []string{"in"}}
	first := b.join(cfg)
	b.enter(first, nil)
	late, ok := b.elect(first.g)
	if !ok {
		t.Fatal("no election")
	}
	must(t, b.Expel(first.id))
	second := b.join(cfg)
	b.enter(second, nil)
	now, ok := b.elect(second.g)
	if !ok {
		t.Fatal("no second election")
	}
	generation := b.Group("g").Generation
	b.decide(first.g, late.round, map[string][]record.TopicPartition{first.id: {in0}}, nil)
	if g := b.Group("g"); g.Generation != generation || g.Stable {
		t.Fatalf("the late decision counted: %+v", g)
	}
	b.decide(second.g, now.round, map[string][]record.TopicPartition{second.id: {in0}}, nil)
	if g := b.Group("g"); g.Generation != generation+1 || !slices.Equal(g.Owned[second.id], []record.TopicPartition{in0}) {
		t.Fatalf("%+v", g)
	}
}
