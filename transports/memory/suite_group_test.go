package memory

import (
	"context"
	"errors"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func suiteGroupOfOne(s *suite) {
	m := s.join(s.tr)
	m.waitOwned(4)
	id, generation := m.group.Member()
	if id == "" || generation < 1 {
		s.Fatalf("member %q generation %d", id, generation)
	}
	m.wantCommitted("")
	s.ok(m.group.Commit(s.ctx, nil, map[record.TopicPartition]runtime.Offset{tpOf("in", 2): {At: 3, Metadata: "x"}}))
	m.wantCommitted("in/2:3x")
	refusal := errors.New("no")
	s.is(m.group.Commit(s.ctx, func() error { return refusal }, map[record.TopicPartition]runtime.Offset{tpOf("in", 2): {At: 4}}), refusal)
	m.wantCommitted("in/2:3x")
}

func suiteGroupGrowsAndShrinks(s *suite) {
	a := s.join(s.tr)
	a.waitOwned(4)
	b := s.join(s.connect())
	a.waitOwned(2)
	b.waitOwned(2)
	c := s.join(s.connect())
	c.waitOwned(1)
	a.leave()
	b.waitOwned(2)
	c.waitOwned(2)
	c.leave()
	b.waitOwned(4)
	if _, err := s.tr.Topics(s.ctx); err != nil {
		s.Fatal(err)
	}
}

func suiteRevokedCommits(s *suite) {
	a := s.join(s.tr)
	a.waitOwned(4)
	let := make(chan struct{})
	asked := make(chan []record.TopicPartition, 1)
	a.onRevoked(func(_ context.Context, parts []record.TopicPartition) {
		asked <- parts
		<-let
	})
	b := s.join(s.connect())
	parts := <-asked
	// Until Revoked returns, the partitions are still ours to commit.
	p := s.producer("p")
	s.commit(p, runtime.Committed, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "a")},
		Group:   a.group, Offsets: map[record.TopicPartition]runtime.Offset{parts[0]: {At: 11}},
		Claim: func() error { return a.claim(parts) },
	})
	if owner := s.owners.of(parts[0]); owner != a.name {
		s.Fatalf("%v belongs to %q during revocation", parts[0], owner)
	}
	close(let)
	b.waitOwned(2)
	offsets, err := b.group.Committed(s.ctx, parts)
	s.ok(err)
	if offsets[parts[0]].At != 11 {
		s.Fatalf("the successor begins at %v", offsets)
	}
	// After it the claim refuses, whatever the group would say.
	s.commit(p, runtime.Aborted, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "b")},
		Group:   a.group, Offsets: map[record.TopicPartition]runtime.Offset{parts[0]: {At: 12}},
		Claim: func() error { return a.claim(parts) },
	})
}

func suiteRevokeBudget(s *suite) {
	a := s.joinWith(s.tr, runtime.GroupConfig{RevokeBudget: 50 * time.Millisecond})
	a.waitOwned(4)
	a.onRevoked(func(ctx context.Context, _ []record.TopicPartition) { <-ctx.Done() })
	b := s.join(s.connect())
	b.waitOwned(2)
	a.waitOwned(2)
}

func suiteCommittedOutlives(s *suite) {
	a := s.join(s.tr)
	a.waitOwned(4)
	s.ok(a.group.Commit(s.ctx, nil, map[record.TopicPartition]runtime.Offset{tpOf("in", 0): {At: 3}}))
	a.leave()
	b := s.join(s.connect())
	b.waitOwned(4)
	b.wantCommitted("in/0:3")
}

func suiteLeaveIsSilent(s *suite) {
	a := s.join(s.tr)
	a.waitOwned(4)
	a.leave()
	calls := a.calls()
	b := s.join(s.connect())
	b.waitOwned(4)
	if n := a.calls(); n != calls {
		s.Fatalf("%d calls of the listener after leaving", n-calls)
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	if err := a.group.Commit(ctx, nil, map[record.TopicPartition]runtime.Offset{tpOf("in", 0): {At: 3}}); err == nil {
		s.Fatal("a commit after leaving was taken")
	}
}

func suiteClose(s *suite) {
	tr := s.connect()
	m := s.join(tr)
	m.waitOwned(4)
	f, err := tr.Fetcher(runtime.FetchConfig{})
	s.ok(err)
	f.Set(map[record.TopicPartition]int64{tpOf("in", 0): 0})
	polled := make(chan []runtime.Batch)
	go func() { polled <- f.Poll(s.ctx, 0) }()
	s.owners.drop(m.name)
	s.ok(tr.Close())
	if got := <-polled; len(got) != 0 {
		s.Fatalf("%v", got)
	}
	if _, err := tr.Topics(s.ctx); err == nil {
		s.Fatal("a closed transport answers")
	}
	s.join(s.tr).waitOwned(4)
}
