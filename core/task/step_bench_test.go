package task

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// countTask is a task with one agent that counts by key, over a store in memory.
func countTask(t testing.TB, sends bool, cache int) *Task {
	return newTask(t, cache, func(table *topology.Table) topology.Processor { return &counter{table: table, sends: sends} })
}

// newTask is a task with one agent over a table in an empty store.
func newTask(t testing.TB, cache int, agent func(counts *topology.Table) topology.Processor) *Task {
	g := topology.Graph{
		App:    "app",
		Topics: []topology.Topic{{Name: "in"}, {Name: "out"}},
		Tables: []topology.Table{{Name: "counts"}},
		Agents: []topology.Agent{{Name: "count", Source: "in", Uses: []string{"counts"}, Sends: []string{"out"}}},
	}
	var table *topology.Table
	g.Agents[0].New = func() topology.Processor { return agent(table) }
	topo, err := topology.Build(g)
	if err != nil {
		t.Fatal(err)
	}
	table = topo.Tables["counts"]
	return New(Config{
		Topology: topo, Sub: topo.Subs[0], StreamTime: record.NoTime, CacheBytes: cache,
		Readers:    map[string]store.Reader{"counts": mapReader{}},
		Partitions: func(string) int32 { return 4 },
	})
}

type counter struct {
	table *topology.Table
	sends bool
	buf   []byte
	n     [8]byte
}

func (c *counter) Process(ctx topology.Context, r *record.Record) error {
	v, found, err := ctx.Get(c.table, r.Key, c.buf[:0])
	if err != nil {
		return err
	}
	c.buf = v
	n := uint64(1)
	if found {
		n += binary.BigEndian.Uint64(v)
	}
	binary.BigEndian.PutUint64(c.n[:], n)
	if c.sends {
		if err := ctx.Send("out", topology.Output{Partition: -1, Key: r.Key, Value: c.n[:], Time: r.Time}); err != nil {
			return err
		}
	}
	return ctx.Put(c.table, r.Key, c.n[:])
}

// records makes n records over a number of keys.
func records(n, keys int) []record.Record {
	rs := make([]record.Record, n)
	value := make([]byte, 100)
	for i := range rs {
		rs[i] = record.Record{Topic: "in", Offset: int64(i), Time: int64(i), Key: fmt.Appendf(nil, "%08d", i%keys), Value: value}
	}
	return rs
}

var in0 = record.TopicPartition{Topic: "in"}

// A record of a key that the epoch has seen costs no allocation.
func TestStepAllocations(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts those of everybody
	for _, sends := range []bool{false, true} {
		task := countTask(t, sends, 0)
		if err := task.Add(in0, records(4000, 1), 4000); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			task.Step(0)
		}
		got := testing.AllocsPerRun(2000, func() {
			if task.Step(0) != Progress {
				t.Fatal("nothing to do")
			}
		})
		if got > 0 {
			t.Errorf("sends %t: %v allocations for each record, want none", sends, got)
		}
	}
}

// BenchmarkStep counts by key. An epoch ends every 10,000 records, and its writes
// go to a store in memory.
func BenchmarkStep(b *testing.B) {
	for _, keys := range []int{1, 10_000, 1_000_000} {
		for _, sends := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=%d/sends=%t", keys, sends), func(b *testing.B) {
				const epoch = 10_000
				t := countTask(b, sends, 16<<20)
				memory := t.spaces[0].reader.(mapReader)
				rs := records(max(keys, epoch), keys)
				b.ReportAllocs()
				at, offset := 0, int64(0)
				b.ResetTimer()
				for done := 0; done < b.N; {
					n := min(epoch, b.N-done)
					b.StopTimer()
					if at+epoch > len(rs) {
						at = 0
					}
					batch := make([]record.Record, n)
					copy(batch, rs[at:])
					for i := range batch {
						batch[i].Offset, batch[i].Time = offset, offset
						offset++
					}
					at += n
					b.StartTimer()
					if err := t.Add(in0, batch, offset); err != nil {
						b.Fatal(err)
					}
					for t.Step(0) == Progress {
					}
					done += n
					t.Seal()
					b.StopTimer()
					for _, e := range t.spaces[0].fly.order {
						memory[e.key] = string(e.value)
					}
					b.StartTimer()
					t.Applied()
				}
			})
		}
	}
}

// BenchmarkScan scans a table that is written between scans, as closing windows
// and timers do.
func BenchmarkScan(b *testing.B) {
	s := newSpace("t", 0, "c", mapReader{}, 0)
	var j journal
	b.ReportAllocs()
	for i := range b.N {
		if i%100_000 == 0 {
			s.cur.reset()
		}
		s.write(&j, binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15), nil, false)
		if i%16 == 0 {
			for range s.scan(nil, nil) {
				break
			}
		}
		j.reset()
	}
}
