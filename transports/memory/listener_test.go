package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A testMember is a member of a group in the suite: it records what its
// listener hears.
type testMember struct {
	s     *suite
	name  string
	group runtime.Group

	mu      sync.Mutex
	changed chan struct{}
	owned   map[record.TopicPartition]bool
	session int64
	heard   []string
	running bool
	revoked func(context.Context, []record.TopicPartition)
}

var _ runtime.Listener = (*testMember)(nil)

// join joins group g, to read topic in.
func (s *suite) join(tr runtime.Transport) *testMember {
	s.Helper()
	return s.joinWith(tr, runtime.GroupConfig{})
}

func (s *suite) joinWith(tr runtime.Transport, cfg runtime.GroupConfig) *testMember {
	s.Helper()
	m := &testMember{s: s, name: s.owners.name(), changed: make(chan struct{}), owned: make(map[record.TopicPartition]bool)}
	cfg.Group, cfg.Topics = "g", []string{"in"}
	if cfg.Assignor == nil {
		cfg.Assignor = evenly{}
	}
	g, err := tr.Join(s.ctx, cfg, m)
	s.ok(err)
	m.group = g
	s.Cleanup(func() {
		s.owners.mu.Lock()
		defer s.owners.mu.Unlock()
		for _, e := range s.owners.errs {
			s.Error(e)
		}
		s.owners.errs = nil
	})
	return m
}

// call notes a call of the listener; calls must come one at a time.
func (m *testMember) call(what string, parts []record.TopicPartition) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		m.s.Errorf("%s: %s during another call", m.name, what)
	}
	if len(parts) == 0 {
		m.s.Errorf("%s: %s of nothing", m.name, what)
	}
	m.running = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.running = false
		m.heard = append(m.heard, fmt.Sprint(what, " ", parts))
		close(m.changed)
		m.changed = make(chan struct{})
	}
}

func (m *testMember) Assigned(session int64, parts []record.TopicPartition) {
	defer m.call("assigned", parts)()
	m.s.owners.take(m.name, parts)
	m.mu.Lock()
	defer m.mu.Unlock()
	if session <= m.session {
		m.s.Errorf("%s: session %d after %d", m.name, session, m.session)
	}
	m.session = session
	for _, tp := range parts {
		m.owned[tp] = true
	}
}

func (m *testMember) Revoked(ctx context.Context, parts []record.TopicPartition) {
	defer m.call("revoked", parts)()
	m.mu.Lock()
	f := m.revoked
	m.mu.Unlock()
	if f != nil {
		f(ctx, parts)
	}
	m.s.owners.give(m.name, parts)
	m.without(parts)
}

func (m *testMember) Lost(parts []record.TopicPartition) {
	defer m.call("lost", parts)()
	m.s.owners.give(m.name, parts)
	m.without(parts)
}

func (m *testMember) without(parts []record.TopicPartition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tp := range parts {
		delete(m.owned, tp)
	}
}

func (m *testMember) onRevoked(f func(context.Context, []record.TopicPartition)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = f
}

func (m *testMember) calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.heard)
}

// wait waits until a condition on the member holds; the condition is called
// with mu held.
func (m *testMember) wait(what string, holds func() bool) {
	m.s.Helper()
	for {
		m.mu.Lock()
		ok, changed, heard := holds(), m.changed, slices.Clone(m.heard)
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-m.s.ctx.Done():
			m.s.Fatalf("%s: still waiting for %s; heard %s", m.name, what, strings.Join(heard, ", "))
		}
	}
}

// waitOwned waits until the member has n partitions.
func (m *testMember) waitOwned(n int) {
	m.s.Helper()
	m.wait(fmt.Sprint(n, " partitions"), func() bool { return len(m.owned) == n })
}

// leave leaves the group, having given all up.
func (m *testMember) leave() {
	m.s.Helper()
	m.s.owners.leaves(m.name)
	m.s.ok(m.group.Leave(m.s.ctx))
}

// claim is what a worker's claim does.
func (m *testMember) claim(parts []record.TopicPartition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tp := range parts {
		if !m.owned[tp] {
			return errors.New("not ours any more")
		}
	}
	return nil
}

// wantCommitted compares the group's offsets of topic in: "in/0:5meta".
func (m *testMember) wantCommitted(want string) {
	m.s.Helper()
	parts := []record.TopicPartition{tpOf("in", 0), tpOf("in", 1), tpOf("in", 2), tpOf("in", 3)}
	got, err := m.group.Committed(m.s.ctx, parts)
	m.s.ok(err)
	var show []string
	for _, tp := range parts {
		if o, ok := got[tp]; ok {
			show = append(show, fmt.Sprintf("%v:%d%s", tp, o.At, o.Metadata))
		}
	}
	if s := strings.Join(show, " "); s != want {
		m.s.Fatalf("committed %q; want %q", s, want)
	}
}

// evenly is an assignor: all get the same number, and keep what they have as
// far as that allows.
type evenly struct{}

func (evenly) Name() string     { return "evenly" }
func (evenly) UserData() []byte { return []byte("data") }

func (evenly) Assign(members map[string]runtime.Member, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	var ids []string
	for id, m := range members {
		if string(m.UserData) != "data" {
			return nil, fmt.Errorf("user data %q of %s", m.UserData, id)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	free := make(map[record.TopicPartition]bool)
	for topic, n := range partitions {
		for p := range n {
			free[record.TopicPartition{Topic: topic, Partition: p}] = true
		}
	}
	total := len(free)
	plan := make(map[string][]record.TopicPartition)
	quota := func(i int) int { return (total + len(ids) - 1 - i) / len(ids) }
	for i, id := range ids {
		for _, tp := range members[id].Owned {
			if free[tp] && len(plan[id]) < quota(i) {
				plan[id] = append(plan[id], tp)
				delete(free, tp)
			}
		}
	}
	for i, id := range ids {
		for tp := range free {
			if len(plan[id]) < quota(i) {
				plan[id] = append(plan[id], tp)
				delete(free, tp)
			}
		}
	}
	return plan, nil
}
