package aerospike

import (
	"encoding/binary"
	"log/slog"
	goruntime "runtime"
	"sync"
	"testing"

	as "github.com/aerospike/aerospike-client-go/v7"
	"github.com/aerospike/aerospike-client-go/v7/types"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike/asfake"
)

func liveHeap() int64 {
	goruntime.GC()
	goruntime.GC() // what pools let go
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A peak looks at the live heap at some large calls to the server.
type peak struct {
	mu    sync.Mutex
	calls int
	base  int64
	above int64
	// swallow answers for the server when slots are written, so that what it
	// would keep, in this process, is not measured.
	swallow bool
}

func (p *peak) attempt(records []as.BatchRecordIfc, next func([]as.BatchRecordIfc) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if _, writes := records[0].(*as.BatchWrite); writes && p.swallow && len(records) == memoryBatch {
		for _, r := range records {
			r.BatchRec().ResultCode = types.OK
		}
	} else {
		err = next(records)
	}
	if p.calls++; p.calls%memoryLook != 0 || len(records) < memoryBatch {
		return err
	}
	p.above = max(p.above, liveHeap()-p.base)
	goruntime.KeepAlive(records)
	return err
}

const (
	memoryKeys  = 20_000
	memoryKey   = 100
	memoryBatch = 512
	memoryLook  = 16
	memoryRoom  = memoryBatch * (callBytes + 2*memoryKey)
)

// openSmall opens a store with small calls and little room for them.
func openSmall(t *testing.T, addr string, p *peak) *Store {
	cfg := config(addr)
	cfg.BatchRecords = memoryBatch
	s := openStore(t, cfg, func(h *hooks) { h.attempt = p.attempt })
	s.room = newRoom(memoryRoom)
	return s
}

func manyKeys(sp store.Space, from int) *store.Batch {
	var b store.Batch
	part := b.Part(sp, 1)
	key := make([]byte, memoryKey)
	for i := from; i < from+memoryKeys; i++ {
		binary.BigEndian.PutUint64(key, uint64(i)*0x9e3779b97f4a7c15)
		part.Put(key, key[:8])
	}
	part.Position = store.Position{Exists: true, Changelog: int64(from + memoryKeys)}
	return &b
}

// What a worker pays for a space on Aerospike is what the documentation says: its
// keys and 80 bytes for each. A batch takes 200 bytes an entry beside itself while
// it is written, and the room for calls.
func TestMemoryOfABatch(t *testing.T) { //nolint:paralleltest // measures the heap of the process
	p := &peak{swallow: true}
	s := openSmall(t, startFake(t, asfake.Options{}).Addr(), p)
	sp := store.Space{Table: "t"}
	if _, _, err := s.Open(sp, 1); err != nil {
		t.Fatal(err)
	}
	empty := liveHeap()
	for round := range 3 {
		b := manyKeys(sp, round*memoryKeys)
		p.base, p.above = liveHeap(), 0
		if err := s.Apply(b); err != nil {
			t.Fatal(err)
		}
		t.Logf("an entry takes %d bytes while it is written", p.above/memoryKeys)
		if most := int64(memoryKeys*200 + memoryRoom); p.above > most {
			t.Errorf("%d entries take %d bytes while they are written, want at most %d", memoryKeys, p.above, most)
		}
		if p.above == 0 {
			t.Fatal("nothing was measured")
		}
	}
	held := liveHeap() - empty
	t.Logf("an entry takes %d bytes when it was written", held/(3*memoryKeys))
	if most := int64(3 * memoryKeys * (memoryKey + 80)); held > most {
		t.Errorf("%d entries with keys of %d bytes take %d bytes, want at most %d", 3*memoryKeys, memoryKey, held, most)
	}
	goruntime.KeepAlive(s)
}

// Opening a space does not hold its keys twice.
func TestMemoryOfAnOpen(t *testing.T) { //nolint:paralleltest // measures the heap of the process
	addr := startFake(t, asfake.Options{}).Addr()
	s := openSmall(t, addr, &peak{})
	sp := store.Space{Table: "t"}
	if _, _, err := s.Open(sp, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second leaves slots that are stale
		if err := s.Apply(manyKeys(sp, 0)); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	p := &peak{}
	s = openSmall(t, addr, p)
	p.base = liveHeap()
	r, _, err := s.Open(sp, 2)
	if err != nil {
		t.Fatal(err)
	}
	held := liveHeap() - p.base
	t.Logf("an entry takes %d bytes, and %d while the space is opened", held/memoryKeys, p.above/memoryKeys)
	if most := held + 2*memoryKeys*16 + memoryRoom; p.above > most {
		t.Errorf("opening a space of %d entries takes %d bytes, want at most %d, of which it keeps %d", memoryKeys, p.above, most, held)
	}
	if p.above == 0 {
		t.Fatal("nothing was measured")
	}
	goruntime.KeepAlive(r)
}

// The room for calls is counted in what their records take.
func TestCallBytes(t *testing.T) { //nolint:paralleltest // measures the heap of the process
	s := openStore(t, config(startFake(t, asfake.Options{}).Addr()))
	sp := store.Space{Table: "t"}
	if _, _, err := s.Open(sp, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(manyKeys(sp, 0)); err != nil {
		t.Fatal(err)
	}
	p := s.space(sp)
	measure := func(what string, record func(i int) as.BatchRecordIfc, send func([]as.BatchRecordIfc) error) {
		before := liveHeap()
		const n = 2000
		records := []as.BatchRecordIfc{}
		for i := range n {
			records = append(records, record(i))
		}
		if err := send(records); err != nil {
			t.Fatal(err)
		}
		took := (liveHeap() - before) / n
		goruntime.KeepAlive(records)
		t.Logf("a record that is %s takes %d bytes", what, took)
		if took > callBytes || took < callBytes/8 {
			t.Errorf("a record that is %s takes %d bytes, %d are counted", what, took, callBytes)
		}
	}
	w := &writer{store: s, space: p, id: p.own().id, seq: 9}
	key := make([]byte, memoryKey)
	policy := as.NewBatchWritePolicy()
	measure("written", func(i int) as.BatchRecordIfc {
		r := slotWrite{w, uint32(i), meta{kind: kindEntry, seq: 9, key: key}, key[:8]}
		rec, _ := r.record(policy)
		return rec
	}, func([]as.BatchRecordIfc) error { return nil }) // the server would keep it, in this process
	measure("read", func(i int) as.BatchRecordIfc {
		return as.NewBatchRead(nil, s.slotKey(p.set, p.own().id, uint32(i)), []string{metaBin, valueBin})
	}, s.send)
}

// The keys that a worker holds are counted, and told when they are too many.
func TestKeysTakeTooMuch(t *testing.T) {
	t.Parallel()
	log := &lines{}
	cfg := config(startFake(t, asfake.Options{}).Addr())
	cfg.MemoryBytes, cfg.Logger = 1<<20, slog.New(slog.NewTextHandler(log, nil))
	s := openStore(t, cfg)
	sp := store.Space{Table: "t"}
	if _, _, err := s.Open(sp, 1); err != nil {
		t.Fatal(err)
	}
	const warning = "take more memory"
	add := func(keys, of, want int) {
		t.Helper()
		var b store.Batch
		p := b.Part(sp, 1)
		for i := range keys {
			p.Put(binary.BigEndian.AppendUint64(make([]byte, of-8, of), uint64(i)), nil)
		}
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		entries, bytes := s.indexed()
		if entries != int64(keys) || bytes != entries*int64(of+entryBytes) {
			t.Errorf("%d entries with keys of %d bytes count as %d and %d bytes", keys, of, entries, bytes)
		}
		if got := log.count(warning); got != want {
			t.Errorf("with keys of %d bytes %d warnings, want %d", bytes, got, want)
		}
	}
	add(5000, 36, 0) // a half of the memory
	add(8000, 36, 1) // more than three quarters, which calls leave
	add(9000, 36, 1)
	add(12_000, 36, 2)
	for _, m := range s.Metrics() {
		if want := map[string]float64{"index_entries": 12_000, "index_bytes": 1_200_000}[m.Name]; m.Value != want {
			t.Errorf("%s is %v, want %v", m.Name, m.Value, want)
		}
	}
	if err := s.Drop(sp, 1); err != nil {
		t.Fatal(err)
	}
	if entries, bytes := s.indexed(); entries != 0 || bytes != 0 {
		t.Errorf("after it was dropped the space has %d entries, %d bytes", entries, bytes)
	}
	closeStore(t, s)
	if ms := s.Metrics(); ms != nil {
		t.Errorf("a closed store says %v", ms)
	}
}

// Values that are large are asked for by calls of fewer records.
func TestCallsForLargeValues(t *testing.T) {
	t.Parallel()
	const keys, size = 600, 60_000
	var mu sync.Mutex
	reads, most := 0, 0
	s := openStore(t, config(startFake(t, asfake.Options{}).Addr()), func(h *hooks) {
		h.attempt = func(records []as.BatchRecordIfc, next func([]as.BatchRecordIfc) error) error {
			if _, ok := records[0].(*as.BatchRead); ok {
				mu.Lock()
				reads, most = reads+len(records), max(most, len(records))
				mu.Unlock()
			}
			return next(records)
		}
	})
	sp := store.Space{Table: "t"}
	r, _, err := s.Open(sp, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	p := b.Part(sp, 1)
	var all [][]byte
	for i := range keys {
		all = append(all, binary.BigEndian.AppendUint32(nil, uint32(i)))
		p.Put(all[i], make([]byte, size))
	}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	reads, most = 0, 0
	mu.Unlock()
	found := 0
	err = r.(store.MultiReader).GetMulti(all, func(_ int, value []byte, ok bool) {
		if ok && len(value) == size {
			found++
		}
	})
	if err != nil || found != keys || reads != keys {
		t.Fatalf("%d of %d values were found with %d reads: %v", found, keys, reads, err)
	}
	if limit := batchBytes/size + batchBytes/size/4; most > limit {
		t.Errorf("a call asked for %d values of %d bytes, want at most %d", most, size, limit)
	}
}
