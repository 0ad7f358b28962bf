package devbroker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// An attendant is the workaround, all of it, for what kfake's classic groups do
// to members that wait for the answer to a JoinGroup or a SyncGroup:
//
//   - The session of a member that waits runs on. When it ends the member is
//     removed, and its request is never answered.
//   - When that request is a SyncGroup, the count of members that have joined
//     goes below zero, and every rebalance lasts until the rebalance timeout.
//   - A new member has no session before its JoinGroup is answered. When its
//     connection is gone by then it stays in the group for good.
//
// Kafka keeps a member that waits for as long as the rebalance may take, and
// removes one whose connection is gone when its session ends. So the attendant
// watches the connections: while a request waits it sends heartbeats in the
// member's name, and for a member whose connection ended while its JoinGroup
// waited it leaves the group when the session is over.
type attendant struct {
	log *slog.Logger

	mu      sync.Mutex
	cl      *kgo.Client
	members map[member]*membership
}

// A member of a group.
type member struct{ group, id string }

// A membership is what is known of a member.
type membership struct {
	session    time.Duration
	generation int32 // 0 until it is known
	turn       int   // counts its requests and answers; timers of older turns do nothing
	timer      *time.Timer
}

func newAttendant(log *slog.Logger) *attendant {
	return &attendant{log: log, members: make(map[member]*membership)}
}

// attend begins once the broker can be reached.
func (a *attendant) attend(opts ...kgo.Opt) error {
	cl, err := kgo.NewClient(append(opts, kgo.ClientID("weir-dev-attendant"), kgo.RequestRetries(2))...)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cl = cl
	return nil
}

// close ends it; connections may go on.
func (a *attendant) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ms := range a.members {
		ms.next()
	}
	if a.cl != nil {
		a.cl.Close()
		a.cl = nil
	}
}

// next begins a turn.
func (ms *membership) next() int {
	ms.turn++
	if ms.timer != nil {
		ms.timer.Stop()
	}
	return ms.turn
}

// joins is called when a JoinGroup of a known member arrives.
func (a *attendant) joins(m member, session time.Duration) (turn int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ms := a.members[m]
	if ms == nil {
		ms = &membership{}
		a.members[m] = ms
	}
	ms.session = session
	return a.wait(m, ms)
}

// syncs is called when a SyncGroup arrives.
func (a *attendant) syncs(m member, generation int32) (turn int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ms := a.members[m]
	if ms == nil { // of before a restart of the broker
		return 0
	}
	ms.generation = generation
	return a.wait(m, ms)
}

// wait keeps a member alive from now on.
func (a *attendant) wait(m member, ms *membership) (turn int) {
	turn = ms.next()
	// Heartbeats three times a session, as clients do by default.
	ms.timer = time.AfterFunc(ms.session/3, func() { a.beat(m, turn) })
	return turn
}

// answered is called when the answer to a request is on its way.
func (a *attendant) answered(m member, turn int, generation int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ms := a.members[m]
	if ms == nil {
		return
	}
	if generation > 0 {
		ms.generation = generation
	}
	if ms.turn == turn {
		ms.next()
	}
}

// lost is called when the connection ends on which a request waits.
func (a *attendant) lost(m member, turn int, joining bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ms := a.members[m]
	if ms == nil || ms.turn != turn {
		return // it has asked again on another connection
	}
	turn = ms.next()
	if joining {
		ms.timer = time.AfterFunc(ms.session, func() { a.leave(m, turn) })
	}
}

// beat sends a heartbeat for a member that waits. One that is new needs none,
// nor has it a generation.
func (a *attendant) beat(m member, turn int) {
	a.mu.Lock()
	ms, cl := a.members[m], a.cl
	if ms == nil || ms.turn != turn {
		a.mu.Unlock()
		return
	}
	ms.timer = time.AfterFunc(ms.session/3, func() { a.beat(m, turn) })
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.id, ms.generation
	limit := ms.session
	a.mu.Unlock()
	if cl == nil || req.Generation == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := req.RequestWith(ctx, cl); err != nil {
		a.log.Debug("heartbeat for a member that waits", "group", m.group, "member", m.id, "error", err)
	}
}

// leave takes a member out of its group.
func (a *attendant) leave(m member, turn int) {
	a.mu.Lock()
	ms, cl := a.members[m], a.cl
	if ms == nil || ms.turn != turn || cl == nil {
		a.mu.Unlock()
		return
	}
	delete(a.members, m)
	limit := ms.session
	a.mu.Unlock()
	a.log.Info("member is gone", "group", m.group, "member", m.id)
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.id
	rm := kmsg.NewLeaveGroupRequestMember()
	rm.MemberID = m.id
	req.Members = append(req.Members, rm)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := req.RequestWith(ctx, cl); err != nil {
		a.log.Warn("a member that is gone cannot leave", "group", m.group, "member", m.id, "error", err)
	}
}
