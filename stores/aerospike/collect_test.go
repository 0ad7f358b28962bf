package aerospike

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	as "github.com/aerospike/aerospike-client-go/v7"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike/asfake"
)

func notTombstone(l asfake.Lost) bool {
	m, err := decodeMeta(l.Bins[metaBin])
	return err != nil || m.kind != kindTombstone
}

// eventually waits for the collector, whose work shows at the server only.
func eventually(tb conformance.TB, what string, f func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !f(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("%s: still not so", what)
		}
	}
}

func TestGarbageIsCollected(t *testing.T) {
	t.Parallel()
	clock := &clock{now: time.Unix(1_700_000_000, 0)}
	srv := startFake(t, asfake.Options{Now: clock.time})
	h := history{seed: 1, spaces: []store.Space{{Table: "a"}}, keys: 5000, ops: 5000}
	s := openStore(t, config(srv.Addr()))
	rs, _ := h.open(t, s, 1)
	h.run(t, s, 1, 1, 3)
	full := srv.Records("app.a")
	if err := s.Drop(h.spaces[0], 1); err != nil {
		t.Fatal(err)
	}
	// Owner and head are left, and the head of the dead incarnation goes last.
	eventually(t, "the dropped incarnation is gone", func() bool { return srv.Records("app.a") == 2 })
	h.run(t, s, 1, 1, 3)
	h.holds(t, rs[0], 3, 0)
	closeStore(t, s)
	// All that was deleted comes back, and is collected again.
	clock.advance(time.Minute)
	srv.Restart(asfake.Restart{})
	if n := srv.Records("app.a"); n < 2*full-1 {
		t.Fatalf("%d records after a restart, want deleted ones to come back", n)
	}
	s = openStore(t, config(srv.Addr()))
	rs, _ = h.open(t, s, 2)
	h.holds(t, rs[0], 3, 0)
	eventually(t, "what came back is gone", func() bool { return srv.Records("app.a") <= full+2 })
	h.holds(t, rs[0], 3, 0)
}

func TestGarbageExpires(t *testing.T) {
	t.Parallel()
	clock := &clock{now: time.Unix(1_700_000_000, 0)}
	srv := startFake(t, asfake.Options{Now: clock.time})
	cfg := config(srv.Addr())
	cfg.GarbageTTL = time.Hour
	h := history{seed: 1, spaces: []store.Space{{Table: "a"}}, keys: 500, ops: 500}
	s := openStore(t, cfg)
	rs, _ := h.open(t, s, 1)
	h.run(t, s, 1, 1, 3)
	if err := s.Drop(h.spaces[0], 1); err != nil {
		t.Fatal(err)
	}
	h.run(t, s, 1, 1, 2)
	live := h.at(2, 0)
	eventually(t, "the collector has been at it", func() bool {
		s.space(h.spaces[0]).work.Lock()
		defer s.space(h.spaces[0]).work.Unlock()
		g := s.space(h.spaces[0]).head.garbage
		return len(g) == 1 && g[0].swept
	})
	clock.advance(2 * time.Hour)
	srv.Restart(asfake.Restart{})
	if n := srv.Records("app.a"); n > 2*len(live)+2+500 {
		t.Fatalf("%d records are left, %d entries are live", n, len(live))
	}
	h.holds(t, rs[0], 2, 0)
}

// TestLayersAreCopied crashes workers, one after the other: the incarnations
// they leave do not pile up, and neither do their records.
func TestLayersAreCopied(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	cfg := config(srv.Addr())
	cfg.MaxLayers = 3
	h := someHistory(5)
	for worker := range 12 {
		var dead atomic.Bool
		s, err := openWith(cfg, diesWith(&dead))
		if err != nil {
			t.Fatal(err)
		}
		rs, _ := h.open(t, s, store.Generation(worker))
		for j := range rs {
			h.holds(t, rs[j], 3*worker, j)
			if n := len(s.space(h.spaces[j]).layers); n > cfg.MaxLayers+1 {
				t.Fatalf("worker %d finds %d layers", worker, n)
			}
		}
		h.run(t, s, store.Generation(worker), 3*worker+1, 3*worker+3)
		dead.Store(true)
		closeStore(t, s)
	}
	s := openStore(t, cfg)
	h.open(t, s, 100)
	h.run(t, s, 100, 37, 40)
	most := 0
	for j := range h.spaces {
		most += (cfg.MaxLayers+2)*2*h.keys + 20 + j
	}
	eventually(t, "dead incarnations are gone", func() bool { return srv.Records("") <= most })
}

// diesWith ends a store like SIGKILL does: nothing is sent once dead is set.
func diesWith(dead *atomic.Bool) func(*hooks) {
	return func(h *hooks) {
		h.attempt = func(records []as.BatchRecordIfc, next func([]as.BatchRecordIfc) error) error {
			if dead.Load() {
				return errors.New("the worker is dead")
			}
			return next(records)
		}
	}
}

// TestCallsOfABatch holds a batch to a few calls, however many keys it has.
func TestCallsOfABatch(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	s := openStore(t, config(srv.Addr()))
	h := history{seed: 1, spaces: []store.Space{{Table: "a"}, {Table: "b"}, {Table: "c"}}, keys: 2000, ops: 1000}
	h.open(t, s, 1)
	h.run(t, s, 1, 1, 1)
	before := srv.Stats()
	h.run(t, s, 1, 2, 2)
	if n := srv.Stats().Requests - before.Requests; n != 3 {
		t.Errorf("a batch of 3000 writes in three spaces took %d calls, want 3", n)
	}
	before = srv.Stats()
	var b store.Batch
	p := b.Part(h.spaces[0], 1)
	for i := range 1000 {
		p.Put([]byte{byte(i), byte(i >> 8)}, []byte("v"))
	}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	if n := srv.Stats().Requests - before.Requests; n != 2 {
		t.Errorf("a batch of 1000 writes in one space took %d calls, want 2", n)
	}
}

// TestRecordsAreBounded writes and deletes for long: slots are used again.
func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	s := openStore(t, config(srv.Addr()))
	h := history{seed: 1, spaces: []store.Space{{Table: "a"}}, keys: 100, ops: 20}
	h.open(t, s, 1)
	h.run(t, s, 1, 1, 500)
	if n := srv.Records("app.a"); n > 2*h.keys+2*h.ops+2 {
		t.Errorf("%d records for at most %d entries", n, h.keys)
	}
}
