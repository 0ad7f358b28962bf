package kafka

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// lane is a member with a producer, in a world with topics in and out.
type lane struct {
	*world
	p runtime.Producer
	g *group
}

func newLane(t *testing.T, id string, opts ...kfake.Opt) *lane {
	t.Helper()
	w := newWorld(t, map[string]int32{"in": 1, "out": 2}, opts...)
	l := newListener()
	g := w.join(w.Transport, l, "app", "in")
	l.wait(w, "assignment", func() bool { return len(l.owned) == 1 })
	return &lane{w, w.producer(id), g}
}

func (l *lane) commit(at int64, claim runtime.Claim, values ...string) runtime.Result {
	l.t.Helper()
	return l.p.Commit(l.ctx, l.round(at, claim, values...))
}

func (l *lane) round(at int64, claim runtime.Claim, values ...string) runtime.Commit {
	c := runtime.Commit{Group: l.g, Offsets: map[record.TopicPartition]runtime.Offset{tp("in", 0): {At: at}}, Claim: claim}
	if len(values) > 0 {
		c.Records = [][]record.Record{records(tp("out", 0), values...), records(tp("out", 1), values...)}
	}
	return c
}

func (l *lane) is(res runtime.Result, want runtime.Outcome) {
	l.t.Helper()
	if res.Outcome != want || (res.Err == nil) != (want == runtime.Committed) || want == runtime.Fenced && !errors.Is(res.Err, runtime.ErrFenced) {
		l.t.Fatalf("outcome %v, %v, want %v", res.Outcome, res.Err, want)
	}
}

// holds checks what is committed and what a reader of both outputs sees.
func (l *lane) holds(offset int64, values ...string) {
	l.t.Helper()
	got, err := l.g.Committed(l.ctx, []record.TopicPartition{tp("in", 0)})
	if err != nil {
		l.t.Fatal(err)
	}
	if got[tp("in", 0)].At != offset {
		l.t.Fatalf("committed %d, want %d", got[tp("in", 0)].At, offset)
	}
	for p := range int32(2) {
		same(l.t, "visible", l.committed(tp("out", p)), values)
	}
}

// count returns a channel that is closed after n more requests of a kind.
func (w *world) count(key kmsg.Key, n int) <-chan struct{} {
	done := make(chan struct{})
	w.cluster.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if n--; n == 0 {
			close(done)
		}
		return nil, nil, false
	})
	return done
}

// brokers that a transaction must work with: with and without KIP-890.
func bothTransactions(t *testing.T, test func(t *testing.T, opts ...kfake.Opt)) {
	t.Helper()
	t.Run("implicit", func(t *testing.T) { t.Parallel(); test(t) })
	t.Run("explicit", func(t *testing.T) { t.Parallel(); test(t, oldTransactions()...) })
}

func TestTransaction(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "lane", opts...)
		if implicit := l.p.(*producer).implicit; implicit != (len(opts) == 0) { //nolint:forcetypeassert // ours
			t.Fatalf("implicit is %v", implicit)
		}
		claims := 0
		claim := func() error { claims++; return nil }
		res := l.commit(10, claim, "a", "b")
		l.is(res, runtime.Committed)
		if claims == 0 || res.Next[tp("out", 0)] != 2 || res.Next[tp("out", 1)] != 2 {
			t.Fatalf("%d claims, next %v", claims, res.Next)
		}
		l.holds(10, "a", "b")
		l.is(l.commit(20, claim, "c"), runtime.Committed)
		l.holds(20, "a", "b", "c")
		// Offsets alone, then nothing at all.
		l.is(l.commit(30, claim), runtime.Committed)
		l.holds(30, "a", "b", "c")
		l.is(l.p.Commit(l.ctx, runtime.Commit{Claim: claim}), runtime.Committed)
		// Output alone.
		l.is(l.p.Commit(l.ctx, runtime.Commit{Records: l.round(0, nil, "d").Records}), runtime.Committed)
		l.holds(30, "a", "b", "c", "d")
	})
}

// A claim that no longer holds aborts the round, records already sent and all.
func TestClaimRefuses(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "lane", opts...)
		l.is(l.commit(1, nil, "a"), runtime.Committed)
		moved := errors.New("the task moved")
		res := l.commit(2, func() error { return moved }, "b")
		l.is(res, runtime.Aborted)
		if !errors.Is(res.Err, moved) {
			t.Errorf("error %v", res.Err)
		}
		l.is(l.commit(2, func() error { return moved }), runtime.Aborted)
		l.is(l.commit(2, func() error { return runtime.ErrFenced }, "b"), runtime.Fenced)
		l.is(l.commit(2, func() error { return runtime.ErrFenced }), runtime.Fenced)
		l.holds(1, "a")
		l.is(l.commit(3, nil, "c"), runtime.Committed)
		l.holds(3, "a", "c")
	})
}

