package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// owners checks that no partition has two owners.
type owners struct {
	mu   sync.Mutex
	held map[tp]string
	gone map[string]bool
	n    int
	errs []string
}

func (o *owners) name() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	return string(rune('a' + o.n - 1))
}

func (o *owners) of(at tp) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held[at]
}

func (o *owners) take(name string, parts []tp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone[name] {
		return
	}
	for _, tp := range parts {
		if other := o.held[tp]; other != "" {
			o.errs = append(o.errs, fmt.Sprintf("%v given to %s while %s has it", tp, name, other))
		}
		o.held[tp] = name
	}
}

func (o *owners) give(name string, parts []tp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, tp := range parts {
		if o.held[tp] == name {
			delete(o.held, tp)
		}
	}
}

// leaves says that whatever the member has or may yet be given is free.
func (o *owners) leaves(name string) {
	o.drop(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone[name] = true
}

// drop says that what the member has is free, as when it was expelled.
func (o *owners) drop(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.held, func(_ tp, owner string) bool { return owner == name })
}

func (s *wire) reportOwners() {
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	for _, e := range s.owners.errs {
		s.Errorf("%s", e)
	}
}

// A member is in a group and records what its listener hears.
type member struct {
	s     *wire
	name  string
	group runtime.Group

	mu      sync.Mutex
	changed chan struct{}
	owned   map[tp]bool
	session int64
	heard   []string
	losses  int
	running bool
	revoked func(context.Context, []tp)
}

var _ runtime.Listener = (*member)(nil)

// join joins group g, to read topic in.
func (s *wire) join(tr runtime.Transport) *member {
	s.Helper()
	return s.joinWith(tr, runtime.GroupConfig{})
}

func (s *wire) joinWith(tr runtime.Transport, cfg runtime.GroupConfig) *member {
	s.Helper()
	m := s.newMember()
	cfg.Assignor = evenly{}
	s.enter(tr, m, m, cfg)
	return m
}

func (s *wire) newMember() *member {
	return &member{s: s, name: s.owners.name(), changed: make(chan struct{}), owned: make(map[tp]bool)}
}

// enter makes a member with a listener join.
func (s *wire) enter(tr runtime.Transport, m *member, l runtime.Listener, cfg runtime.GroupConfig) {
	s.Helper()
	cfg.Group, cfg.Topics = s.name("g"), []string{s.name("in")}
	if cfg.Session == 0 {
		cfg.Session = 10 * time.Second
	}
	if cfg.Rebalance == 0 {
		cfg.Rebalance = 20 * time.Second
	}
	cfg.Heartbeat = 100 * time.Millisecond
	g, err := tr.Join(s.ctx, cfg, l)
	s.ok(err)
	m.group = g
}

// all returns a member that has all four partitions.
func (s *wire) all() *member {
	s.Helper()
	m := s.join(s.tr)
	m.waitOwned(4)
	return m
}

// call notes a call of the listener; calls must come one at a time.
func (m *member) call(what string, parts []tp) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		m.s.Errorf("%s: %s during another call", m.name, what)
	}
	if len(parts) == 0 && what != "assigned" {
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

// Assigned implements runtime.Listener.
func (m *member) Assigned(session int64, parts []record.TopicPartition) {
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

// Revoked implements runtime.Listener.
func (m *member) Revoked(ctx context.Context, parts []record.TopicPartition) {
	defer m.call("revoked", parts)()
	m.mu.Lock()
	f := m.revoked
	m.mu.Unlock()
	if f != nil {
		f(ctx, parts)
	}
	m.without(parts)
	m.s.owners.give(m.name, parts)
}

// Lost implements runtime.Listener.
func (m *member) Lost(parts []record.TopicPartition) {
	defer m.call("lost", parts)()
	m.s.owners.give(m.name, parts)
	m.without(parts)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.losses++
}

func (m *member) without(parts []tp) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tp := range parts {
		delete(m.owned, tp)
	}
}

func (m *member) onRevoked(f func(context.Context, []tp)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = f
}

func (m *member) calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.heard)
}

