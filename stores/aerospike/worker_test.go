package aerospike

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/aerospike/asfake"
	"github.com/weirstream/weir/transports/memory"
)

const wordPartitions = 4

// counting counts words.
func counting() *weir.App {
	app := weir.NewApp("counting")
	in := weir.NewTopic[string, int64](app, "words")
	counts := weir.NewTable[string, int64](app, "counts")
	weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, ev weir.Event[string, int64]) error {
		return counts.Update(ctx, ev.Key, func(n int64) int64 { return n + 1 })
	}, weir.Uses(counts))
	return app
}

// A job is the counting application on a broker in memory and a fake server.
type job struct {
	t      *testing.T
	broker *memory.Broker
	srv    *asfake.Server
	clock  *clock
	log    *lines
	keys   int
	sent   int
	want   map[string]int64
	stop   func()
}

func newJob(t *testing.T, keys int) *job {
	t.Helper()
	j := &job{t: t, broker: memory.NewBroker(), clock: &clock{now: time.Unix(1_700_000_000, 0)}, log: &lines{}, keys: keys, want: make(map[string]int64)}
	j.srv = startFake(t, asfake.Options{Now: j.clock.time})
	if err := j.broker.CreateTopic("words", runtime.TopicSpec{Partitions: wordPartitions, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	return j
}

// start starts a worker on a store of its own.
func (j *job) start(instance string) {
	j.t.Helper()
	top, err := counting().Build()
	if err != nil {
		j.t.Fatal(err)
	}
	tr, err := memory.New(memory.Config{Broker: j.broker})
	if err != nil {
		j.t.Fatal(err)
	}
	cfg := config(j.srv.Addr())
	cfg.RetryFor, cfg.Timeout = 200*time.Millisecond, time.Second
	s := openStore(j.t, cfg)
	w, err := runtime.New(runtime.Config{
		Topology: top, Transport: tr, Store: s, Instance: instance, Lanes: 2, CommitInterval: 20 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(j.log, nil)),
	})
	if err != nil {
		j.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	j.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			j.t.Errorf("the worker ended with %v", err)
		}
		closeStore(j.t, s)
		if err := tr.Close(); err != nil {
			j.t.Errorf("closing the transport: %v", err)
		}
	})
	j.t.Cleanup(j.stop)
}

// send appends n words.
func (j *job) send(n int) {
	j.t.Helper()
	batches := make(map[record.TopicPartition][]record.Record)
	for range n {
		key := fmt.Sprintf("word-%d", j.sent%j.keys)
		j.sent++
		j.want[key]++
		tp := record.TopicPartition{Topic: "words", Partition: record.Partition([]byte(key), wordPartitions)}
		batches[tp] = append(batches[tp], record.Record{Key: []byte(key), Value: make([]byte, 8), Time: int64(j.sent)})
	}
	for tp, rs := range batches {
		if _, err := j.broker.Append(tp, rs); err != nil {
			j.t.Fatal(err)
		}
	}
}

// settle waits until all input is committed.
func (j *job) settle() {
	j.t.Helper()
	eventually(j.t, "all input is committed", func() bool {
		for p := range int32(wordPartitions) {
			tp := record.TopicPartition{Topic: "words", Partition: p}
			r, err := j.broker.Range(tp)
			if err != nil {
				j.t.Fatal(err)
			}
			if got, pending := j.broker.Committed("counting", tp); pending || got[tp].At < r.End {
				return false
			}
		}
		return true
	})
}

// verify compares the changelog with a plain count, and what the server holds
// with the changelog up to the position that it holds.
func (j *job) verify() {
	j.t.Helper()
	changes := make(map[string]int64)
	s := openStore(j.t, config(j.srv.Addr()))
	for p := range int32(wordPartitions) {
		f, err := j.broker.Fetch(record.TopicPartition{Topic: "counting-counts-changelog", Partition: p}, 0, 0)
		if err != nil {
			j.t.Fatal(err)
		}
		r, pos, err := s.Open(store.Space{Table: "counts", Partition: p}, 1<<62)
		if err != nil {
			j.t.Fatal(err)
		}
		want, held := make(map[string]int64), make(map[string]int64)
		for _, r := range f.Records {
			changes[string(r.Key)] = number(r.Value)
			if r.Offset < pos.Changelog {
				want[string(r.Key)] = number(r.Value)
			}
		}
		for e, err := range r.Scan(nil, nil) {
			if err != nil {
				j.t.Fatal(err)
			}
			held[string(e.Key)] = number(e.Value)
		}
		if !maps.Equal(held, want) || len(held) == 0 {
			j.t.Errorf("at position %d the server holds %v\nwant %v", pos.Changelog, held, want)
		}
	}
	if !maps.Equal(changes, j.want) {
		j.t.Errorf("the changelog says %v\nwant %v", changes, j.want)
	}
	closeStore(j.t, s)
}

