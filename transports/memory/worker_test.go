package memory

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
)

// counting counts words, tells each count, and sums behind a repartition.
func counting(t *testing.T) *weir.App {
	t.Helper()
	app := weir.NewApp("counting")
	in := weir.NewTopic[string, int64](app, "words")
	out := weir.NewTopic[string, int64](app, "counted")
	counts := weir.NewTable[string, int64](app, "counts")
	sums := weir.NewTable[int64, int64](app, "sums")
	weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, ev weir.Event[string, int64]) error {
		var n int64
		err := counts.Update(ctx, ev.Key, func(c int64) int64 { n = c + 1; return n })
		if err != nil {
			return err
		}
		return out.Send(ctx, ev.Key, n)
	}, weir.Uses(counts), weir.Sends(out))
	weir.EachEvent(weir.GroupBy(in.Stream(), "by-digit", func(v int64) int64 { return v % 10 }), "sum",
		func(ctx weir.Context, ev weir.Event[int64, int64]) error {
			return sums.Update(ctx, ev.Key, func(s int64) int64 { return s + ev.Value })
		}, weir.Uses(sums))
	return app
}

func number(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)^(1<<63)) }

// A cluster is the production runtime on a broker whose producers fail at
// random.
type cluster struct {
	t    *testing.T
	b    *Broker
	sent int64
	end  []func()
	// counts[word] and sums[digit] are what a plain pass finds.
	counts map[string]int64
	sums   map[int64]int64

	mu     sync.Mutex
	r      *rand.Rand
	faults map[string]int
}

func newCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := &cluster{t: t, b: NewBroker(), r: rand.New(rand.NewPCG(seed, 0)), faults: make(map[string]int), counts: make(map[string]int64), sums: make(map[int64]int64)}
	for _, name := range []string{"words", "counted"} {
		must(t, c.b.CreateTopic(name, runtime.TopicSpec{Partitions: 4, Replicas: 1}))
	}
	c.b.Fail(func(op Op) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.r.IntN(25) > 0 {
			return nil
		}
		c.faults[fmt.Sprint(op.Step, op.Done)]++
		return errBroken
	})
	return c
}

func (c *cluster) send(n int) {
	c.t.Helper()
	for range n {
		v := c.sent
		c.sent++
		key := "word-" + strconv.FormatInt(v%37, 10)
		c.counts[key]++
		c.sums[v%10] += v
		r := record.Record{Key: []byte(key), Value: number(v), Time: v}
		_, err := c.b.Append(record.TopicPartition{Topic: "words", Partition: record.Partition(r.Key, 4)}, []record.Record{r})
		must(c.t, err)
	}
}

// start starts a worker and returns what stops it.
func (c *cluster) start(instance string) (stop func()) {
	c.t.Helper()
	top, err := counting(c.t).Build()
	must(c.t, err)
	tr := connect(c.t, c.b)
	w, err := runtime.New(runtime.Config{
		Topology: top, Transport: tr, Store: memory.New(), Instance: instance, Lanes: 2,
		Logger: slog.New(slog.DiscardHandler),
	})
	must(c.t, err)
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		must(c.t, <-ended)
		must(c.t, tr.Close())
	})
	c.end = append(c.end, stop)
	return stop
}

// settle waits until all input is committed.
func (c *cluster) settle() {
	c.t.Helper()
	late := time.After(time.Hour) // of virtual time
	for {
		c.b.mu.Lock()
		changed := c.b.wait()
		c.b.mu.Unlock()
		if c.lag() == 0 {
			return
		}
		select {
		case <-changed:
		case <-late:
			c.t.Fatalf("the application did not catch up: lag %d, group %+v, open %v, faults %v",
				c.lag(), c.b.Group("counting"), c.b.OpenTxns(), c.faults)
		}
	}
}

func (c *cluster) lag() int64 {
	var lag int64
	for _, topic := range []string{"words", "counting-by-digit-repartition"} {
		if c.b.Partitions(topic) == 0 {
			return -1
		}
		for p := range c.b.Partitions(topic) {
			tp := record.TopicPartition{Topic: topic, Partition: p}
			r, err := c.b.Range(tp)
			must(c.t, err)
			got, pending := c.b.Committed("counting", tp)
			if lag += r.End - got[tp].At; pending {
				lag++
			}
		}
	}
	return lag
}

// committed reads all that readers of committed records get of a topic.
func (c *cluster) committed(topic string) []record.Record {
	c.t.Helper()
	var rs []record.Record
	for p := range c.b.Partitions(topic) {
		f, err := c.b.Fetch(record.TopicPartition{Topic: topic, Partition: p}, 0, 0)
		must(c.t, err)
		rs = append(rs, f.Records...)
	}
	return rs
}

// verify compares with the plain pass: tables, and every output once.
func (c *cluster) verify() {
	c.t.Helper()
	counts, sums := make(map[string]int64), make(map[int64]int64)
	for _, r := range c.committed("counting-counts-changelog") {
		counts[string(r.Key)] = int64(binary.BigEndian.Uint64(r.Value) ^ 1<<63)
	}
	for _, r := range c.committed("counting-sums-changelog") {
		sums[int64(binary.BigEndian.Uint64(r.Key)^1<<63)] = int64(binary.BigEndian.Uint64(r.Value) ^ 1<<63)
	}
	if !maps.Equal(counts, c.counts) {
		c.t.Errorf("counts %v\nwant %v", counts, c.counts)
	}
	if !maps.Equal(sums, c.sums) {
		c.t.Errorf("sums %v\nwant %v", sums, c.sums)
	}
	told := make(map[string][]int64)
	for _, r := range c.committed("counted") {
		told[string(r.Key)] = append(told[string(r.Key)], int64(binary.BigEndian.Uint64(r.Value)^1<<63))
	}
	for key, n := range c.counts {
		want := make([]int64, n)
		for i := range want {
			want[i] = int64(i + 1)
		}
		if !slices.Equal(told[key], want) {
			c.t.Errorf("%s was told %v; want 1 to %d", key, told[key], n)
		}
	}
}

// TestWorkersWithFailingProducers runs the production runtime, exactly once,
// in virtual time: workers come and go, members are expelled, and any step of
// a commit may fail before or after its effect.
func TestWorkersWithFailingProducers(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	faults := make(map[string]int) // of all seeds
	t.Cleanup(func() {             // after the seeds
		// Which step a fault meets depends on the order of goroutines.
		if len(faults) < 8 {
			t.Errorf("faults %v: too few kinds to mean anything", faults)
		}
	})
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, seed)
				c.comeAndGo()
				mu.Lock()
				defer mu.Unlock()
				for kind, n := range c.faults {
					faults[kind] += n
				}
			})
		})
	}
}

// comeAndGo lets workers come and go while input comes, and verifies.
func (c *cluster) comeAndGo() {
	t := c.t
	t.Helper()
	defer func() {
		for _, stop := range c.end {
			stop()
		}
	}()
	c.send(500)
	stop := c.start("a")
	c.send(500)
	c.settle()
	c.start("b")
	c.send(500)
	synctest.Wait()
	for _, id := range c.b.Group("counting").Members {
		c.send(100)
		must(t, c.b.Expel(id))
	}
	c.send(500)
	c.settle()
	stop()
	c.send(500)
	c.settle()
	c.start("a")
	c.send(500)
	c.settle()
	c.verify()
}
