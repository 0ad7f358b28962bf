package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func memberChecks() []TransportCheck {
	return []TransportCheck{
		transportCheck("group/of-one", checkGroupOfOne),
		transportCheck("group/cooperative", checkGroupGrowsAndShrinks),
		transportCheck("group/commits-until-revoked", checkRevokedCommits),
		transportCheck("group/revoke-budget", checkRevokeBudget),
		transportCheck("group/offsets-outlive-the-member", checkOffsetsOutlive),
		transportCheck("group/leave-is-silent", checkLeaveIsSilent),
		transportCheck("group/generation", checkGeneration),
		transportCheck("group/briefs", checkBriefs),
		transportCheck("group/zombie", checkZombie, Expels),
		transportCheck("group/lost", checkLost, Expels),
		transportCheck("group/pending-offsets", checkPendingOffsets, ForeignTransactions),
		transportCheck("group/pending-offsets-of-others", checkPendingOthers, ForeignTransactions),
		transportCheck("group/foreign-zombie", checkForeignZombie, ForeignTransactions),
		transportCheck("group/static", checkStatic, StaticMembers),
	}
}

func checkGroupOfOne(s *wire) {
	m := s.all()
	id, generation := m.group.Member()
	if id == "" || generation < 1 {
		s.Fatalf("member %q of generation %d", id, generation)
	}
	m.wantCommitted("")
	at := s.tp("in", 2)
	s.ok(m.group.Commit(s.ctx, nil, offsets{at: {At: 3, Metadata: "x"}}))
	m.wantCommitted("in/2:3x")
	s.is(m.group.Commit(s.ctx, func() error { return errGivenAway }, offsets{at: {At: 4}}), errGivenAway)
	m.wantCommitted("in/2:3x")
	s.ok(m.group.Commit(s.ctx, func() error { return m.claim(at) }, offsets{at: {At: 4}, s.tp("in", 0): {At: 0}}))
	m.wantCommitted("in/0:0 in/2:4")
}

// checkGroupGrowsAndShrinks: members come and go, partitions are taken from
// one before another gets them, and who keeps a partition hears nothing of it.
func checkGroupGrowsAndShrinks(s *wire) {
	a := s.all()
	b := s.join(s.connect())
	b.waitOwned(2)
	a.waitOwned(2)
	kept := a.parts()
	c := s.join(s.connect())
	c.wait("a partition", func() bool { return len(c.owned) > 0 })
	if now := a.parts(); len(now) == 0 || slices.ContainsFunc(now, func(at tp) bool { return !slices.Contains(kept, at) }) {
		s.Fatalf("a member that had %v has %v when another came", kept, now)
	}
	a.leave()
	b.waitOwned(2)
	c.waitOwned(2)
	c.leave()
	b.waitOwned(4)
	if a.losses+b.losses+c.losses > 0 {
		s.Fatalf("partitions were lost in an orderly rebalance: %v, %v, %v", a.heard, b.heard, c.heard)
	}
}

func checkRevokedCommits(s *wire) {
	a := s.all()
	let := make(chan struct{})
	asked := make(chan []tp, 1)
	a.onRevoked(func(_ context.Context, parts []tp) {
		asked <- parts
		select {
		case <-let:
		case <-s.ctx.Done():
		}
	})
	b := s.join(s.connect())
	parts := receive(s, asked, "Revoked")
	// Until Revoked returns, the partitions are still ours to commit.
	p := s.producer("p")
	last := a.round("a", parts[0], 11)
	last.Claim = func() error { return a.claim(parts...) }
	s.commit(p, runtime.Committed, last)
	if owner := s.owners.of(parts[0]); owner != a.name {
		s.Fatalf("%v belongs to %q during revocation", parts[0], owner)
	}
	close(let)
	b.waitOwned(2)
	got, err := b.group.Committed(s.ctx, parts)
	s.ok(err)
	if got[parts[0]].At != 11 {
		s.Fatalf("the successor begins at %v; want 11", got)
	}
	// After it the claim refuses, whatever the group would say.
	late := a.round("b", parts[0], 12)
	late.Claim = last.Claim
	s.commit(p, runtime.Aborted, late)
	s.holds(s.tp("out", 0), "a")
}

