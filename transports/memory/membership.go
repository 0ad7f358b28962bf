package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// Defaults of runtime.GroupConfig. Nothing here loses its session by time, so
// there are none for session and heartbeat.
const defaultRebalance = 60 * time.Second

// A membership is a runtime.Group: a goroutine that does what the coordinator
// asks of it and calls the listener.
type membership struct {
	t        *Transport
	cfg      runtime.GroupConfig
	listener runtime.Listener
	ctx      context.Context // ends with the membership
	cancel   context.CancelFunc
	done     chan struct{}
	session  int64 // of the goroutine

	mu sync.Mutex
	m  *member // replaced when it joins anew
}

var _ runtime.Group = (*membership)(nil)

// Join implements runtime.Transport.
func (t *Transport) Join(ctx context.Context, cfg runtime.GroupConfig, l runtime.Listener) (runtime.Group, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	if cfg.Rebalance == 0 {
		cfg.Rebalance = defaultRebalance
	}
	if cfg.RevokeBudget == 0 {
		cfg.RevokeBudget = cfg.Rebalance / 2
	}
	if err := checkGroup(cfg); err != nil {
		return nil, fmt.Errorf("memory: join group: %w", err)
	}
	g := &membership{t: t, cfg: cfg, listener: l, done: make(chan struct{})}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	if err := t.track(g); err != nil {
		g.cancel()
		return nil, err
	}
	g.m = t.broker.join(cfg)
	go g.run() //nolint:contextcheck // a membership outlives the call that began it
	return g, nil
}

func checkGroup(cfg runtime.GroupConfig) error {
	var errs []error
	if cfg.Group == "" {
		errs = append(errs, errors.New("no group name"))
	}
	if len(cfg.Topics) == 0 {
		errs = append(errs, errors.New("no topics"))
	}
	if cfg.Assignor == nil {
		errs = append(errs, errors.New("no assignor"))
	}
	if cfg.RevokeBudget >= cfg.Rebalance {
		errs = append(errs, fmt.Errorf("revoke budget %v must be shorter than the rebalance timeout %v", cfg.RevokeBudget, cfg.Rebalance))
	}
	return errors.Join(errs...)
}

func (g *membership) member() *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.m
}

// run does one duty after the other until the membership is over.
func (g *membership) run() {
	defer close(g.done)
	for {
		m := g.member()
		d, parts, changed, joined := g.t.broker.next(m)
		if g.ctx.Err() != nil {
			return
		}
		switch d {
		case wait:
			g.wait(m, changed, joined)
		case stop:
			return
		case lose:
			if !g.lose(m, parts) {
				return
			}
		case revoke:
			g.revoke(parts)
			g.t.broker.gaveBack(m)
		case hear:
			if l, ok := g.listener.(runtime.BriefedListener); ok {
				l.Briefed(g.t.broker.heard(m))
			} else {
				g.t.broker.heard(m)
			}
		case assign:
			g.session++
			g.listener.Assigned(g.session, parts)
			g.t.broker.took(m)
		case join:
			g.t.broker.enter(m, g.cfg.Assignor.UserData())
		case lead:
			g.lead(m)
		}
	}
}

// wait waits for a change. Who has joined waits for the others only as long
// as the rebalance timeout.
func (g *membership) wait(m *member, changed <-chan struct{}, joined bool) {
	if !joined {
		<-changed
		return
	}
	late := time.NewTimer(g.cfg.Rebalance)
	defer late.Stop()
	select {
	case <-changed:
	case <-late.C:
		g.t.broker.expelLate(m.g)
	}
}

// lose tells the listener and joins anew, unless a newer member has taken the
// place.
func (g *membership) lose(m *member, parts []record.TopicPartition) bool {
	g.session++
	if len(parts) > 0 {
		g.listener.Lost(parts)
	}
	b := g.t.broker
	b.mu.Lock()
	fate := m.fate
	b.mu.Unlock()
	if fate != expelled {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return false
	}
	g.m = b.join(g.cfg)
	return true
}

func (g *membership) revoke(parts []record.TopicPartition) {
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.RevokeBudget)
	defer cancel()
	g.listener.Revoked(ctx, parts)
}

