package kafka

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/runtime"
)

// asked counts the requests of a kind, and shows them.
func (w *world) asked(key kmsg.Key, show ...func(kmsg.Request)) *atomic.Int64 {
	n := &atomic.Int64{}
	w.cluster.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		n.Add(1)
		for _, f := range show {
			f(req)
		}
		return nil, nil, false
	})
	return n
}

// Rounds with and without records take turns under one epoch, and none of them
// commits offsets outside a transaction.
func TestOffsetsInTransactions(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "lane", opts...)
		plain, inits, ends := l.asked(kmsg.OffsetCommit), l.asked(kmsg.InitProducerID), l.asked(kmsg.EndTxn)
		var seen []string
		for at := int64(10); at < 40; at += 10 {
			seen = append(seen, "a")
			l.is(l.commit(at, nil, "a"), runtime.Committed)
			l.is(l.commit(at+1, nil), runtime.Committed)
			l.is(l.commit(at+2, nil), runtime.Committed)
			l.holds(at+2, seen...)
		}
		if plain.Load() != 0 || inits.Load() != 0 || ends.Load() != 9 {
			t.Fatalf("%d plain commits, %d new epochs, %d transactions; want 0, 0, 9", plain.Load(), inits.Load(), ends.Load())
		}
	})
}

// An at-least-once producer has no transactions.
func TestOffsetsWithoutTransactions(t *testing.T) {
	t.Parallel()
	l := newLane(t, "")
	ends := l.asked(kmsg.EndTxn)
	l.is(l.commit(1, nil), runtime.Committed)
	l.holds(1)
	if ends.Load() != 0 {
		t.Fatalf("%d transactions", ends.Load())
	}
}

// A copy of a commit that is handled when later ones are done does not take the
// offset back, and does not end a later transaction: its epoch is over.
func TestDelayedCopies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key    kmsg.Key
		values []string
	}{
		"offsets alone":               {kmsg.TxnOffsetCommit, nil},
		"group alone":                 {kmsg.AddOffsetsToTxn, nil},
		"offsets of a round":          {kmsg.TxnOffsetCommit, []string{"a"}},
		"end of a round with records": {kmsg.EndTxn, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) { testDelayedCopy(t, c.key, c.values, opts...) })
		})
	}
}

func testDelayedCopy(t *testing.T, key kmsg.Key, values []string, opts ...kfake.Opt) {
	t.Helper()
	l := newLane(t, "lane", opts...)
	l.is(l.commit(1, nil, values...), runtime.Committed)
	late := l.breakOnce(key)
	l.is(l.commit(2, nil, values...), runtime.Committed)
	l.is(l.commit(3, nil, values...), runtime.Committed)
	resp, err := l.admin.Request(l.ctx, *late)
	if err != nil {
		t.Fatal(err)
	}
	switch resp := resp.(type) {
	case *kmsg.TxnOffsetCommitResponse:
		err = txnOffsetError(resp)
	case *kmsg.AddOffsetsToTxnResponse:
		err = kerr.ErrorForCode(resp.ErrorCode)
	case *kmsg.EndTxnResponse:
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Fatalf("the late copy was answered with %v", err)
	}
	l.is(l.commit(4, nil, "b"), runtime.Committed)
	if values != nil {
		l.holds(4, "a", "a", "a", "b")
	} else {
		l.holds(4, "b")
	}
}

// breakOnce breaks the connection of the next request of a kind, before it is
// handled, and returns that.
func (w *world) breakOnce(key kmsg.Key) *kmsg.Request {
	var late kmsg.Request
	w.cluster.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		late = r
		return nil, errors.New("broken"), true
	})
	return &late
}

// When the answer to the end is lost, Recover decides, as with records.
func TestUnknownOffsets(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
				l := newLane(t, "unused", opts...)
				network := &cut{}
				l.Transport = l.connect(Config{Dialer: network.dial})
				l.p = l.producer("lane")
				l.is(l.commit(1, nil), runtime.Committed)
				ctx, cancel := context.WithCancel(l.ctx)
				defer cancel()
				l.loseEndTxn(network, applied, cancel)
				l.is(l.p.Commit(ctx, l.round(2, nil)), runtime.Unknown)
				network.set(false)
				if err := l.p.Recover(l.ctx); err != nil {
					t.Fatal(err)
				}
				want := int64(1)
				if applied {
					want = 2
				}
				l.holds(want)
				l.is(l.commit(3, nil), runtime.Committed)
				l.holds(3)
			})
		})
	}
}

// A round that is refused for good leaves no transaction open.
func TestRefusedOffsets(t *testing.T) {
	t.Parallel()
	bothTransactions(t, func(t *testing.T, opts ...kfake.Opt) {
		l := newLane(t, "lane", opts...)
		l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.GroupAuthorizationFailed})
		l.is(l.commit(1, nil), runtime.Aborted)
		l.is(l.commit(2, nil), runtime.Committed)
		l.holds(2)
		l.is(l.commit(3, nil, "a"), runtime.Committed)
		l.holds(3, "a")
	})
}
