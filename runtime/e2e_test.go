package runtime_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	goruntime "runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
	"github.com/weirstream/weir/transports/kafka"
)

const partitions = 4

// words counts words, passes each on with its count, and counts them again by
// their first letter behind a repartition.
func words(name string) *weir.App {
	app := weir.NewApp(name)
	in := weir.NewTopic[string, int64](app, "words")
	out := weir.NewTopic[string, int64](app, "counted")
	sums := weir.NewTable[string, int64](app, "sums")
	letters := weir.NewTable[int64, int64](app, "remainders")
	weir.EachEvent(in.Stream(), "sum", func(ctx weir.Context, ev weir.Event[string, int64]) error {
		var sum int64
		err := sums.Update(ctx, ev.Key, func(n int64) int64 { sum = n + ev.Value; return sum })
		if err != nil {
			return err
		}
		return out.Send(ctx, ev.Key, sum)
	}, weir.Uses(sums), weir.Sends(out))
	byRemainder := weir.GroupBy(in.Stream(), "by-remainder", func(v int64) int64 { return v % 10 })
	weir.EachEvent(byRemainder, "count", func(ctx weir.Context, ev weir.Event[int64, int64]) error {
		return letters.Update(ctx, ev.Key, func(n int64) int64 { return n + 1 })
	}, weir.Uses(letters))
	return app
}

// A cluster is a fake broker with an application on it.
type cluster struct {
	t      *testing.T
	addr   string
	dir    string
	fake   *kfake.Cluster
	client *kgo.Client
	admin  *kadm.Client
	sent   []int64
	log    *slog.Logger
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	fake := startBroker(t, dir, 0)
	c := &cluster{t: t, addr: fake.ListenAddrs()[0], dir: dir, fake: fake}
	t.Cleanup(func() { c.fake.Close() })
	level := slog.LevelError + 4
	if os.Getenv("WEIR_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	c.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	var err error
	c.client, err = kgo.NewClient(kgo.SeedBrokers(c.addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	c.admin = kadm.NewClient(c.client)
	for _, topic := range []string{"words", "counted"} {
		if r, err := c.admin.CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
	}
	return c
}

// startBroker starts the fake broker on its data.
func startBroker(t *testing.T, dir string, port int) *kfake.Cluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return fake
}

// send writes n records.
func (c *cluster) send(n int) {
	c.t.Helper()
	values := make([]int64, n)
	for i := range values {
		values[i] = int64(len(c.sent) + i)
	}
	c.write(values...)
}

// write writes records with the given values: their keys are one of 37.
func (c *cluster) write(values ...int64) {
	c.t.Helper()
	var rs []*kgo.Record
	for _, v := range values {
		c.sent = append(c.sent, v)
		rs = append(rs, &kgo.Record{Topic: "words", Key: []byte(fmt.Sprintf("key-%d", v%37)), Value: encoded(v)})
	}
	if err := c.client.ProduceSync(c.t.Context(), rs...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// A member is one worker of the application.
type member struct {
	stop  context.CancelFunc
	ended chan error
	net   *network
	store store.Store
	w     *runtime.Worker
}

// A network is the connections of one worker, which can be cut.
type network struct {
	mu     sync.Mutex
	conns  []net.Conn
	failed int
	cut    bool
}

func (n *network) dial(ctx context.Context, netw, addr string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return nil, fmt.Errorf("the network is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, netw, addr)
	if err != nil {
		n.failed++
		return nil, err
	}
	n.conns = append(n.conns, conn)
	return conn, nil
}

// refused counts the connections that could not be made.
func (n *network) refused() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

func (n *network) sever() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = true
	for _, c := range n.conns {
		_ = c.Close()
	}
}

func (c *cluster) start(instance string, st store.Store, g runtime.Guarantee) *member {
	c.t.Helper()
	return c.startApp(words("words-app"), instance, st, g)
}

func (c *cluster) startApp(app *weir.App, instance string, st store.Store, g runtime.Guarantee) *member {
	c.t.Helper()
	return c.startWith(app, instance, st, func(cfg *runtime.Config) { cfg.Guarantee = g })
}

func (c *cluster) startWith(app *weir.App, instance string, st store.Store, configure func(*runtime.Config)) *member {
	c.t.Helper()
	top, err := app.Build()
	if err != nil {
		c.t.Fatal(err)
	}
	m := &member{ended: make(chan error, 1), net: &network{}, store: st}
	tr, err := kafka.New(kafka.Config{Brokers: []string{c.addr}, Logger: c.log.With("instance", instance), Dialer: m.net.dial})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := runtime.Config{
		Topology: top, Transport: tr, Store: st, Instance: instance, Logger: c.log.With("instance", instance),
		Session: 2 * time.Second, Heartbeat: 200 * time.Millisecond, Rebalance: 10 * time.Second, CommitInterval: 20 * time.Millisecond, ShutdownTimeout: 2 * time.Second, CommitTimeout: 5 * time.Second,
	}
	configure(&cfg)
	w, err := runtime.New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	m.w = w
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	go func() {
		err := w.Run(ctx)
		_ = tr.Close()
		m.ended <- err
	}()
	c.t.Cleanup(func() { cancel(); <-m.ended })
	return m
}

// leave stops a member in good order.
func (c *cluster) leave(m *member) {
	c.t.Helper()
	m.stop()
	err := <-m.ended
	if err != nil {
		c.t.Error(err)
	}
	m.ended <- nil
}

// settle waits until all input is committed.
func (c *cluster) settle() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	for {
		if lag := c.lag(ctx); lag == 0 {
			return
		}
		if ctx.Err() != nil {
			c.t.Fatal("the application did not catch up within a minute")
		}
	}
}

func (c *cluster) lag(ctx context.Context) int64 {
	lags, err := c.admin.Lag(ctx, "words-app")
	if err != nil {
		return -1
	}
	offsets, err := c.admin.FetchOffsets(ctx, "words-app")
	if err != nil {
		return -1
	}
	_ = lags
	ends, err := c.admin.ListCommittedOffsets(ctx, "words", "words-app-by-remainder-repartition")
	if err != nil || ends.Error() != nil {
		return -1
	}
	var lag int64
	ends.Each(func(o kadm.ListedOffset) {
		at := int64(0)
		if c, ok := offsets.Lookup(o.Topic, o.Partition); ok {
			at = c.At
		}
		lag += max(o.Offset-at, 0)
	})
	return lag
}

// read returns all committed records of a topic.
func (c *cluster) read(topic string) []*kgo.Record {
	c.t.Helper()
	ends, err := c.admin.ListEndOffsets(c.t.Context(), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	at := make(map[int32]int64)
	done := func() bool {
		ok := true
		ends.Each(func(o kadm.ListedOffset) { ok = ok && at[o.Partition] >= o.Offset })
		return ok
	}
	for !done() {
		fs := cl.PollFetches(c.t.Context())
		if err := fs.Err(); err != nil {
			c.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				rs = append(rs, r)
			}
		})
	}
	return rs
}

func encoded(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)^(1<<63)) }

