package task

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// An echo writes each record to a table and sends it on.
type echo struct {
	table *topology.Table
	sends bool
}

func (p *echo) Process(ctx topology.Context, r *record.Record) error {
	if p.sends {
		return ctx.Send("out", topology.Output{Partition: -1, Key: r.Key, Value: r.Value, Time: r.Time, Headers: r.Headers})
	}
	return ctx.Put(p.table, r.Key, r.Value)
}

// What an epoch is counted as covers what it, an epoch of the same size after
// it, and all that is made of it hold in memory, and not much less than that
// is counted for nothing: else a worker whose broker or store is slow takes
// more than its setting, or commits more often than it has to.
func TestEpochCosts(t *testing.T) { //nolint:paralleltest // measures the heap of the process
	for _, c := range []struct {
		name                string
		key, value, headers int
		sends               bool
	}{
		{name: "writes of counts", key: 8, value: 8},
		{name: "writes under long keys", key: 100, value: 8},
		{name: "writes of long values", key: 16, value: 1000},
		{name: "outputs", key: 16, value: 100, sends: true},
		{name: "outputs with headers", key: 16, value: 100, headers: 4, sends: true},
	} {
		t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // as above
			p := &echo{sends: c.sends}
			task := newTask(t, 0, func(table *topology.Table) topology.Processor { p.table = table; return p })
			const n = 20_000
			before := liveHeap()
			next := 0
			run := func() {
				for end := next + n; next < end; next++ {
					r := record.Record{Topic: "in", Offset: int64(next), Key: make([]byte, c.key), Value: make([]byte, c.value)}
					binary.BigEndian.PutUint64(r.Key, uint64(next))
					for range c.headers {
						r.Headers = append(r.Headers, record.Header{Key: "name", Value: r.Value[:10]})
					}
					if err := task.Add(in0, []record.Record{r}, r.Offset+1); err != nil {
						t.Fatal(err)
					}
					if st := task.Step(0); st != Progress {
						t.Fatalf("record %d: %v", next, st)
					}
				}
			}
			run()
			counted := task.Dirty()
			task.Seal()
			var b store.Batch
			task.Collect(&b, nil, 0)
			run()
			transport := make([]byte, n*(RecordBytes+c.headers*HeaderBytes))
			held := int(liveHeap() - before)
			runtime.KeepAlive(transport)
			runtime.KeepAlive(task)
			runtime.KeepAlive(&b)
			t.Logf("%d bytes a record are counted, %d are held", counted/n, held/n)
			if held > counted || held < counted*2/3 {
				t.Errorf("an epoch of %d records is counted as %d bytes, and it holds %d", n, counted, held)
			}
		})
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
