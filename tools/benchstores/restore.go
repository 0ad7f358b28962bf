package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
)

const (
	largeApp    = "restored"
	smallApp    = "restored-small"
	memoryInput = "memory-in"
	recordBytes = 16 + 100
)

func inputOf(app string) string { return app + "-in" }
func logOf(app string) string   { return app + "-counts-changelog" }

// restored is the application whose table a store restores, and its size:
// stores that are not on local disk get a tenth.
func (o options) restored() (app string, entries int) {
	if plainLoop(o.store) {
		return largeApp, o.entries
	}
	return smallApp, o.entries / 10
}

// loadTopics writes the changelog of the table that is restored and the input
// of the keyed count.
func loadTopics(ctx context.Context, o options) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.brokers), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(100_000), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	compact := "compact"
	for _, topic := range []string{inputOf(largeApp), inputOf(smallApp), memoryInput, logOf(largeApp), logOf(smallApp)} {
		var config map[string]*string
		if topic == logOf(largeApp) || topic == logOf(smallApp) {
			config = map[string]*string{"cleanup.policy": &compact}
		}
		if r, err := adm.CreateTopic(ctx, partitions, 1, config, topic); err != nil || r.Err != nil {
			return fmt.Errorf("creating %s: %w, %w", topic, err, r.Err)
		}
	}
	var failed atomic.Pointer[error]
	send := func(topic string, i int, key, value []byte) {
		cl.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	fmt.Fprintf(os.Stderr, "loading a changelog of %d records and an input of %d\n", o.entries, o.keys)
	for i := range o.entries {
		value := make([]byte, 100)
		binary.BigEndian.PutUint64(value, uint64(i)*0x2545f4914f6cdd1d)
		send(logOf(largeApp), i, opKey(nil, i), value)
		if i < o.entries/10 {
			send(logOf(smallApp), i, opKey(nil, i), value)
		}
	}
	for i := range o.keys {
		key := make([]byte, 100)
		copy(key, opKey(nil, i))
		send(memoryInput, i, key, key)
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// measurePlain consumes the changelog and puts each record.
func measurePlain(ctx context.Context, o options) (f figures, err error) {
	dir, err := os.MkdirTemp("", "benchstores")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := all()[o.store].plain(dir, o.storeMemory())
	if err != nil {
		return f, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.brokers), kgo.ConsumeTopics(logOf(largeApp)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return f, err
	}
	defer cl.Close()
	m := newMeter()
	n, shown := 0, 0
	for n < o.entries {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return f, err
		}
		fs.EachRecord(func(r *kgo.Record) {
			if e := db.Put(r.Key, r.Value); e != nil {
				err = e
			}
		})
		if err != nil {
			return f, err
		}
		n += fs.NumRecords()
		shown = show("plain loop", n, o.entries, shown)
	}
	f = m.read(n, int64(n)*recordBytes)
	return f, db.Close()
}

// show prints progress at each tenth.
func show(what string, n, of, shown int) int {
	if tenth := n * 10 / max(of, 1); tenth > shown {
		fmt.Fprintf(os.Stderr, "  %s: %d of %d records, %d%%\n", what, n, of, n*100/of)
		return tenth
	}
	return shown
}

// countApp counts records by key.
func countApp(name, topic string) *weir.App {
	app := weir.NewApp(name)
	in := weir.NewTopic[[]byte, []byte](app, topic)
	counts := weir.NewTable[[]byte, int64](app, "counts")
	add := func(n int64) int64 { return n + 1 }
	weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, ev weir.Event[[]byte, []byte]) error {
		return counts.Update(ctx, ev.Key, add)
	}, weir.Uses(counts))
	return app
}

// work runs a worker over a store until done is closed.
func work(ctx context.Context, o options, app *weir.App, s store.Store, done <-chan struct{}, change func(*runtime.Config)) error {
	top, err := app.Build()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tr, err := kafka.New(kafka.Config{Brokers: []string{o.brokers}, Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = tr.Close() }()
	cfg := runtime.Config{
		Topology: top, Transport: tr, Store: s, Instance: fmt.Sprintf("bench-%d", os.Getpid()), Logger: log,
		MemoryBytes: o.memory<<20 - int(o.storeMemory()),
	}
	if o.store != "memory" { // as the command of applications does
		offHeap := int(o.storeMemory())
		if store.InHeap(s) {
			offHeap = 0
		}
		runtime.LimitMemory(o.memory<<20, offHeap)
	}
	change(&cfg)
	w, err := runtime.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	select {
	case <-done:
		cancel()
		return <-ran
	case err := <-ran:
		return fmt.Errorf("the worker ended early: %w", err)
	}
}

// measureRestore runs a worker whose table is only in its changelog.
func measureRestore(ctx context.Context, o options) (f figures, err error) {
	s, remove, err := openStore(o)
	if err != nil {
		return f, err
	}
	defer remove()
	done := make(chan struct{})
	var mu sync.Mutex
	at := make(map[store.Space]runtime.RestoreProgress)
	shown := 0
	app, entries := o.restored()
	m := newMeter()
	err = work(ctx, o, countApp(app, inputOf(app)), s, done, func(c *runtime.Config) {
		c.OnRestore = func(p runtime.RestoreProgress) {
			mu.Lock()
			defer mu.Unlock()
			at[p.Space] = p
			n, complete := 0, 0
			for _, p := range at {
				n += int(p.Records)
				if p.Done {
					complete++
				}
			}
			shown = show("restore", n, entries, shown)
			if complete == partitions && f.Records == 0 {
				f = m.read(n, int64(n)*recordBytes)
				close(done)
			}
		}
	})
	if err == nil && f.Records != entries {
		err = fmt.Errorf("%d records were restored, want %d", f.Records, entries)
	}
	return f, err
}