func (m *member) parts() []tp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Keys(m.owned), tp.Compare)
}

// wait waits until a condition on the member holds; the condition is called
// with mu held.
func (m *member) wait(what string, holds func() bool) {
	m.s.Helper()
	if !m.waitQuietly(holds) {
		m.s.Fatalf("%s: still waiting for %s; heard %s", m.name, what, strings.Join(m.heard, ", "))
	}
}

// waitQuietly is wait for goroutines that cannot fail a test.
func (m *member) waitQuietly(holds func() bool) bool {
	for {
		m.mu.Lock()
		ok, changed := holds(), m.changed
		m.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-m.s.ctx.Done():
			return false
		}
	}
}

// waitOwned waits until the member has n partitions.
func (m *member) waitOwned(n int) {
	m.s.Helper()
	m.wait(fmt.Sprint(n, " partitions"), func() bool { return len(m.owned) == n })
}

// leave leaves the group, having given all up.
func (m *member) leave() {
	m.s.Helper()
	m.s.owners.leaves(m.name)
	m.s.ok(m.group.Leave(m.s.ctx))
}

// claim is what a worker's claim does.
func (m *member) claim(parts ...tp) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tp := range parts {
		if !m.owned[tp] {
			return errGivenAway
		}
	}
	return nil
}

// round is a commit of words to out/0 and of an offset.
func (m *member) round(text string, at tp, offset int64) runtime.Commit {
	return runtime.Commit{
		Records: [][]record.Record{m.s.words("out", 0, text)},
		Group:   m.group, Offsets: offsets{at: {At: offset}},
	}
}

// wantCommitted compares the group's offsets of topic in: "in/0:5meta".
func (m *member) wantCommitted(want string) {
	m.s.Helper()
	parts := []tp{m.s.tp("in", 0), m.s.tp("in", 1), m.s.tp("in", 2), m.s.tp("in", 3)}
	got, err := m.group.Committed(m.s.ctx, parts)
	m.s.ok(err)
	var show []string
	for i, tp := range parts {
		if o, ok := got[tp]; ok {
			show = append(show, fmt.Sprintf("in/%d:%d%s", i, o.At, o.Metadata))
		}
	}
	if s := strings.Join(show, " "); s != want {
		m.s.Fatalf("committed %q; want %q", s, want)
	}
}

// evenly is an assignor: all get the same number, and keep what they have as
// far as that allows.
type evenly struct{}

// Name implements runtime.Assignor.
func (evenly) Name() string { return "evenly" }

// UserData implements runtime.Assignor.
func (evenly) UserData() []byte { return []byte("data") }

// Assign implements runtime.Assignor.
func (evenly) Assign(members map[string]runtime.Member, partitions map[string]int32) (map[string][]tp, error) {
	for id, m := range members {
		if string(m.UserData) != "data" {
			return nil, fmt.Errorf("user data %q of %s", m.UserData, id)
		}
	}
	ids := sortedKeys(members)
	var free []tp
	for _, topic := range sortedKeys(partitions) {
		for p := range partitions[topic] {
			free = append(free, tp{Topic: topic, Partition: p})
		}
	}
	total := len(free)
	plan := make(map[string][]tp)
	give := func(i int, parts []tp) {
		quota := (total + len(ids) - 1 - i) / len(ids)
		for _, tp := range slices.Clone(parts) {
			if at := slices.Index(free, tp); at >= 0 && len(plan[ids[i]]) < quota {
				plan[ids[i]] = append(plan[ids[i]], tp)
				free = slices.Delete(free, at, at+1)
			}
		}
	}
	for i, id := range ids {
		give(i, members[id].Owned)
	}
	for i := range ids {
		give(i, free)
	}
	return plan, nil
}
