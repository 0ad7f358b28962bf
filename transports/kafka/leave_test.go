package kafka

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/runtime"
)

// A member that leaves while it waits for a rebalance must not wait for its
// end, and must still be gone from the group.
func TestLeaveWhileJoining(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 2})
	l := newListener()
	g := w.joinWith(w.Transport, l, runtime.GroupConfig{
		Group: "g", Topics: []string{"in"}, Assignor: roundRobin{"member"},
		Session: 30 * time.Second, Rebalance: 30 * time.Second, Heartbeat: 50 * time.Millisecond,
	})
	l.wait(w, "assignment", func() bool { return len(l.owned) == 2 })

	over := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(over) }))
	stuck := make(chan struct{}, 100)
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		stuck <- struct{}{}
		w.cluster.SleepControl(func() { <-over })
		return nil, nil, false
	})
	g.Rejoin()
	<-stuck
	ctx, cancel := context.WithTimeout(w.ctx, 4*time.Second)
	defer cancel()
	if err := g.Leave(ctx); err != nil {
		t.Errorf("leaving: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("leaving took longer than it was given")
	}
	members, err := w.GroupMembers(w.ctx, "g")
	if err != nil || len(members) != 0 {
		t.Errorf("members after leaving are %v, %v", members, err)
	}
}
