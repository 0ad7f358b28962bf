package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// Defaults of runtime.GroupConfig.
const (
	DefaultSession   = 45 * time.Second
	DefaultRebalance = 60 * time.Second
	DefaultHeartbeat = 3 * time.Second
)

// group is a membership. Its client reads no records: all topics are paused
// before it starts.
type group struct {
	t        *Transport
	cfg      runtime.GroupConfig
	listener runtime.Listener
	log      *slog.Logger
	cl       *kgo.Client

	// committed are the offsets of the group.
	committed gatherer[fetchedOffsets]
	// session counts assignments and losses.
	session atomic.Int64
	// brief is what came with the newest assignment, until the listener is told.
	brief atomic.Pointer[[]byte]
	// calls makes listener calls come one at a time; left is set under it.
	calls sync.Mutex
	left  atomic.Bool
	// expelled says that the group had put this member out before it noticed;
	// see joining.
	expelled atomic.Bool
	// second makes the group assign anew; see planned.
	second atomic.Pointer[time.Timer]
	// cancel ends the client's requests, whatever they wait for.
	cancel context.CancelFunc
	done   chan struct{}
}

var _ runtime.Group = (*group)(nil)

// Join implements runtime.Transport. ctx bounds only the call itself.
func (t *Transport) Join(ctx context.Context, cfg runtime.GroupConfig, l runtime.Listener) (runtime.Group, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg, err := groupDefaults(cfg)
	if err != nil {
		return nil, fmt.Errorf("kafka: join group: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &group{
		t: t, cfg: cfg, listener: l, cancel: cancel, done: make(chan struct{}),
		log: t.cfg.Logger.With("group", cfg.Group),
	}
	g.committed.ask = g.fetchOffsets
	if g.cl, err = t.client(append(g.options(), kgo.WithContext(ctx))...); err != nil {
		cancel()
		return nil, err
	}
	// The topics come after the pause, so that nothing is ever fetched here.
	g.cl.PauseFetchTopics(g.cfg.Topics...)
	g.cl.AddConsumeTopics(g.cfg.Topics...)
	go g.drain(ctx)
	if err := t.track(g); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func groupDefaults(cfg runtime.GroupConfig) (runtime.GroupConfig, error) {
	if cfg.Session == 0 {
		cfg.Session = DefaultSession
	}
	if cfg.Rebalance == 0 {
		cfg.Rebalance = DefaultRebalance
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = min(DefaultHeartbeat, cfg.Session/3)
	}
	if cfg.RevokeBudget == 0 {
		cfg.RevokeBudget = cfg.Rebalance / 2
	}
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
	if cfg.Heartbeat >= cfg.Session {
		errs = append(errs, fmt.Errorf("heartbeat %v must be shorter than the session timeout %v", cfg.Heartbeat, cfg.Session))
	}
	if cfg.RevokeBudget >= cfg.Rebalance {
		errs = append(errs, fmt.Errorf("revoke budget %v must be shorter than the rebalance timeout %v", cfg.RevokeBudget, cfg.Rebalance))
	}
	return cfg, errors.Join(errs...)
}

func (g *group) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(g.cfg.Group),
		kgo.Balancers(balancer{g.cfg.Assignor, func(brief []byte) { g.brief.Store(&brief) }, g.joining, g.planned}),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(g.cfg.Session),
		kgo.RebalanceTimeout(g.cfg.Rebalance),
		kgo.HeartbeatInterval(g.cfg.Heartbeat),
		kgo.OnPartitionsAssigned(g.assigned),
		kgo.OnPartitionsRevoked(g.revoked),
		kgo.OnPartitionsLost(g.lost),
		kgo.WithHooks(manageErrors{g}),
	}
	if g.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(g.cfg.InstanceID))
	}
	return opts
}

// manageErrors logs what makes franz-go start a session of the group anew.
type manageErrors struct{ g *group }

// OnGroupManageError implements kgo.HookGroupManageError.
func (m manageErrors) OnGroupManageError(err error) {
	if !m.g.left.Load() && !contextEnded(err) {
		m.g.log.Warn("group membership failed; joining again", "error", err)
	}
}

// drain takes what franz-go reports through polls: nothing but errors, as all
// is paused. Untaken they would pile up.
func (g *group) drain(ctx context.Context) {
	defer close(g.done)
	for ctx.Err() == nil {
		fetches := g.cl.PollFetches(ctx)
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			if !contextEnded(err) {
				g.log.Debug("group client reports", "topic", topic, "partition", partition, "error", err)
			}
		})
	}
}

// call runs one call of the listener, unless the group was left.
func (g *group) call(fn func()) {
	g.calls.Lock()
	defer g.calls.Unlock()
	if !g.left.Load() {
		fn()
	}
}

func (g *group) assigned(_ context.Context, _ *kgo.Client, m map[string][]int32) {
	g.call(func() {
		brief := g.brief.Swap(nil)
		if l, ok := g.listener.(runtime.BriefedListener); ok && brief != nil {
			l.Briefed(*brief)
		}
		g.listener.Assigned(g.session.Add(1), flatten(m))
	})
}