// checkRevokeBudget: a listener that does not come back is told when its
// budget is used up.
func checkRevokeBudget(s *wire) {
	a := s.joinWith(s.tr, runtime.GroupConfig{RevokeBudget: 50 * time.Millisecond})
	a.waitOwned(4)
	var told error
	a.onRevoked(func(ctx context.Context, _ []tp) {
		<-ctx.Done()
		told = context.Cause(ctx)
	})
	b := s.join(s.connect())
	b.waitOwned(2)
	a.waitOwned(2)
	if told == nil {
		s.Fatal("nothing was revoked")
	}
}

func checkOffsetsOutlive(s *wire) {
	a := s.all()
	s.ok(a.group.Commit(s.ctx, nil, offsets{s.tp("in", 0): {At: 3}}))
	a.leave()
	b := s.join(s.connect())
	b.waitOwned(4)
	b.wantCommitted("in/0:3")
}

func checkLeaveIsSilent(s *wire) {
	a := s.all()
	a.leave()
	calls := a.calls()
	b := s.join(s.connect())
	b.waitOwned(4)
	if n := a.calls(); n != calls {
		s.Fatalf("%d calls of the listener after leaving: %v", n-calls, a.heard)
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	if err := a.group.Commit(ctx, nil, offsets{s.tp("in", 0): {At: 3}}); err == nil {
		s.Fatal("a commit after leaving was taken")
	}
	b.wantCommitted("")
}

// checkGeneration: the group moves on between the claim and the commit. The
// claim is asked again, and what it refuses then is not committed.
func checkGeneration(s *wire) {
	for _, id := range []string{"p", ""} {
		a := s.all()
		var b *member
		mine := a.parts()
		c := a.round("a", mine[0], 9)
		for _, tp := range mine {
			c.Offsets[tp] = runtime.Offset{At: 9}
		}
		claims := 0
		c.Claim = func() error {
			if claims++; claims > 1 {
				return a.claim(mine...)
			}
			b = s.join(s.connect())
			b.waitOwned(2)
			a.waitOwned(2)
			return nil // it was true when it was asked
		}
		want := runtime.Aborted
		if id == "" {
			want = runtime.Unknown // its record is out
		}
		s.is(s.commit(s.producer(id), want, c).Err, errGivenAway)
		if claims < 2 {
			s.Fatalf("%d claims over two generations", claims)
		}
		b.wantCommitted("")
		a.leave()
		b.leave()
	}
	s.holds(s.tp("out", 0), "a")
}

// checkZombie: a member is put out of its group while it commits, and does not
// know it. Nothing of the commit is taken.
func checkZombie(s *wire) {
	a := s.all()
	b := s.join(s.connect())
	a.waitOwned(2)
	b.waitOwned(2)
	mine := a.parts()
	p := s.producer("p")
	c := a.round("zombie", mine[0], 9)
	claims := 0
	c.Claim = func() error {
		if claims++; claims > 1 {
			return errGivenAway
		}
		s.owners.drop(a.name)
		id, _ := a.group.Member()
		return s.place.Expel(s.name("g"), id)
	}
	if res := p.Commit(s.ctx, c); res.Outcome != runtime.Aborted && res.Outcome != runtime.Fenced {
		s.Fatalf("the commit of a member that was expelled: %v, %v", res.Outcome, res.Err)
	}
	b.wantCommitted("")
	// It comes back as somebody else, and may commit again.
	a.wait("two partitions, after a loss", func() bool { return a.losses > 0 && len(a.owned) == 2 })
	s.commit(p, runtime.Committed, a.round("back", a.parts()[0], 4))
	s.holds(s.tp("out", 0), "back")
}

// checkLost: a member that was expelled is told that its partitions are lost,
// not asked to give them back.
func checkLost(s *wire) {
	a := s.all()
	a.onRevoked(func(_ context.Context, parts []tp) { s.Errorf("asked to give %v back, which somebody else has", parts) })
	id, _ := a.group.Member()
	s.owners.drop(a.name)
	s.ok(s.place.Expel(s.name("g"), id))
	a.wait("all partitions, after a loss", func() bool { return a.losses > 0 && len(a.owned) == 4 })
	now, _ := a.group.Member()
	if now == id || now == "" {
		s.Fatalf("back as member %q, which was %q", now, id)
	}
	a.mu.Lock()
	session := a.session
	a.mu.Unlock()
	a.onRevoked(nil)
	if session < 3 { // assigned, lost, assigned
		s.Fatalf("session %d after a loss", session)
	}
}

// checkPendingOffsets: while a transaction with offsets is open nobody is
// told what came before it (KIP-447).
func checkPendingOffsets(s *wire) {
	m := s.all()
	at := s.tp("in", 0)
	want := int64(0)
	for i, commit := range []bool{true, false, true} {
		tx, err := s.place.Begin(s.name(fmt.Sprint("foreign-", i)))
		s.ok(err)
		id, generation := m.group.Member()
		s.ok(tx.Append(s.ctx, s.words("out", 0, "a")))
		s.ok(tx.Offsets(s.ctx, s.name("g"), id, generation, offsets{at: {At: int64(10 + i)}}))
		if commit {
			want = int64(10 + i)
		}
		ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
		got, err := m.group.Committed(ctx, []tp{at})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Fatalf("told %v, %v while a transaction is pending", got, err)
		}
		s.ok(tx.End(s.ctx, commit))
		got, err = m.group.Committed(s.ctx, []tp{at})
		s.ok(err)
		if got[at].At != want {
			s.Fatalf("committed %v: told %v; want %d", commit, got, want)
		}
	}
}