// lead decides for the group. An assignor that fails leaves all as it is
// until the group changes again.
func (g *membership) lead(m *member) {
	e, ok := g.t.broker.elect(m.g)
	if !ok {
		return
	}
	var briefs map[string][]byte
	var plan map[string][]record.TopicPartition
	var err error
	if a, ok := g.cfg.Assignor.(runtime.Briefer); ok {
		plan, briefs, err = a.Brief(e.members, e.partitions)
	} else {
		plan, err = g.cfg.Assignor.Assign(e.members, e.partitions)
	}
	if err == nil {
		err = e.check(plan)
	}
	if err != nil {
		g.t.log.Error("assignment failed; the group stays as it is until its members or topics change", "group", g.cfg.Group, "error", err)
		plan = nil
	} else if plan == nil {
		plan = map[string][]record.TopicPartition{}
	}
	g.t.broker.decide(m.g, e.round, plan, briefs)
}

// Member implements runtime.Group. It is empty before the first generation
// and from the loss of a membership to the next.
func (g *membership) Member() (id string, generation int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.t.broker.mu.Lock()
	defer g.t.broker.mu.Unlock()
	if g.m.generation < 0 {
		return "", -1
	}
	return g.m.id, g.m.generation
}

// Committed implements runtime.Group.
func (g *membership) Committed(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]runtime.Offset, error) {
	if len(parts) == 0 {
		return map[record.TopicPartition]runtime.Offset{}, nil
	}
	b := g.t.broker
	for {
		if err := g.t.usable(ctx); err != nil {
			return nil, fmt.Errorf("memory: committed offsets of group %s: %w", g.cfg.Group, err)
		}
		b.mu.Lock()
		offsets, pending := b.committed(g.cfg.Group, parts)
		changed := b.wait()
		b.mu.Unlock()
		if !pending {
			return offsets, nil
		}
		g.t.await(ctx, changed)
	}
}

// Commit implements runtime.Group. A commit of a member that the group has
// put out fails with runtime.ErrFenced.
func (g *membership) Commit(ctx context.Context, c runtime.Claim, offsets map[record.TopicPartition]runtime.Offset) error {
	err := g.underClaim(ctx, c, func(m Membership) error {
		return g.t.broker.Commit(g.cfg.Group, m, offsets)
	})
	if err != nil {
		return fmt.Errorf("memory: commit offsets of group %s: %w", g.cfg.Group, err)
	}
	return nil
}

// A claimError is what a claim returned, told apart from what the broker
// answers.
type claimError struct{ err error }

func (e *claimError) Error() string { return "claim: " + e.err.Error() }
func (e *claimError) Unwrap() error { return e.err }

// underClaim sends a commit of offsets: it reads the membership, checks the
// claim, and only then sends. When the broker finds the generation old it
// starts again, claim included: as long as the claim holds, the partitions
// are still ours in the new generation.
func (g *membership) underClaim(ctx context.Context, c runtime.Claim, send func(Membership) error) error {
	b := g.t.broker
	for {
		if err := g.t.usable(ctx); err != nil {
			return err
		}
		b.mu.Lock()
		changed := b.wait()
		b.mu.Unlock()
		id, generation := g.Member()
		if c != nil {
			if err := c(); err != nil {
				return &claimError{err}
			}
		}
		if g.ctx.Err() != nil {
			return fmt.Errorf("%w: %w: the group was left", runtime.ErrFenced, ErrUnknownMember)
		}
		if id != "" {
			err := send(Membership{id, generation})
			switch {
			case errors.Is(err, ErrUnknownMember):
				return fmt.Errorf("%w: %w", runtime.ErrFenced, err)
			case !errors.Is(err, ErrIllegalGeneration):
				return err
			}
		}
		// Between memberships, or the generation has moved on: look again
		// when something has changed since the membership was read.
		g.t.await(ctx, changed)
	}
}

// Leave implements runtime.Group. It waits for a call of the listener that is
// under way, whose context ends; so it must not be called from there.
func (g *membership) Leave(ctx context.Context) error {
	g.mu.Lock()
	g.cancel()
	g.t.broker.leave(g.m)
	g.mu.Unlock()
	g.t.forget(g)
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("memory: leave group %s: a call of the listener goes on: %w", g.cfg.Group, ctx.Err())
	}
}

func (b *Broker) leave(m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(m, left)
}

func (g *membership) close() {
	g.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.t.broker.leave(g.m)
}