func (g *group) revoked(ctx context.Context, _ *kgo.Client, m map[string][]int32) {
	if len(m) == 0 {
		return
	}
	g.call(func() {
		ctx, cancel := context.WithTimeout(ctx, g.cfg.RevokeBudget)
		defer cancel()
		g.listener.Revoked(ctx, flatten(m))
	})
}

func (g *group) lost(_ context.Context, _ *kgo.Client, m map[string][]int32) {
	if len(m) == 0 {
		return
	}
	g.call(func() {
		g.session.Add(1)
		g.listener.Lost(flatten(m))
	})
}

// joining is called before each request to join, with what franz-go takes for
// owned; it returns what may be told to the group.
//
// It works round franz-go, which answers UNKNOWN_MEMBER_ID of a JoinGroup by
// joining as a new member and keeps what it owned, without OnPartitionsLost.
// The group had put the member out, because it came too late to a rebalance,
// and the partitions had another owner meanwhile. What looks like a revocation
// later, under a membership that the broker accepts, would commit work that the
// other owner did as well. (The Java client loses its partitions here.)
func (g *group) joining(owned map[string][]int32) map[string][]int32 {
	g.planned(false)
	if id, _ := g.cl.GroupMetadata(); id != "" || len(owned) == 0 {
		if g.expelled.Load() {
			return nil
		}
		return owned
	}
	if g.expelled.Swap(true) {
		return nil
	}
	g.lost(context.Background(), g.cl, owned)
	g.call(func() {
		if l, ok := g.listener.(runtime.ExpelledListener); ok {
			l.Expelled(errExpelled)
		}
	})
	return nil
}

// errExpelled is why an expelled member commits nothing.
var errExpelled = fmt.Errorf("%w: the group had put this member out before it came to join again", runtime.ErrFenced)

// flatten lists partitions in order.
func flatten(m map[string][]int32) []record.TopicPartition {
	var parts []record.TopicPartition
	for _, topic := range slices.Sorted(maps.Keys(m)) {
		for _, p := range slices.Sorted(slices.Values(m[topic])) {
			parts = append(parts, record.TopicPartition{Topic: topic, Partition: p})
		}
	}
	return parts
}

// planned sees to it that a plan which keeps partitions back is followed by
// another. Members that have to give partitions up join again once they did,
// and that makes the group assign what was kept back. A member that lost
// partitions after it had said that it owns them has nothing to give up, and
// does not join again: nobody would own them until somebody came or went. So
// the leader asks for the second rebalance when it has not begun by the time
// at which everybody must have given up what they had.
func (g *group) planned(withheld bool) {
	var t *time.Timer
	if withheld {
		t = time.AfterFunc(g.cfg.RevokeBudget+3*g.cfg.Heartbeat, func() {
			if !g.left.Load() {
				g.log.Warn("partitions were kept back for members that do not give them up; assigning anew")
				g.Rejoin()
			}
		})
	}
	if old := g.second.Swap(t); old != nil {
		old.Stop()
	}
}

// Member implements runtime.Group. Between sessions it returns an empty ID.
func (g *group) Member() (string, int32) { return g.cl.GroupMetadata() }

// Rejoin makes the member join again with fresh user data, which makes the
// leader assign anew (KIP-568). It returns at once.
func (g *group) Rejoin() { g.cl.ForceRebalance() }

// Leave implements runtime.Group. It must not be called from the listener. A
// static member (InstanceID) stays known to the broker until its session
// times out, as KIP-345 has it.
func (g *group) Leave(ctx context.Context) error {
	g.left.Store(true)
	err := g.leave(ctx)
	g.planned(false)
	g.cancel()
	g.cl.Close()
	<-g.done
	g.t.forget(g)
	if err != nil {
		return fmt.Errorf("kafka: leave group %s: %w", g.cfg.Group, err)
	}
	return nil
}

// leave lets franz-go leave for half of the time. While a rebalance is under
// way franz-go waits for its end first, up to the rebalance timeout, and so
// would closing the client; then its requests are cut off and the broker is
// told from here.
func (g *group) leave(ctx context.Context) error {
	id, _ := g.cl.GroupMetadata()
	half, cancel := halfOf(ctx)
	err := g.cl.LeaveGroupContext(half)
	cancel()
	if err == nil || ctx.Err() != nil || id == "" || g.cfg.InstanceID != "" {
		return err
	}
	g.cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = g.cfg.Group, id
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID = id
	req.Members = append(req.Members, member)
	resp, err := req.RequestWith(ctx, g.t.admin)
	if err != nil {
		return err
	}
	for _, m := range resp.Members {
		if err := kerr.ErrorForCode(m.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownMemberID) {
			return err
		}
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// halfOf bounds a context to half of the time that it has left.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// Close leaves in a hurry.
func (g *group) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), g.t.cfg.RequestTimeout)
	defer cancel()
	_ = g.Leave(ctx)
}
