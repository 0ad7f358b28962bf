package devbroker

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	session   = 6 * time.Second
	rebalance = time.Minute
)

// A party is a group whose members are connections of this test, in virtual
// time. A process that is killed is a connection that ends.
type party struct {
	t      *testing.T
	nw     *kfake.VirtualNetwork
	b      *Broker
	fatalf func(format string, args ...any)
}

// gather runs a test on a broker with the attendant, or on plain kfake.
func gather(t *testing.T, attended bool, test func(t *testing.T, p *party)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nw := new(kfake.VirtualNetwork)
		b, err := start(Config{Port: 9092}, nw.Listen, kgo.Dialer(nw.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if !attended {
			b.attendant.close()
		}
		test(t, &party{t, nw, b, t.Fatalf})
	})
}

// A guest is a member.
type guest struct {
	p          *party
	conn       net.Conn
	id         string
	generation int32
	leader     bool
	sent       int32
}

// comes connects a member that has its ID.
func (p *party) comes() *guest {
	conn, err := p.nw.DialContext(p.t.Context(), "tcp", p.b.Addr())
	if err != nil {
		p.fatalf("%v", err)
	}
	g := &guest{p: p, conn: conn}
	g.ask(g.join())
	g.joined(nil)
	return g
}

func (g *guest) join() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = 9
	req.Group, req.MemberID, req.ProtocolType = "group", g.id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(session.Milliseconds()), int32(rebalance.Milliseconds())
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name = "cooperative"
	req.Protocols = append(req.Protocols, p)
	return req
}

func (g *guest) sync() *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = 5
	req.Group, req.MemberID, req.Generation = "group", g.id, g.generation
	return req
}

// ask sends a request.
func (g *guest) ask(req kmsg.Request) {
	g.sent++
	if _, err := g.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, g.sent)); err != nil {
		g.p.fatalf("%v", err)
	}
	synctest.Wait()
}