func number(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ (1 << 63)) }

// table folds a changelog.
func (c *cluster) table(name string) map[string]int64 {
	m := make(map[string]int64)
	for _, r := range c.read("words-app-" + name + "-changelog") {
		m[string(r.Key)] = number(r.Value)
	}
	return m
}

// verify compares tables and outputs with a plain pass over what was sent.
func (c *cluster) verify(exactly bool) {
	c.t.Helper()
	sums, counts, outputs := make(map[string]int64), make(map[string]int64), make(map[string]map[int64]int)
	for _, v := range c.sent {
		key := fmt.Sprintf("key-%d", v%37)
		sums[key] += v
		counts[string(binary.BigEndian.AppendUint64(nil, uint64(v%10)^(1<<63)))]++
		if outputs[key] == nil {
			outputs[key] = make(map[int64]int)
		}
		outputs[key][sums[key]]++
	}
	gotSums, gotCounts := c.table("sums"), c.table("remainders")
	if !exactly {
		for k, v := range sums {
			if gotSums[k] < v {
				c.t.Errorf("sum of %s is %d, want at least %d", k, gotSums[k], v)
			}
		}
		return
	}
	if !maps.Equal(sums, gotSums) {
		c.t.Errorf("sums differ:\n%v\n%v", gotSums, sums)
	}
	if !maps.Equal(counts, gotCounts) {
		c.t.Errorf("counts differ:\n%v\n%v", gotCounts, counts)
	}
	got := make(map[string]map[int64]int)
	for _, r := range c.read("counted") {
		if got[string(r.Key)] == nil {
			got[string(r.Key)] = make(map[int64]int)
		}
		got[string(r.Key)][number(r.Value)]++
	}
	for k, want := range outputs {
		if !maps.Equal(want, got[k]) {
			c.t.Errorf("outputs of %s differ: %d values, want %d", k, len(got[k]), len(want))
		}
	}
}

func TestOneWorker(t *testing.T) {
	t.Parallel()
	for _, g := range []runtime.Guarantee{runtime.ExactlyOnce, runtime.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.send(5000)
			m := c.start("a", memory.New(), g)
			c.settle()
			c.send(5000)
			c.settle()
			c.leave(m)
			c.verify(true)
		})
	}
}

func TestRestartWithAndWithoutState(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	st := memory.New()
	for i := range 4 {
		c.send(2000)
		if i == 2 {
			st = memory.New()
		}
		m := c.start("a", st, runtime.ExactlyOnce)
		c.settle()
		c.leave(m)
	}
	c.verify(true)
}

func TestWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.send(3000)
	a := c.start("a", memory.New(), runtime.ExactlyOnce)
	c.send(3000)
	b := c.start("b", memory.New(), runtime.ExactlyOnce)
	c.send(3000)
	c.settle()
	c.leave(a)
	c.send(3000)
	c.settle()
	a = c.start("a", memory.New(), runtime.ExactlyOnce)
	c.send(3000)
	c.settle()
	c.leave(b)
	c.send(1000)
	c.settle()
	c.leave(a)
	c.verify(true)
}

func TestCutOffWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.send(3000)
	a := c.start("a", memory.New(), runtime.ExactlyOnce)
	c.settle()
	c.send(2000)
	a.net.sever()
	a.stop()
	c.send(2000)
	b := c.start("a", memory.New(), runtime.ExactlyOnce)
	c.settle()
	c.leave(b)
	c.verify(true)
}

func TestBrokerGoneAndBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.send(3000)
	m := c.start("a", memory.New(), runtime.ExactlyOnce)
	c.settle()
	_, text, err := net.SplitHostPort(c.addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.send(500)
		c.fake.Close()
		// Longer than the session timeout: the worker must join anew.
		waitUntil(t, func() bool { return m.net.refused() > 3 })
		c.fake = startBroker(t, c.dir, port)
		c.send(500)
		c.settle()
	}
	c.leave(m)
	c.verify(true)
}

// waitUntil waits for a condition.
func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("what was waited for did not happen within a minute")
		}
		goruntime.Gosched()
	}
}