// A broker that refuses the generation is asked again while the claim holds.
func TestGenerationIsReadAgain(t *testing.T) {
	t.Parallel()
	l := newLane(t, "lane")
	for _, e := range []*kerr.Error{kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.ConcurrentTransactions} {
		l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: e, Count: 2})
		claims := 0
		l.is(l.commit(int64(e.Code), func() error { claims++; return nil }, e.Message), runtime.Committed)
		if claims != 3 {
			t.Errorf("%s: %d claims for three tries", e.Message, claims)
		}
	}
	l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: -1})
	left := 3
	l.is(l.commit(99, func() error {
		if left--; left < 0 {
			return runtime.ErrFenced
		}
		return nil
	}, "late"), runtime.Fenced)
	l.holds(int64(kerr.ConcurrentTransactions.Code), "ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "CONCURRENT_TRANSACTIONS")
}

// The broker's own check, for a claim that is wrong: a member that was put
// out of the group commits nothing.
func TestExpelledMemberAborts(t *testing.T) {
	t.Parallel()
	l := newLane(t, "lane")
	l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.UnknownMemberID})
	res := l.commit(5, nil, "a")
	l.is(res, runtime.Aborted)
	if !errors.Is(res.Err, runtime.ErrFenced) {
		t.Errorf("error %v", res.Err)
	}
	l.holds(0)
	l.is(l.commit(6, nil, "b"), runtime.Committed)
	l.holds(6, "b")
}

func TestNewerProducerFences(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "lane", opts...)
		l.is(l.commit(1, nil, "a"), runtime.Committed)
		newer := l.producer("lane")
		l.is(l.commit(2, nil, "zombie"), runtime.Fenced)
		l.is(l.commit(3, nil, "zombie"), runtime.Fenced)
		if err := l.p.Recover(l.ctx); !errors.Is(err, runtime.ErrFenced) {
			t.Errorf("a fenced producer recovers: %v", err)
		}
		l.p = newer
		l.is(l.commit(4, nil, "b"), runtime.Committed)
		l.holds(4, "a", "b")
	})
}

// A producer that starts ends what its predecessor left open.
func TestSuccessorAbortsOpenTransaction(t *testing.T) {
	t.Parallel()
	l := newLane(t, "lane")
	own := l.p.(*producer) //nolint:forcetypeassert // ours
	own.round.fill([][]record.Record{records(tp("out", 0), "open"), records(tp("out", 1), "open")})
	if err := own.fillTransaction(l.ctx, own.cl, l.g, l.round(7, nil)); err != nil {
		t.Fatal(err)
	}
	l.p = l.producer("lane")
	l.holds(0)
}

// A transaction that took longer than its timeout was aborted by the broker,
// not by a newer producer.
func TestTransactionTimeout(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "unused", opts...)
		l.Transport = l.connect(Config{TransactionTimeout: time.Second})
		l.p = l.producer("lane")
		slow := func() error {
			// The reader comes past the open transaction when the
			// broker has aborted it.
			if got := l.committed(tp("out", 0)); len(got) > 0 {
				t.Errorf("visible: %v", got)
			}
			return nil
		}
		l.is(l.commit(1, slow, "a"), runtime.Aborted)
		l.is(l.commit(2, nil, "b"), runtime.Committed)
		l.holds(2, "b")
	})
}

// A record that brokers refuse aborts the round as a whole.
func TestRefusedRecordAborts(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "lane", opts...)
		huge := strings.Repeat("x", 2<<20)
		l.is(l.commit(1, nil, "a", huge), runtime.Aborted)
		l.holds(0)
		l.is(l.commit(2, nil, "b"), runtime.Committed)
		l.holds(2, "b")
	})
}

// cut is a dialer whose connections are cut when an answer to be lost is due.
type cut struct {
	mu    sync.Mutex
	conns []net.Conn
	down  bool
}

