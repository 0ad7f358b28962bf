package aerospike

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	as "github.com/aerospike/aerospike-client-go/v7"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike/asfake"
)

// checkFaults lets requests go wrong in every way and at random moments: all
// steps succeed, and nothing is wrong at the end.
func checkFaults(tb conformance.TB, hs ...func(*hooks)) {
	srv := startFake(tb, asfake.Options{})
	cfg := config(srv.Addr())
	cfg.RetryFor = 20 * time.Second
	s := openStore(tb, cfg, hs...)
	h := someHistory(1)
	rs, _ := h.open(tb, s, 1)
	faults := []asfake.Fault{
		{DropBefore: true},
		{DropAfter: true},
		{DropMiddle: true},
		{Code: asfake.DeviceOverload},
		{Code: asfake.DeviceOverload, Every: 3},
		{Code: asfake.PartitionUnavailable, Every: 2},
		{Code: asfake.Timeout},
		{Code: asfake.Timeout, Applied: true},
		{Code: asfake.Timeout, Applied: true, Every: 2},
		{Code: asfake.KeyBusy},
	}
	r := rand.New(rand.NewPCG(1, 2))
	const steps = 120
	for i := 1; i <= steps; i++ {
		f := faults[i%len(faults)]
		f.Times = 1 + r.IntN(2)
		skip := r.IntN(4)
		f.When = func(q asfake.Request) bool { skip--; return skip < 0 }
		remove := srv.Inject(f)
		h.run(tb, s, 1, i, i)
		remove()
		if i%20 == 0 {
			for j := range rs {
				h.holds(tb, rs[j], i, j)
			}
		}
	}
	closeStore(tb, s)
	s = openStore(tb, cfg, hs...)
	rs, ps := h.open(tb, s, 2)
	for j := range rs {
		if ps[j].Changelog != steps {
			tb.Fatalf("after %d steps the position of %s is %d", steps, h.spaces[j], ps[j].Changelog)
		}
		h.holds(tb, rs[j], steps, j)
	}
}

func TestFaults(t *testing.T) { pass(t, checkFaults) }

// TestCutAnswers ends connections in the middle of a record that is being
// read: the client calls it done, without a record. It is read again.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	s := openStore(t, config(srv.Addr()))
	sp := store.Space{Table: "t"}
	r, _, err := s.Open(sp, 1)
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("v"), 100_000) // more than the client reads at once
	var b store.Batch
	part := b.Part(sp, 1)
	var keys [][]byte
	for i := range 5 {
		keys = append(keys, fmt.Appendf(nil, "key %d", i))
		part.Put(keys[i], value)
	}
	part.Position = store.Position{Changelog: 5, Exists: true}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	left := 3
	srv.Inject(asfake.Fault{DropMiddle: true, When: func(q asfake.Request) bool {
		if q.Write || q.Records < 2 || left == 0 {
			return false
		}
		left--
		return true
	}})
	got := 0
	err = r.(store.MultiReader).GetMulti(keys, func(_ int, v []byte, found bool) {
		if found && bytes.Equal(v, value) {
			got++
		}
	})
	if err != nil || got != len(keys) || left != 0 {
		t.Errorf("read %d of %d values, with %d cuts to come: %v", got, len(keys), left, err)
	}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// checkZombie stops a worker in the middle of a batch, at each of its calls;
// another takes the spaces over and writes; then the first goes on.
func checkZombie(tb conformance.TB, hs ...func(*hooks)) {
	for at := 1; at <= 3; at++ {
		srv := startFake(tb, asfake.Options{})
		stopped, goOn := make(chan struct{}), make(chan struct{})
		var armed atomic.Bool
		var n atomic.Int64
		zombie := openStore(tb, config(srv.Addr()), append(slices.Clone(hs), func(h *hooks) {
			inner := h.attempt
			h.attempt = func(records []as.BatchRecordIfc, next func([]as.BatchRecordIfc) error) error {
				if armed.Load() && isWrite(records) && n.Add(1) == int64(at) {
					close(stopped)
					<-goOn
				}
				if inner != nil {
					return inner(records, next)
				}
				return next(records)
			}
		})...)
		h := someHistory(uint64(at))
		h.open(tb, zombie, 1)
		h.run(tb, zombie, 1, 1, 5)
		armed.Store(true)
		result := make(chan error)
		go func() { result <- zombie.Apply(h.batch(6, 1)) }()
		<-stopped
		s := openStore(tb, config(srv.Addr()))
		rs, ps := h.open(tb, s, 2)
		for j := range rs {
			if ps[j].Changelog != 5 {
				tb.Errorf("stopped at %d: %s is at %d", at, h.spaces[j], ps[j].Changelog)
			}
		}
		h.run(tb, s, 2, 6, 12)
		close(goOn)
		if err := <-result; !errors.Is(err, store.ErrFenced) {
			tb.Errorf("stopped at call %d, the zombie's batch ended with %v", at, err)
		}
		if err := zombie.Apply(h.batch(6, 1)); !errors.Is(err, store.ErrFenced) {
			tb.Errorf("another batch of the zombie ended with %v", err)
		}
		h.run(tb, s, 2, 13, 20)
		closeStore(tb, s)
		s = openStore(tb, config(srv.Addr()))
		rs, _ = h.open(tb, s, 3)
		for j := range rs {
			h.holds(tb, rs[j], 20, j)
		}
	}
}

func isWrite(records []as.BatchRecordIfc) bool {
	_, ok := records[0].(*as.BatchWrite)
	return ok
}

func TestZombie(t *testing.T) { pass(t, checkZombie) }

func runCheck(tb conformance.TB, name string, f conformance.StoreFactory) {
	tb.Helper()
	for _, c := range conformance.StoreChecks() {
		if c.Name == name {
			c.Run(tb, f)
			return
		}
	}
	tb.Fatalf("the suite has no check %q", name)
}

// checkScanBeside overwrites everything many times while a scan is on its way.
func checkScanBeside(tb conformance.TB, hs ...func(*hooks)) {
	srv := startFake(tb, asfake.Options{})
	h := history{seed: 4, spaces: []store.Space{{Table: "a"}}, keys: 200, ops: 400}
	s := openStore(tb, config(srv.Addr()), hs...)
	rs, _ := h.open(tb, s, 1)
	h.run(tb, s, 1, 1, 1)
	want, n := h.at(1, 0), 0
	for e, err := range rs[0].Scan(nil, nil) {
		if err != nil {
			tb.Fatalf("after %d of %d entries: %v", n, len(want), err)
		}
		if want[string(e.Key)] != string(e.Value) {
			tb.Fatalf("%q is %q, was %q when the scan began", e.Key, e.Value, want[string(e.Key)])
		}
		if n++; n == 1 {
			h.run(tb, s, 1, 2, 12)
		}
	}
	if n != len(want) {
		tb.Fatalf("%d entries, want %d", n, len(want))
	}
	h.holds(tb, rs[0], 12, 0)
}

func TestScanBeside(t *testing.T) { pass(t, checkScanBeside) }
