package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
	"github.com/weirstream/weir/stores/pebble"
	"github.com/weirstream/weir/transports/kafka"
)

// measure runs one case in this process.
func measure(ctx context.Context, o options) (figures, error) {
	c, err := parseCase(o.child)
	if err != nil {
		return figures{}, err
	}
	if c.kind == rawConsume {
		return measureRaw(ctx, o, c)
	}
	return measureCount(ctx, o, c)
}

// A meter measures from its making.
type meter struct {
	wall time.Time
	cpu  time.Duration
}

func newMeter() meter { return meter{time.Now(), cpuTime()} }

func (m meter) read(records, commits int) figures {
	return figures{Records: records, Wall: time.Since(m.wall), CPU: cpuTime() - m.cpu, Commits: commits, RSS: maxRSS()}
}

func usage() syscall.Rusage {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u
}

func cpuTime() time.Duration {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// maxRSS is the peak of resident memory. Rusage would count the parent's
// memory at the time of the fork, so it is only the fallback.
func maxRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			var kib int64
			if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
				return kib << 10
			}
		}
	}
	u := usage()
	return u.Maxrss << 10
}

// measureRaw reads the topic with franz-go and does nothing with it.
func measureRaw(ctx context.Context, o options, c benchCase) (figures, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.brokers), kgo.ConsumeTopics(topicOf(c.keys)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return figures{}, err
	}
	defer cl.Close()
	m := newMeter()
	n := 0
	for n < o.records {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return figures{}, err
		}
		n += fs.NumRecords()
	}
	return m.read(n, 0), nil
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

// measureCount runs the keyed count until every record is committed.
func measureCount(ctx context.Context, o options, c benchCase) (figures, error) {
	name := fmt.Sprintf("bench-%d", os.Getpid())
	top, err := countApp(name, topicOf(c.keys)).Build()
	if err != nil {
		return figures{}, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tr, err := kafka.New(kafka.Config{Brokers: []string{o.brokers}, Logger: log})
	if err != nil {
		return figures{}, err
	}
	defer func() { _ = tr.Close() }()
	st, done, err := openStore(c.store)
	if err != nil {
		return figures{}, err
	}
	defer done()
	progress := &progress{want: int64(o.records), at: make(map[int32]int64), done: make(chan struct{})}
	w, err := runtime.New(runtime.Config{
		Topology: top, Transport: tr, Store: st, Instance: "bench", Guarantee: c.guarantee,
		Logger: log, OnHistory: progress.note,
	})
	if err != nil {
		return figures{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	m := newMeter()
	go func() { ran <- w.Run(ctx) }()
	select {
	case <-progress.done:
	case err := <-ran:
		return figures{}, fmt.Errorf("the worker ended early: %w", err)
	}
	f := m.read(o.records, progress.commits)
	cancel()
	err = <-ran
	_ = tr.DeleteTopic(context.WithoutCancel(ctx), name+"-counts-changelog")
	return f, err
}

func openStore(kind string) (store.Store, func(), error) {
	switch kind {
	case "memory":
		return memory.New(), func() {}, nil
	case "pebble":
		dir, err := os.MkdirTemp("", "weir-bench-store")
		if err != nil {
			return nil, nil, err
		}
		st, err := pebble.Open(pebble.Config{Dir: dir})
		return st, func() { _ = st.Close(); _ = os.RemoveAll(dir) }, err
	}
	return nil, nil, fmt.Errorf("store %q is not known: use memory or pebble", kind)
}