// checkPendingOthers: partitions that an open transaction does not touch are
// not concerned.
func checkPendingOthers(s *wire) {
	m := s.all()
	other := s.tp("in", 1)
	s.ok(m.group.Commit(s.ctx, nil, offsets{other: {At: 3}}))
	tx, err := s.place.Begin(s.name("foreign"))
	s.ok(err)
	id, generation := m.group.Member()
	s.ok(tx.Append(s.ctx, s.words("out", 0, "a")))
	s.ok(tx.Offsets(s.ctx, s.name("g"), id, generation, offsets{s.tp("in", 0): {At: 5}}))
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	got, err := m.group.Committed(ctx, []tp{other})
	s.ok(tx.End(s.ctx, true))
	if err != nil || got[other].At != 3 {
		s.Fatalf("told %v, %v of a partition that no transaction holds; want 3", got, err)
	}
}

// checkForeignZombie: the cluster itself refuses offsets of a membership that
// is not, or of a generation that is over.
func checkForeignZombie(s *wire) {
	m := s.all()
	id, generation := m.group.Member()
	at := s.tp("in", 0)
	for i, z := range []struct {
		id         string
		generation int32
	}{{id, generation - 1}, {"somebody", generation}} {
		tx, err := s.place.Begin(s.name(fmt.Sprint("zombie-", i)))
		s.ok(err)
		s.ok(tx.Append(s.ctx, s.words("out", 0, "a")))
		if err := tx.Offsets(s.ctx, s.name("g"), z.id, z.generation, offsets{at: {At: 5}}); err == nil {
			s.Errorf("offsets of member %q in generation %d were taken; it is %q in %d", z.id, z.generation, id, generation)
		}
		s.ok(tx.End(s.ctx, false))
	}
	m.wantCommitted("")
}

// checkStatic: a member with an instance ID is replaced by the next that
// comes with it, without a word to the others.
func checkStatic(s *wire) {
	a := s.joinWith(s.tr, runtime.GroupConfig{InstanceID: "i"})
	a.waitOwned(4)
	s.owners.leaves(a.name)
	b := s.joinWith(s.connect(), runtime.GroupConfig{InstanceID: "i"})
	b.waitOwned(4)
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	if err := a.group.Commit(ctx, func() error { return nil }, offsets{s.tp("in", 0): {At: 1}}); err == nil {
		s.Fatal("a static member commits after it was replaced")
	}
	b.wantCommitted("")
	s.commit(s.producer("p"), runtime.Committed, runtime.Commit{
		Records: [][]record.Record{s.words("out", 0, "a")},
		Group:   b.group, Offsets: offsets{s.tp("in", 0): {At: 2}},
	})
	b.wantCommitted("in/0:2")
}
