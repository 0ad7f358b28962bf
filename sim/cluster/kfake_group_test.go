package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/sim/simnet"
)

// TestKfakeGroups shows why kfake.go minds members of groups. Once a case fails, kfake does
// as Kafka does there, and what works round it can go.
func TestKfakeGroups(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*kfakeGroup){
		"one who gave up while joining stays for good":           abandonedJoin,
		"one who leaves in SyncGroup is counted as one joined":   leaveInSync,
		"one who waits in JoinGroup is put out with its session": waitInJoin,
		"without its leader, each member is told that it leads":  allLead,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f(newKfakeGroup(t)) })
		})
	}
}

func abandonedJoin(g *kfakeGroup) {
	a := g.member("a")
	g.sync(a, a, g.join(a).Generation)
	// Whether kfake tries to answer a connection that is gone is left to
	// chance: one that it does try gets a session.
	for range 30 {
		b := g.member("b")
		ctx, cancel := context.WithCancel(g.t.Context())
		gone := g.joining(ctx, b)
		synctest.Wait()
		cancel()
		<-gone
		b.cl.Close()
		synctest.Wait()
		g.sync(a, a, g.join(a).Generation)
		stays := true
		for i := 0; i < 4 && stays; i++ {
			g.heartbeat(a)
			sleep(session / 2)
			stays = g.fake.GroupInfo("g").State == "Stable"
		}
		if stays {
			return
		}
		g.heartbeat(a)
		g.sync(a, a, g.join(a).Generation)
	}
	g.t.Error("who gave up is always put out")
}

func leaveInSync(g *kfakeGroup) {
	a, b, gen := g.pair()
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		g.sync(b, a, gen)
	}()
	synctest.Wait()
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = "g", []kmsg.LeaveGroupRequestMember{{MemberID: b.id}}
	g.ask(g.t.Context(), g.member("c"), leave)
	began := time.Now()
	g.join(a)
	if took := time.Since(began); took < rebalance {
		g.t.Errorf("the only member waited for %v, not for the whole rebalance timeout: it is counted right now", took)
	}
	b.cl.Close()
	<-synced
}

// pair makes two members, of which the first leads, that have joined and are to
// sync.
func (g *kfakeGroup) pair() (a, b *kfakeMember, generation int32) {
	a = g.member("a")
	g.sync(a, a, g.join(a).Generation)
	b = g.member("b")
	joined := g.joining(g.t.Context(), b)
	synctest.Wait()
	generation = g.join(a).Generation
	<-joined
	return a, b, generation
}

func waitInJoin(g *kfakeGroup) {
	a, b, gen := g.pair()
	g.sync(a, a, gen)
	g.sync(b, a, gen)
	sleep(session - time.Second)
	g.heartbeat(b)
	again := g.joining(g.t.Context(), a) // waits for b, for longer than its session
	sleep(time.Minute)
	select {
	case r := <-again:
		g.t.Errorf("it was answered: %+v", r)
	default:
	}
}

func allLead(g *kfakeGroup) {
	a, b, c := g.member("a"), g.member("b"), g.member("c")
	g.join(a)
	ctx := g.t.Context()
	bs, cs := g.joining(ctx, b), g.joining(ctx, c)
	// The leader does not join again, and is put out.
	rb, rc := <-bs, <-cs
	if rb == nil || rc == nil || rb.Generation != rc.Generation {
		g.t.Fatalf("%+v, %+v", rb, rc)
	}
	if rb.LeaderID == rc.LeaderID {
		g.t.Errorf("both are told that %s leads, as it should be", rb.LeaderID)
	}
}

// A kfakeGroup is kfake with a group that requests are sent to by hand, on a
// network without sockets, in a bubble.
type kfakeGroup struct {
	t    *testing.T
	net  *simnet.Network
	fake *kfake.Cluster
}

type kfakeMember struct {
	cl *kgo.Client
	id string
}

func newKfakeGroup(t *testing.T) *kfakeGroup {
	t.Helper()
	g := &kfakeGroup{t: t, net: simnet.New(simnet.Config{})}
	var err error
	g.fake, err = kfake.NewCluster(kfake.Ports(9092), kfake.ListenFn(g.net.Listen), kfake.GroupMinSessionTimeout(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.fake.Close)
	return g
}

// member makes a client, which has an ID once it asked to join.
func (g *kfakeGroup) member(host string) *kfakeMember {
	g.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(g.net.Dialer(host)), kgo.DisableClientMetrics(), kgo.RequestTimeoutOverhead(10*time.Minute))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(cl.Close)
	m := &kfakeMember{cl: cl}
	if r, ok := g.ask(g.t.Context(), m, g.request(m)).(*kmsg.JoinGroupResponse); ok {
		m.id = r.MemberID
	}
	return m
}

func (g *kfakeGroup) request(m *kfakeMember) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.ProtocolType = "g", m.id, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(session.Milliseconds()), int32(rebalance.Milliseconds())
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "p"}}
	return r
}

// ask sends a request; nil when it is given up.
func (g *kfakeGroup) ask(ctx context.Context, m *kfakeMember, r kmsg.Request) kmsg.Response {
	resp, err := m.cl.Request(ctx, r)
	if err != nil {
		return nil
	}
	return resp
}

func (g *kfakeGroup) join(m *kfakeMember) *kmsg.JoinGroupResponse {
	g.t.Helper()
	r := <-g.joining(g.t.Context(), m)
	if r == nil || r.ErrorCode != 0 {
		g.t.Fatalf("join: %+v", r)
	}
	return r
}

func (g *kfakeGroup) joining(ctx context.Context, m *kfakeMember) <-chan *kmsg.JoinGroupResponse {
	out := make(chan *kmsg.JoinGroupResponse, 1)
	go func() {
		r, _ := g.ask(ctx, m, g.request(m)).(*kmsg.JoinGroupResponse)
		out <- r
	}()
	return out
}

// sync sends SyncGroup; as the leader, it assigns nothing to anybody.
func (g *kfakeGroup) sync(m, leader *kfakeMember, generation int32) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Group, r.MemberID, r.Generation = "g", m.id, generation
	if m == leader {
		r.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: m.id}}
	}
	g.ask(g.t.Context(), m, r)
}

func (g *kfakeGroup) heartbeat(m *kfakeMember) {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.Generation = "g", m.id, g.fake.GroupInfo("g").Epoch
	g.ask(g.t.Context(), m, r)
}
