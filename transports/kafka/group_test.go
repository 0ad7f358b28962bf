package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func all(topic string, n int32) []record.TopicPartition {
	var parts []record.TopicPartition
	for p := range n {
		parts = append(parts, tp(topic, p))
	}
	return parts
}

// Members share the partitions; at no moment do two own the same.
func TestJoin(t *testing.T) {
	t.Parallel()
	const n = 6
	w := newWorld(t, map[string]int32{"in": n})
	var mu sync.Mutex
	owners := map[record.TopicPartition]*listener{}
	watch := func(l *listener) runtime.Listener { return exclusive{l, t, &mu, owners} }

	ls := []*listener{newListener(), newListener(), newListener()}
	var groups []runtime.Group
	for i, l := range ls {
		g, err := w.connect(Config{}).Join(w.ctx, runtime.GroupConfig{
			Group: "app", Topics: []string{"in"}, Assignor: roundRobin{"member"}, Heartbeat: 50 * time.Millisecond,
		}, watch(l))
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
		for _, other := range ls[:i+1] {
			other.wait(w, "fair share", func() bool { return len(other.owned) == n/(i+1) })
		}
	}
	ids := map[string]bool{}
	for _, g := range groups {
		id, generation := g.Member()
		if id == "" || generation < 1 {
			t.Errorf("member %q of generation %d", id, generation)
		}
		ids[id] = true
	}
	if len(ids) != 3 {
		t.Errorf("members %v", ids)
	}
	mu.Lock()
	for p, l := range owners { // Leave tells nobody
		if l == ls[0] {
			delete(owners, p)
		}
	}
	mu.Unlock()
	if err := groups[0].Leave(w.ctx); err != nil {
		t.Fatal(err)
	}
	// Until then a rebalance may still bring calls that change nothing.
	calls := func() int { ls[0].mu.Lock(); defer ls[0].mu.Unlock(); return ls[0].calls }()
	for _, l := range ls[1:] {
		l.wait(w, "share of the one that left", func() bool { return len(l.owned) == n/2 })
	}
	ls[0].mu.Lock()
	defer ls[0].mu.Unlock()
	if ls[0].calls != calls {
		t.Error("the listener was called after Leave")
	}
}

// exclusive fails when a partition is assigned while another member has it.
type exclusive struct {
	*listener
	t      *testing.T
	mu     *sync.Mutex
	owners map[record.TopicPartition]*listener
}

func (e exclusive) Assigned(session int64, parts []record.TopicPartition) {
	e.mu.Lock()
	for _, p := range parts {
		if e.owners[p] != nil {
			e.t.Errorf("%v has two owners", p)
		}
		e.owners[p] = e.listener
	}
	e.mu.Unlock()
	e.listener.Assigned(session, parts)
}

func (e exclusive) Revoked(ctx context.Context, parts []record.TopicPartition) {
	if d, ok := ctx.Deadline(); !ok || time.Until(d) > DefaultRebalance/2 {
		e.t.Error("no deadline to revoke by")
	}
	e.mu.Lock()
	for _, p := range parts {
		delete(e.owners, p)
	}
	e.mu.Unlock()
	e.listener.Revoked(ctx, parts)
}

// What is committed while partitions are being revoked is what their next
// owner starts from.
func TestCommitInsideRevoked(t *testing.T) {
	t.Parallel()
	const n = 4
	w := newWorld(t, map[string]int32{"in": n, "out": 1})
	first, second := newListener(), newListener()
	p := w.producer("lane")
	var g1 *group
	var revoked []record.TopicPartition
	first.revoke = func(ctx context.Context, parts []record.TopicPartition) {
		offsets := map[record.TopicPartition]runtime.Offset{}
		for _, part := range parts {
			offsets[part] = runtime.Offset{At: 42, Metadata: "stream time 7"}
		}
		res := p.Commit(ctx, runtime.Commit{Records: [][]record.Record{records(tp("out", 0), "last")}, Group: g1, Offsets: offsets})
		if res.Outcome != runtime.Committed {
			t.Errorf("commit inside Revoked: %v", res)
		}
		revoked = parts
	}
	g1 = w.join(w.connect(Config{}), first, "app", "in")
	first.wait(w, "all", func() bool { return len(first.owned) == n })
	g2 := w.join(w.connect(Config{}), second, "app", "in")
	second.wait(w, "half", func() bool { return len(second.owned) == n/2 })
	same(t, "moved", len2(revoked), len2(all("in", n/2)))
	got, err := g2.Committed(w.ctx, all("in", n))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n/2 {
		t.Fatalf("committed %v", got)
	}
	for _, part := range revoked {
		if got[part] != (runtime.Offset{At: 42, Metadata: "stream time 7"}) {
			t.Errorf("%v: committed %v", part, got[part])
		}
	}
}

func len2(parts []record.TopicPartition) []int { return []int{len(parts)} }