func (c *cut) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errors.New("the network is down")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// set cuts all connections, and lets new ones through or not.
func (c *cut) set(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// When the answer to the commit is lost the outcome is unknown; after Recover
// the committed offsets tell it, and the records agree with them.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
				l := newLane(t, "unused", opts...)
				network := &cut{}
				l.Transport = l.connect(Config{Dialer: network.dial})
				l.p = l.producer("lane")
				l.is(l.commit(1, nil, "a"), runtime.Committed)

				ctx, cancel := context.WithCancel(l.ctx)
				defer cancel()
				l.loseEndTxn(network, applied, cancel)
				l.is(l.p.Commit(ctx, l.round(2, nil, "b")), runtime.Unknown)
				l.is(l.commit(3, nil, "too early"), runtime.Aborted)

				network.set(false)
				if err := l.p.Recover(l.ctx); err != nil {
					t.Fatal(err)
				}
				if applied {
					l.holds(2, "a", "b")
					l.is(l.commit(3, nil, "c"), runtime.Committed)
					l.holds(3, "a", "b", "c")
				} else {
					l.holds(1, "a")
					l.is(l.commit(3, nil, "c"), runtime.Committed)
					l.holds(3, "a", "c")
				}
			})
		})
	}
}

// loseEndTxn cuts the network when the next EndTxn arrives at the broker,
// before or after it took effect, and then ends the round's context.
func (l *lane) loseEndTxn(network *cut, applied bool, then func()) {
	once := false
	l.cluster.ControlKey(kmsg.EndTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		if once {
			return nil, nil, false
		}
		once = true
		network.set(true)
		then()
		if applied {
			return nil, nil, false
		}
		return nil, errors.New("lost"), true
	})
}

// A connection that breaks under EndTxn, with the broker still there, is no
// more than a repetition.
func TestBrokenConnectionIsRetried(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "lane", opts...)
		l.cluster.ControlKey(kmsg.EndTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			return nil, errors.New("broken"), true
		})
		l.is(l.commit(1, nil, "a"), runtime.Committed)
		l.holds(1, "a")
	})
}

// At least once: what was sent stays visible, so failures are never Aborted.
func TestIdempotent(t *testing.T) {
	t.Parallel()
	l := newLane(t, "")
	res := l.commit(1, nil, "a")
	l.is(res, runtime.Committed)
	if res.Next[tp("out", 1)] != 1 {
		t.Errorf("next %v", res.Next)
	}
	l.holds(1, "a")
	l.is(l.commit(2, func() error { return runtime.ErrFenced }, "not sent"), runtime.Fenced)
	claims := 0
	l.is(l.commit(2, func() error {
		if claims++; claims > 1 {
			return runtime.ErrFenced // taken away while records were sent
		}
		return nil
	}, "b"), runtime.Unknown)
	l.is(l.commit(2, nil, "early"), runtime.Aborted)
	if err := l.p.Recover(l.ctx); err != nil {
		t.Fatal(err)
	}
	l.holds(1, "a", "b")
	l.is(l.commit(3, nil, "c"), runtime.Committed)
	l.is(l.commit(4, nil), runtime.Committed)
	l.holds(4, "a", "b", "c")
	l.is(l.commit(5, nil, "d", strings.Repeat("x", 2<<20)), runtime.Unknown)
}

// A round whose context ends while brokers are away gives its records back.
func TestRoundEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "lane"} {
		t.Run("id "+id, func(t *testing.T) {
			t.Parallel()
			l := newLane(t, "unused")
			network := &cut{}
			l.Transport = l.connect(Config{Dialer: network.dial, RequestTimeout: time.Second})
			l.p = l.producer(id)
			l.is(l.commit(1, nil, "a"), runtime.Committed)
			network.set(true)
			ctx, cancel := context.WithTimeout(l.ctx, 100*time.Millisecond)
			defer cancel()
			res := l.p.Commit(ctx, l.round(2, nil, "b"))
			if want := map[bool]runtime.Outcome{true: runtime.Unknown, false: runtime.Aborted}[id == ""]; res.Outcome != want {
				t.Fatalf("%v", res)
			}
			network.set(false)
			if res.Outcome == runtime.Unknown {
				if err := l.p.Recover(l.ctx); err != nil {
					t.Fatal(err)
				}
			}
			l.is(l.commit(3, nil, "c"), runtime.Committed)
			l.holds(3, "a", "c")
		})
	}
}

// The generation guards plain commits at the broker, too.
func TestForeignGroup(t *testing.T) {
	t.Parallel()
	l := newLane(t, "lane")
	c := l.round(1, nil, "a")
	c.Group = struct{ runtime.Group }{}
	l.is(l.p.Commit(l.ctx, c), runtime.Aborted)
	l.holds(0)
}

func BenchmarkFill(b *testing.B) {
	recs := records(tp("out", 0), make([]string, 1000)...)
	r := &round{}
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(recs) {
		r.fill([][]record.Record{recs})
		r.next()
		r.release()
	}
}
