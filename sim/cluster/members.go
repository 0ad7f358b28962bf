package cluster

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// This file works round what kfake's groups do differently from Kafka's;
// TestKfakeGroups shows each.

// watchMembers notes who is heard of, and lets nobody leave the group, or take
// another one's place, while the group waits in SyncGroup: kfake counts who
// leaves then as somebody who had joined, and waits for one member too many in
// the next rebalance, which each further JoinGroup puts off.
func (w *world) watchMembers() {
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup} {
		w.fake.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.fake.KeepControl()
			switch r := r.(type) {
			case *kmsg.HeartbeatRequest:
				w.heard.Store(r.MemberID, time.Now())
			case *kmsg.SyncGroupRequest:
				w.heard.Store(r.MemberID, time.Now())
			case *kmsg.JoinGroupRequest:
				w.heard.Store(r.MemberID, time.Now())
				if r.InstanceID != nil && r.MemberID == "" {
					w.fake.SleepControl(w.synced)
				}
			case *kmsg.LeaveGroupRequest:
				w.fake.SleepControl(w.synced)
			}
			return nil, nil, false
		})
	}
}

// synced waits until the group does not wait in SyncGroup.
func (w *world) synced() {
	for {
		if g := w.fake.GroupInfo(w.top.App); g == nil || g.State != "CompletingRebalance" {
			return
		}
		sleep(10 * time.Millisecond)
	}
}

// expel removes members that are not heard of any more, until ended: in kfake,
// one whose JoinGroup could not be answered, because its client gave up or
// crashed, has no session, stays in the group for good, and keeps what it is
// assigned. Kafka removes it when the session ends that begins with the answer.
func (w *world) expel(ended <-chan struct{}) {
	look := time.NewTicker(heartbeat)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return
		case <-look.C:
		}
		g := w.fake.GroupInfo(w.top.App)
		if g == nil {
			continue
		}
		for _, m := range g.Members {
			// A static member is told its ID when the rebalance ends.
			at, _ := w.heard.LoadOrStore(m.MemberID, time.Now())
			if at, ok := at.(time.Time); ok && time.Since(at) > session+rebalance {
				w.trace.add("expel %s %s", m.ClientID, m.MemberID)
				w.leave(m)
			}
		}
	}
}

// leave takes a member out of the group.
func (w *world) leave(m kfake.GroupMember) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = w.top.App
	req.MemberID = m.MemberID // up to version 2
	req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: m.MemberID, InstanceID: m.InstanceID})
	ctx, cancel := context.WithTimeout(context.Background(), reqTimeout)
	defer cancel()
	// A refusal is met again at the next look.
	if _, err := req.RequestWith(ctx, w.producer); err != nil {
		w.trace.add("expel: %v", err)
	}
}