// A partition that is lost is told as such, and rejoining raises the session.
func TestLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 2})
	l := newListener()
	g := w.join(w.Transport, l, "app", "in")
	l.wait(w, "all", func() bool { return len(l.owned) == 2 })
	id, _ := g.Member()
	w.expel("app", id)
	l.wait(w, "loss", func() bool { return l.lost == 1 })
	l.wait(w, "return", func() bool { return len(l.owned) == 2 && l.session >= 3 })
	if now, _ := g.Member(); now == id {
		t.Error("came back under the old member ID")
	}
}

// A member that the group put out during a rebalance, and that learns of it from
// the answer to its JoinGroup, has lost everything.
func TestExpelledWhileJoining(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 2})
	l := &expelledListener{listener: newListener(), heard: make(chan error, 2)}
	g := w.joinWith(w.Transport, l, runtime.GroupConfig{
		Group: "app", Topics: []string{"in"}, Assignor: roundRobin{"member"},
		Session: 10 * time.Second, Rebalance: 20 * time.Second, Heartbeat: 50 * time.Millisecond,
	})
	l.wait(w, "all", func() bool { return len(l.owned) == 2 })
	offsets := map[record.TopicPartition]runtime.Offset{tp("in", 0): {At: 1}}
	if err := g.Commit(w.ctx, nil, offsets); err != nil {
		t.Fatal(err)
	}
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.UnknownMemberID, TopLevel: true})
	g.Rejoin()
	l.wait(w, "loss", func() bool { return l.lost == 1 && len(l.owned) == 0 })
	select {
	case err := <-l.heard:
		if !errors.Is(err, runtime.ErrFenced) {
			t.Errorf("expelled with %v", err)
		}
	case <-w.ctx.Done():
		t.Fatal("the listener was not told")
	}
	if err := g.Commit(w.ctx, nil, offsets); !errors.Is(err, runtime.ErrFenced) {
		t.Errorf("a commit of an expelled member: %v, want fenced", err)
	}
}

type expelledListener struct {
	*listener
	heard chan error
}

func (l *expelledListener) Expelled(err error) { l.heard <- err }

// expel removes a member from its group behind its back.
func (w *world) expel(group, id string) {
	w.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = id
	req.Members = append(req.Members, m)
	if _, err := req.RequestWith(w.ctx, w.raw()); err != nil {
		w.t.Fatal(err)
	}
}

func TestRejoinCarriesNewUserData(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 2})
	a := &changing{seen: make(chan string, 100)}
	a.set("member one")
	l := newListener()
	g := w.joinWith(w.Transport, l, runtime.GroupConfig{Group: "app", Topics: []string{"in"}, Assignor: a, Heartbeat: 50 * time.Millisecond})
	l.wait(w, "all", func() bool { return len(l.owned) == 2 })
	a.set("member two")
	g.Rejoin()
	a.await(w, "member two")
}

// A plan that keeps partitions back for a member that claims what it lost
// meanwhile, and so has nothing to give up, does not stay the last one.
func TestKeptBackIsAssigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 2})
	var withheld []bool
	b := balancer{
		roundRobin{"member"}, func([]byte) {},
		func(owned map[string][]int32) map[string][]int32 { return owned },
		func(kept bool) { withheld = append(withheld, kept) },
	}
	join := func(id string, owned ...int32) kmsg.JoinGroupResponseMember {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.ProtocolMetadata = id, b.JoinGroupMetadata([]string{"in"}, map[string][]int32{"in": owned}, 1)
		return m
	}
	for _, members := range [][]kmsg.JoinGroupResponseMember{
		{join("a", 0, 1), join("b")},            // b has to wait for one of a's
		{join("a", 0), join("b", 1)},            // all stays
		{join("a", 0), join("b"), join("c", 1)}, // likewise; b gets nothing
	} {
		cb, err := kgo.NewConsumerBalancer(b, members)
		if err != nil {
			t.Fatal(err)
		}
		if b.Balance(cb, map[string]int32{"in": 2}) == nil {
			t.Fatal("no plan")
		}
	}
	if want := []bool{true, false, false}; !slices.Equal(withheld, want) {
		t.Errorf("partitions were kept back: %v, want %v", withheld, want)
	}

	a := &changing{seen: make(chan string, 100)}
	a.set("member one")
	l := newListener()
	g := w.joinWith(w.Transport, l, runtime.GroupConfig{
		Group: "app", Topics: []string{"in"}, Assignor: a, Heartbeat: 50 * time.Millisecond, RevokeBudget: 50 * time.Millisecond,
	})
	l.wait(w, "all", func() bool { return len(l.owned) == 2 })
	a.set("member two")
	g.planned(true)
	a.await(w, "member two")
}

// await waits until the leader was told something.
func (c *changing) await(w *world, want string) {
	w.t.Helper()
	for data := ""; data != want; {
		select {
		case data = <-c.seen:
		case <-w.ctx.Done():
			w.t.Fatalf("the leader was never told %q", want)
		}
	}
}

type changing struct {
	roundRobin
	mu   sync.Mutex
	data string
	seen chan string
}

func (c *changing) set(s string) { c.mu.Lock(); c.data = s; c.mu.Unlock() }
func (c *changing) UserData() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []byte(c.data)
}