// hears reads the answer to the last request, and how long it took. It fails
// when there is none for longer than a rebalance may take.
func (g *guest) hears(resp kmsg.Response) (time.Duration, error) {
	began := time.Now()
	_ = g.conn.SetReadDeadline(began.Add(2 * rebalance))
	size := make([]byte, 4)
	if _, err := io.ReadFull(g.conn, size); err != nil {
		return time.Since(began), err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(g.conn, frame); err != nil {
		return time.Since(began), err
	}
	r := kbin.Reader{Src: frame[4:]}
	kmsg.SkipTags(&r)
	return time.Since(began), resp.ReadFrom(r.Src)
}

// joined reads the answer to JoinGroup. A member without ID gets one only.
func (g *guest) joined(want error) time.Duration {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Version = 9
	took, err := g.hears(resp)
	if g.id == "" {
		want = kerr.MemberIDRequired
	}
	if got := kerr.ErrorForCode(resp.ErrorCode); err != nil || !errors.Is(got, want) {
		g.p.fatalf("JoinGroup after %v: %v, %v; want %v", took, got, err, want)
	}
	g.id, g.generation, g.leader = resp.MemberID, resp.Generation, resp.LeaderID == resp.MemberID
	return took
}

// synced reads the answer to SyncGroup.
func (g *guest) synced(want error) time.Duration {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.Version = 5
	took, err := g.hears(resp)
	if got := kerr.ErrorForCode(resp.ErrorCode); err != nil || !errors.Is(got, want) {
		g.p.fatalf("SyncGroup after %v: %v, %v; want %v", took, got, err, want)
	}
	return took
}

// together are two members of a group that is stable.
func (p *party) together() (leader, follower *guest) {
	a, b := p.comes(), p.comes()
	a.ask(a.join())
	a.joined(nil)
	b.ask(b.join()) // waits for a, which joins again
	a.ask(a.join())
	for _, g := range []*guest{a, b} {
		g.joined(nil)
	}
	if b.leader {
		a, b = b, a
	}
	b.ask(b.sync())
	a.ask(a.sync())
	a.synced(nil)
	b.synced(nil)
	return a, b
}

// kill ends the connection.
func (g *guest) kill() { g.conn.Close(); synctest.Wait() }

func (g *guest) beat() error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.Generation = "group", g.id, g.generation
	g.ask(req)
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version = 4
	if _, err := g.hears(resp); err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// after lets time pass.
func after(d time.Duration) { <-time.After(d) }

// scenes are what went wrong. Each returns how long the survivor waited.
var scenes = map[string]func(p *party) time.Duration{
	// The follower's last heartbeat is older than that of the leader, which
	// is killed, so that its own session ends first.
	"waiting in JoinGroup": func(p *party) time.Duration {
		leader, follower := p.together()
		after(time.Second)
		if err := leader.beat(); err != nil {
			p.fatalf("%v", err)
		}
		leader.kill()
		third := p.comes()
		third.ask(third.join())
		follower.ask(follower.join())
		return follower.joined(nil)
	},
	// The leader is killed between the two requests of a rebalance. The other
	// two wait in SyncGroup and then form a group without it.
	"waiting in SyncGroup": func(p *party) time.Duration {
		leader, follower := p.together()
		third := p.comes()
		third.ask(third.join())
		leader.ask(leader.join())
		follower.ask(follower.join())
		for _, g := range []*guest{leader, follower, third} {
			g.joined(nil)
		}
		began := time.Now()
		for _, g := range []*guest{follower, third} {
			g.ask(g.sync())
		}
		leader.kill()
		follower.synced(kerr.RebalanceInProgress)
		third.synced(kerr.RebalanceInProgress)
		follower.ask(follower.join())
		third.ask(third.join())
		follower.joined(nil)
		third.joined(nil)
		return time.Since(began)
	},
	// A new member is killed while it joins. The group is rid of it when its
	// session is over: the heartbeats of the others say so.
	"killed while it joins": func(p *party) time.Duration {
		leader, follower := p.together()
		third := p.comes()
		third.ask(third.join())
		third.kill()
		leader.ask(leader.join())
		follower.ask(follower.join())
		leader.joined(nil)
		follower.joined(nil)
		follower.ask(follower.sync())
		leader.ask(leader.sync())
		leader.synced(nil)
		follower.synced(nil)
		began := time.Now()
		for leader.beat() == nil && follower.beat() == nil && time.Since(began) < rebalance {
			after(time.Second)
		}
		return time.Since(began)
	},
}

func TestMembersThatWait(t *testing.T) {
	t.Parallel()
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gather(t, true, func(t *testing.T, p *party) {
				// Kafka takes as long as the session of who was killed.
				if took := scene(p); took > session+2*time.Second {
					t.Errorf("it took %v, which is longer than a session, %v", took, session)
				}
			})
		})
	}
}

// TestKfakeForgetsMembersThatWait is why there is an attendant. When it fails
// after an update, kfake has learned it: remove the attendant.
func TestKfakeForgetsMembersThatWait(t *testing.T) {
	t.Parallel()
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Whether kfake believes that it has answered a connection which
			// is gone, is a matter of chance.
			longest := time.Duration(0)
			for i := 0; i < 30 && longest < rebalance; i++ {
				gather(t, false, func(_ *testing.T, p *party) { longest = max(longest, p.stuck(scene)) })
			}
			if longest < rebalance {
				t.Errorf("it took %v, not until the rebalance timeout of %v", longest, rebalance)
			}
		})
	}
}

// stuck returns how long a scene took; one that fails was never over.
func (p *party) stuck(scene func(p *party) time.Duration) (took time.Duration) {
	failure := errors.New("failed")
	p.fatalf = func(format string, args ...any) { p.t.Logf(format, args...); panic(failure) }
	defer func() {
		if r := recover(); r == failure { //nolint:errorlint // the very same
			took = 2 * rebalance
		} else if r != nil {
			panic(r)
		}
	}()
	return scene(p)
}