func number(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

// lines is a log to look into.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// TestTableSurvivesTheServer loses what the server acknowledged under a worker
// that runs: the last second of it, some of it, and all of it. The changelog
// supplies what is missing, and the worker goes on by itself.
func TestTableSurvivesTheServer(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	some := func(asfake.Lost) bool { return r.IntN(2) == 0 }
	j := newJob(t, 50)
	j.start("one")
	for round, harm := range []func(){
		func() { j.srv.Restart(asfake.Restart{Lose: time.Second}) },
		func() { j.srv.Restart(asfake.Restart{Lose: time.Second, Keep: some}) },
		func() { j.srv.Restart(asfake.Restart{Lose: time.Second, Keep: some}) },
		j.srv.Wipe,
		func() { j.srv.Restart(asfake.Restart{}) },
		func() { j.srv.Restart(asfake.Restart{Lose: time.Second, Keep: some}) },
	} {
		j.send(500)
		j.settle()
		j.clock.advance(10 * time.Second)
		j.send(500)
		j.settle()
		harm()
		j.send(500)
		j.settle()
		if n := j.log.count("task stopped"); n > 0 {
			t.Fatalf("after loss %d %d tasks stopped", round, n)
		}
	}
	j.stop()
	// A loss that nothing has read or written since is found by the next
	// owner.
	j.start("two")
	j.send(500)
	j.settle()
	j.stop()
	if n := j.log.count("rebuilding a space"); n < wordPartitions {
		t.Errorf("%d rebuilds: the losses did no harm", n)
	}
	j.verify()
}

// TestServerAwayFromWorker stops the server for longer than calls are tried
// again, with records to process and batches on their way: the worker waits
// and goes on by itself.
func TestServerAwayFromWorker(t *testing.T) {
	t.Parallel()
	j := newJob(t, 50)
	j.start("one")
	for i := range 3 {
		j.send(300)
		j.settle()
		j.srv.Down(true)
		j.send(300)
		eventually(t, "the worker waits for the store", func() bool { return j.log.count("cannot be reached") > i*wordPartitions })
		j.srv.Down(false)
		j.settle()
	}
	if n := j.log.count("task stopped"); n > 0 {
		t.Errorf("%d tasks stopped", n)
	}
	j.stop()
	j.verify()
}

// TestOverloadedServer refuses all writes for longer than they are tried again:
// the worker holds back and goes on by itself, and reads nothing that is wrong.
func TestOverloadedServer(t *testing.T) {
	t.Parallel()
	j := newJob(t, 50)
	j.start("one")
	for i := range 3 {
		j.send(300)
		j.settle()
		well := j.srv.Inject(asfake.Fault{Code: asfake.DeviceOverload, When: func(q asfake.Request) bool { return q.Write }})
		j.send(300)
		eventually(t, "the worker waits for the store", func() bool {
			return j.log.count("cannot be reached")+j.log.count("failed during a restore") > i*wordPartitions
		})
		well()
		j.settle()
	}
	if n := j.log.count("task stopped"); n > 0 {
		t.Errorf("%d tasks stopped", n)
	}
	j.stop()
	j.verify()
}

// TestClockBehindTheLastOwner opens tasks that a worker with a clock ahead of ours
// had before: the worker goes on once its clock is there.
func TestClockBehindTheLastOwner(t *testing.T) {
	t.Parallel()
	j := newJob(t, 50)
	ahead := openStore(t, config(j.srv.Addr()))
	for p := range int32(wordPartitions) {
		gen := store.Generation(time.Now().Add(500 * time.Millisecond).UnixMilli())
		if _, _, err := ahead.Open(store.Space{Table: "counts", Partition: p}, gen); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, ahead)
	j.send(300)
	j.start("one")
	j.settle()
	if n := j.log.count("leaving the group to join it anew"); n == 0 {
		t.Error("the clock of the last owner was not ahead")
	}
	j.stop()
	j.verify()
}

// TestCallsOfAWorker counts what a record costs: keys are read ahead many in a
// call and written many in a call, so that the way to the server is paid for
// each commit and not for each key.
func TestCallsOfAWorker(t *testing.T) {
	t.Parallel()
	j := newJob(t, 5000)
	j.send(20_000)
	j.srv.Inject(asfake.Fault{Delay: time.Millisecond})
	began := time.Now()
	j.start("one")
	j.settle()
	took := time.Since(began)
	j.stop()
	n := j.srv.Stats().Requests
	t.Logf("%d records with %d keys took %d calls of 1 ms each and %s: %.0f records a call, %.0f records/s", j.sent, j.keys, n, took.Round(time.Millisecond),
		float64(j.sent)/float64(n), float64(j.sent)/took.Seconds())
	if n > j.sent/20 {
		t.Errorf("%d records took %d calls, want at most one for 20 records", j.sent, n)
	}
	j.verify()
}