func (c *changing) Assign(members map[string]runtime.Member, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	for _, m := range members {
		c.seen <- string(m.UserData)
	}
	return c.roundRobin.Assign(members, partitions)
}

// An assignor that fails, and one that breaks the rules, is asked again.
func TestAssignorErrors(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]func(id string) (map[string][]record.TopicPartition, error){
		"error": func(string) (map[string][]record.TopicPartition, error) { return nil, errors.New("cannot") },
		"stranger": func(string) (map[string][]record.TopicPartition, error) {
			return map[string][]record.TopicPartition{"x": nil}, nil
		},
		"twice": func(id string) (map[string][]record.TopicPartition, error) {
			return map[string][]record.TopicPartition{id: {tp("in", 0), tp("in", 0)}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int32{"in": 2})
			log := newLogged()
			l := newListener()
			w.joinWith(w.connect(Config{Logger: logger(log)}), l, runtime.GroupConfig{Group: "app", Topics: []string{"in"}, Assignor: &failingOnce{plan: plan}})
			l.wait(w, "all in the end", func() bool { return len(l.owned) == 2 })
			log.wait(w, "group membership failed")
		})
	}
}

type failingOnce struct {
	roundRobin
	once sync.Once
	plan func(id string) (map[string][]record.TopicPartition, error)
}

func (*failingOnce) UserData() []byte { return []byte("member") }
func (f *failingOnce) Assign(members map[string]runtime.Member, partitions map[string]int32) (out map[string][]record.TopicPartition, err error) {
	first := false
	f.once.Do(func() {
		first = true
		for id := range members {
			out, err = f.plan(id)
		}
	})
	if first {
		return out, err
	}
	return f.roundRobin.Assign(members, partitions)
}

func TestGroupConfigMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.Join(w.ctx, runtime.GroupConfig{Session: time.Second, Heartbeat: time.Second, Rebalance: time.Second, RevokeBudget: time.Minute}, newListener())
	contains(t, err, "no group name", "no topics", "no assignor", "heartbeat", "revoke budget")
}

// Committed waits for the transaction that may still change the offsets.
func TestCommittedWaitsForTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 1})
	l := newListener()
	g := w.join(w.Transport, l, "app", "in")
	l.wait(w, "all", func() bool { return len(l.owned) == 1 })
	at := tp("in", 0)
	if err := g.Commit(w.ctx, nil, map[record.TopicPartition]runtime.Offset{at: {At: 3}}); err != nil {
		t.Fatal(err)
	}
	txn := w.raw(kgo.TransactionalID("other"), kgo.MaxVersions(versions(5)))
	if err := txn.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	w.put(txn, at, "a")
	p := &producer{t: w.Transport, id: "other"}
	pid, epoch, err := txn.ProducerID(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.addOffsets(w.ctx, txn, g, runtime.Commit{Offsets: map[record.TopicPartition]runtime.Offset{at: {At: 5}}}, pid, epoch); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		offsets map[record.TopicPartition]runtime.Offset
		err     error
	}
	answers := make(chan answer, 1)
	fetched := w.count(kmsg.OffsetFetch, 3)
	go func() {
		offsets, err := g.Committed(w.ctx, []record.TopicPartition{at})
		answers <- answer{offsets, err}
	}()
	select {
	case <-fetched: // asked again and again
	case a := <-answers:
		t.Fatalf("did not wait: %v", a)
	}
	if err := txn.EndTransaction(w.ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if a := <-answers; a.err != nil || a.offsets[at].At != 5 {
		t.Fatalf("committed %v", a)
	}
}

// A commit under an old generation is refused by the broker; the transport
// tries again only while the claim holds.
func TestZombieRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 1})
	l := newListener()
	g := w.join(w.Transport, l, "app", "in")
	l.wait(w, "all", func() bool { return len(l.owned) == 1 })
	offsets := map[record.TopicPartition]runtime.Offset{tp("in", 0): {At: 9}}
	id, generation := g.Member()
	if err := g.commitOffsets(w.ctx, id, generation-1, offsets); !errors.Is(err, kerr.IllegalGeneration) {
		t.Errorf("old generation: %v", err)
	}
	if err := g.commitOffsets(w.ctx, "somebody", generation, offsets); !errors.Is(err, kerr.UnknownMemberID) {
		t.Errorf("unknown member: %v", err)
	}
	lost := errors.New("lost")
	if err := g.Commit(w.ctx, func() error { return lost }, offsets); !errors.Is(err, lost) {
		t.Errorf("claim: %v", err)
	}
	if got, err := g.Committed(w.ctx, []record.TopicPartition{tp("in", 0)}); err != nil || len(got) != 0 {
		t.Errorf("a zombie committed %v, %v", got, err)
	}
	// A member that left has no ID, and must not commit as a stranger.
	if err := g.Leave(w.ctx); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, 50*time.Millisecond)
	defer cancel()
	if err := g.Commit(ctx, nil, offsets); !errors.Is(err, errNoMember) {
		t.Errorf("after leaving: %v", err)
	}
}
