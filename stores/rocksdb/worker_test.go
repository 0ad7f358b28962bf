package rocksdb_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/rocksdb"
	"github.com/weirstream/weir/transports/memory"
)

const countedWords, countedPartitions = 5000, 2

var (
	countsSpace = store.Space{Table: "counts"}
	namesTopic  = record.TopicPartition{Topic: "names"}
)

// A counting is an application that counts words on a worker with RocksDB, and
// reads a global table for each.
type counting struct {
	t    *testing.T
	dir  string
	b    *memory.Broker
	sent int
}

func newCounting(t *testing.T) *counting {
	t.Helper()
	c := &counting{t: t, dir: filepath.Join(t.TempDir(), "store"), b: memory.NewBroker()}
	for name, partitions := range map[string]int32{"words": countedPartitions, namesTopic.Topic: 1} {
		if err := c.b.CreateTopic(name, runtime.TopicSpec{Partitions: partitions, Replicas: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *counting) app() *weir.App {
	app := weir.NewApp("counting")
	in := weir.NewTopic[string, int64](app, "words")
	counts := weir.NewTable[string, int64](app, countsSpace.Table)
	names := weir.NewGlobalTable(app, weir.NewTopic[string, int64](app, namesTopic.Topic))
	weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, ev weir.Event[string, int64]) error {
		if _, found, err := names.Lookup(ctx, "name"); err != nil || !found {
			return errors.Join(err, fmt.Errorf("the global table has its row: %t", found))
		}
		return counts.Update(ctx, ev.Key, func(n int64) int64 { return n + 1 })
	}, weir.Uses(counts, names))
	return app
}

// send sends each word once, and a row of the global table.
func (c *counting) send() {
	c.t.Helper()
	value := binary.BigEndian.AppendUint64(nil, uint64(c.sent)^(1<<63))
	batches := map[record.TopicPartition][]record.Record{namesTopic: {{Key: []byte("name"), Value: value, Time: 1}}}
	for i := range countedWords {
		key := fmt.Appendf(nil, "word-%d", i)
		tp := record.TopicPartition{Topic: "words", Partition: record.Partition(key, countedPartitions)}
		batches[tp] = append(batches[tp], record.Record{Key: key, Value: value, Time: 1})
	}
	for tp, rs := range batches {
		if _, err := c.b.Append(tp, rs); err != nil {
			c.t.Fatal(err)
		}
	}
	c.sent++
}

// settle waits until all that was sent is committed.
func (c *counting) settle() {
	c.t.Helper()
	await(c.t, "the commit of what was sent", func() bool {
		for p := range int32(countedPartitions) {
			tp := record.TopicPartition{Topic: "words", Partition: p}
			r, err := c.b.Range(tp)
			if got, pending := c.b.Committed("counting", tp); err != nil || pending || got[tp].At < r.End {
				return false
			}
		}
		return true
	})
}

// run runs a worker while do does.
func (c *counting) run(do func()) {
	c.t.Helper()
	top, err := c.app().Build()
	if err != nil {
		c.t.Fatal(err)
	}
	tr, err := memory.New(memory.Config{Broker: c.b})
	if err != nil {
		c.t.Fatal(err)
	}
	defer tr.Close()
	s, err := rocksdb.Open(small(c.dir))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	w, err := runtime.New(runtime.Config{Topology: top, Transport: tr, Store: s, Instance: "one", CommitInterval: 10 * time.Millisecond})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	}()
	do()
}

// check compares what the store holds with what was sent.
func (c *counting) check() {
	c.t.Helper()
	s, err := rocksdb.Open(small(c.dir))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	n := 0
	for p := range int32(countedPartitions) {
		r, _, err := s.Open(store.Space{Table: countsSpace.Table, Partition: p}, 1<<60)
		if err != nil {
			c.t.Fatal(err)
		}
		for e, err := range r.Scan(nil, nil) {
			if err != nil {
				c.t.Fatal(err)
			}
			if got := binary.BigEndian.Uint64(e.Value) ^ (1 << 63); got != uint64(c.sent) {
				c.t.Fatalf("%s is counted %d times, want %d", e.Key, got, c.sent)
			}
			n++
		}
	}
	if n != countedWords {
		c.t.Errorf("%d words are counted, want %d", n, countedWords)
	}
}

// A worker over a store of which entries are damaged goes on by itself, also when
// that stops RocksDB for all tables: it is begun anew under the worker, and every
// table, the global one, too, is rebuilt.
func TestDamageUnderAWorker(t *testing.T) {
	t.Parallel()
	c := newCounting(t)
	c.run(func() {
		for range 3 {
			c.send()
		}
		c.settle()
	})
	if err := damageEntries(c.dir); err != nil {
		t.Fatal(err)
	}
	c.run(func() {
		anew := false
		for round := 0; !anew && round < 60; round++ {
			c.send()
			c.settle()
			_, err := os.Stat(c.dir + ".damaged")
			anew = err == nil
		}
		if !anew {
			t.Error("no compaction met the damage")
		}
		c.send()
		c.settle()
	})
	c.check()
}
