package runtime_test

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/simdisk"
)

// A loadingStore counts loads, and what else is written to spaces.
type loadingStore struct {
	*simdisk.Store

	begun, committed atomic.Int64
}

func (s *loadingStore) Load(sp store.Space, gen store.Generation, memory int) (store.Loader, error) {
	s.begun.Add(1)
	l, err := s.Store.Load(sp, gen, memory)
	return &countedLoader{l, s}, err
}

type countedLoader struct {
	store.Loader

	s *loadingStore
}

func (l *countedLoader) Commit(p store.Position) error {
	l.s.committed.Add(1)
	return l.Loader.Commit(p)
}

func newLoadingStore(t *testing.T, d *simdisk.Disk) *loadingStore {
	t.Helper()
	st, err := simdisk.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return &loadingStore{Store: st}
}

// A space with a long changelog and nothing stored is loaded in bulk; one that
// is only behind is not, and neither is one with a short log.
func TestRestoreInBulk(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	m := c.start("first", newLoadingStore(t, simdisk.New(1)), runtime.ExactlyOnce)
	c.send(100)
	c.settle()
	c.leave(m)
	const n = 12_000
	c.fillChangelog("words-app-sums-changelog", 1, n)

	disk := simdisk.New(1)
	st := newLoadingStore(t, disk)
	m = c.start("first", st, runtime.ExactlyOnce)
	c.send(100)
	c.settle()
	c.leave(m)
	if st.begun.Load() != 1 || st.committed.Load() != 1 {
		t.Errorf("%d loads were begun and %d committed, want 1", st.begun.Load(), st.committed.Load())
	}
	r, pos, err := st.Open(store.Space{Table: "sums", Partition: 1}, 1<<62)
	if err != nil || pos.Changelog < n {
		t.Fatalf("position %+v, %v", pos, err)
	}
	filled := 0
	for e, err := range r.Scan([]byte("filled"), []byte("fillee")) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("filled %05d", 2*filled); string(e.Key) != want {
			t.Fatalf("entry %d is %q, want %q", filled, e.Key, want)
		}
		filled++
	}
	if filled != n/4 {
		t.Errorf("%d entries were restored, want %d", filled, n/4)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	c.fillChangelog("words-app-sums-changelog", 1, n)
	st = newLoadingStore(t, disk)
	m = c.start("first", st, runtime.ExactlyOnce)
	c.send(100)
	c.settle()
	c.leave(m)
	if st.begun.Load() != 0 {
		t.Error("a space that was only behind was emptied")
	}
}

// fillChangelog writes n records of n/2 keys; every other key ends deleted.
func (c *cluster) fillChangelog(topic string, partition int32, n int) {
	c.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	for i := range n {
		k := i % (n / 2)
		r := &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Appendf(nil, "filled %05d", k), Value: binary.BigEndian.AppendUint64(nil, uint64(i))}
		if i >= n/2 && k%2 == 1 {
			r.Value = nil
		}
		rs = append(rs, r)
	}
	if err := cl.ProduceSync(c.t.Context(), rs...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}
