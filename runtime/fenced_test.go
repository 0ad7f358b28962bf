package runtime_test

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
)

// takeOver opens the spaces of a store in a generation of later.
func takeOver(t *testing.T, st store.Store, gen store.Generation) {
	t.Helper()
	for p := range int32(partitions) {
		if _, _, err := st.Open(store.Space{Table: "counts", Partition: p}, gen); err != nil {
			t.Fatal(err)
		}
	}
}

// A store that somebody else has taken from a running worker: it gives its tasks
// up, joins anew, and goes on once its generations are newer. Nothing is lost,
// nothing done twice.
func TestFencedStoreIsGivenUpAndTakenAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		st := memory.New()
		stop, ended := b.start("a", st, func(weir.Context) error { return nil })
		b.send()
		b.settle(1)
		synctest.Wait() // applied
		takeOver(t, st, store.Generation(time.Now().Add(20*time.Second).UnixMilli()))
		b.send()
		b.settle(2)
		synctest.Wait() // the store did not take it
		b.send()
		time.Sleep(10 * time.Second) //nolint:forbidigo // of virtual time
		if n := b.committed(0); n != 2 {
			t.Fatalf("offset %d is committed while the store is somebody else's, want 2", n)
		}
		b.send()
		b.settle(4)
		synctest.Wait() // applied
		stop()
		if err := within(t, time.Minute, ended); err != nil {
			t.Fatal(err)
		}
		for p := range int32(partitions) {
			r, _, err := st.Open(store.Space{Table: "counts", Partition: p}, math.MaxInt64)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for e, err := range r.Scan(nil, nil) {
				if err != nil || string(e.Value) != string(encoded(4)) {
					t.Errorf("partition %d: %q is %x, want %x (%v)", p, e.Key, e.Value, encoded(4), err)
				}
				n++
			}
			if n != 1 {
				t.Errorf("partition %d has %d keys, want 1", p, n)
			}
		}
	})
}

// settle waits until n records of each partition are committed.
func (b *bench) settle(n int64) {
	b.t.Helper()
	for p := range int32(partitions) {
		for began := time.Now(); b.committed(p) < n; time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // of virtual time
			if time.Since(began) > time.Minute {
				b.t.Fatalf("%d of %d records of partition %d after a minute", b.committed(p), n, p)
			}
		}
	}
}

// A store that stays somebody else's ends the worker, with what to do.
func TestFencedStoreEndsTheWorkerAtLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		st := memory.New()
		_, ended := b.start("a", st, func(weir.Context) error { return nil })
		b.send()
		b.settle(1)
		takeOver(t, st, math.MaxInt64)
		b.send()
		if err := within(t, 10*time.Minute, ended); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("ended with %v", err)
		}
	})
}
