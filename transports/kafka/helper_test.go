package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// world is a fake cluster and a transport to it.
type world struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // bounds the test
	cluster *kfake.Cluster
	*Transport
}

func newWorld(t *testing.T, topics map[string]int32, opts ...kfake.Opt) *world {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)
	for name, n := range topics {
		opts = append(opts, kfake.SeedTopics(n, name))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, cluster: cluster}
	w.Transport = w.connect(Config{})
	return w
}

// connect returns another transport to the cluster.
func (w *world) connect(cfg Config) *Transport {
	w.t.Helper()
	if cfg.Brokers == nil {
		cfg.Brokers = w.cluster.ListenAddrs()
	}
	cfg.Dialer = loopback(cfg.Dialer)
	if cfg.FetchWait == 0 {
		cfg.FetchWait = 20 * time.Millisecond
	}
	tr, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return tr
}

// create creates a topic.
func (w *world) create(name string, spec runtime.TopicSpec) {
	w.t.Helper()
	created, err := w.CreateTopics(w.ctx, map[string]runtime.TopicSpec{name: spec})
	if err != nil || !slices.Equal(created, []string{name}) {
		w.t.Fatalf("creating %s: %v, %v", name, created, err)
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// loopback refuses to leave the machine.
func loopback(dial dialFunc) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" && host != "localhost" {
			return nil, fmt.Errorf("tests dial this machine only, not %s", address)
		}
		return dial(ctx, network, address)
	}
}

func tp(topic string, p int32) record.TopicPartition {
	return record.TopicPartition{Topic: topic, Partition: p}
}

// raw is a client of its own to put things into topics.
func (w *world) raw(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.Dialer(loopback(nil)),
	}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

// put produces values to a partition, each in a batch of its own.
func (w *world) put(cl *kgo.Client, at record.TopicPartition, values ...string) {
	w.t.Helper()
	for _, v := range values {
		rec := &kgo.Record{Topic: at.Topic, Partition: at.Partition, Key: []byte("k" + v), Value: []byte(v)}
		if err := cl.ProduceSync(w.ctx, rec).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// transaction puts values in a transaction and ends it.
func (w *world) transaction(cl *kgo.Client, at record.TopicPartition, end kgo.TransactionEndTry, values ...string) {
	w.t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	w.put(cl, at, values...)
	if err := cl.EndTransaction(w.ctx, end); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fetcher(cfg runtime.FetchConfig) runtime.Fetcher {
	w.t.Helper()
	f, err := w.Fetcher(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(f.Close)
	return f
}

func (w *world) producer(id string) runtime.Producer {
	w.t.Helper()
	p, err := w.Producer(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p
}

// end is the high watermark of a partition.
func (w *world) end(at record.TopicPartition) int64 {
	w.t.Helper()
	ranges, err := w.Offsets(w.ctx, []record.TopicPartition{at})
	if err != nil {
		w.t.Fatal(err)
	}
	return ranges[at].End
}

// read reads one partition from an offset until Next reaches the target, and
// checks what every batch promises on the way.
func (w *world) read(f runtime.Fetcher, at record.TopicPartition, from, target int64) []string {
	w.t.Helper()
	f.Set(map[record.TopicPartition]int64{at: from})
	values := []string{}
	for next := from; next < target; {
		batches := f.Poll(w.ctx, 0)
		if w.ctx.Err() != nil {
			w.t.Fatalf("%v stands at %d, not at %d", at, next, target)
		}
		for _, b := range batches {
			if b.Err != nil || b.TP != at {
				w.t.Fatalf("batch of %v: %v", b.TP, b.Err)
			}
			for _, r := range b.Records {
				if r.Offset < next || r.Offset >= b.Next {
					w.t.Fatalf("offset %d is not within %d and %d", r.Offset, next, b.Next)
				}
				next = r.Offset + 1
				values = append(values, string(r.Value))
			}
			if b.Next < next || b.HighWatermark < b.Next {
				w.t.Fatalf("next %d after %d with high watermark %d", b.Next, next, b.HighWatermark)
			}
			next = b.Next
		}
	}
	return values
}

// committed reads all there is, read committed.
func (w *world) committed(at record.TopicPartition) []string {
	w.t.Helper()
	f := w.fetcher(runtime.FetchConfig{FromLog: true})
	defer f.Close()
	return w.read(f, at, 0, w.end(at))
}

func records(at record.TopicPartition, values ...string) []record.Record {
	var recs []record.Record
	for _, v := range values {
		recs = append(recs, record.Record{Topic: at.Topic, Partition: at.Partition, Time: 1234, Key: []byte("k"), Value: []byte(v)})
	}
	return recs
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// roundRobin gives partitions to members in turn, and to their owners first
// as long as these do not have too many.
type roundRobin struct{ data string }

func (roundRobin) Name() string       { return "test" }
func (r roundRobin) UserData() []byte { return []byte(r.data) }
func (roundRobin) Assign(members map[string]runtime.Member, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	ids := slices.Sorted(maps.Keys(members))
	total := 0
	owner := map[record.TopicPartition]string{}
	for _, n := range partitions {
		total += int(n)
	}
	most := (total + len(ids) - 1) / len(ids)
	out := map[string][]record.TopicPartition{}
	for _, id := range ids {
		if !strings.HasPrefix(string(members[id].UserData), "member") {
			return nil, fmt.Errorf("member %s has user data %q", id, members[id].UserData)
		}
		for _, p := range members[id].Owned {
			if len(out[id]) < most {
				owner[p] = id
				out[id] = append(out[id], p)
			}
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		for p := range partitions[topic] {
			if owner[tp(topic, p)] != "" {
				continue
			}
			least := slices.MinFunc(ids, func(a, b string) int { return len(out[a]) - len(out[b]) })
			out[least] = append(out[least], tp(topic, p))
		}
	}
	return out, nil
}

// listener records what it hears; cond waits for it.
type listener struct {
	mu      sync.Mutex
	changed *sync.Cond
	owned   map[record.TopicPartition]bool
	lost    int
	calls   int
	session int64
	// revoke runs inside Revoked, with the partitions still owned.
	revoke func(ctx context.Context, parts []record.TopicPartition)
}

func newListener() *listener {
	l := &listener{owned: map[record.TopicPartition]bool{}}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *listener) Assigned(session int64, parts []record.TopicPartition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if session <= l.session {
		panic(fmt.Sprintf("session %d after %d", session, l.session))
	}
	l.session = session
	l.calls++
	for _, p := range parts {
		l.owned[p] = true
	}
	l.changed.Broadcast()
}

func (l *listener) Revoked(ctx context.Context, parts []record.TopicPartition) {
	if l.revoke != nil {
		l.revoke(ctx, parts)
	}
	l.drop(parts, 0)
}

func (l *listener) Lost(parts []record.TopicPartition) { l.drop(parts, 1) }

func (l *listener) drop(parts []record.TopicPartition, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.lost += lost
	for _, p := range parts {
		delete(l.owned, p)
	}
	l.changed.Broadcast()
}

// wait waits until fn holds, under the lock.
func (l *listener) wait(w *world, what string, fn func() bool) {
	w.t.Helper()
	stop := context.AfterFunc(w.ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !fn() {
		if w.ctx.Err() != nil {
			w.t.Fatalf("no %s: owned %v, lost %d", what, l.owned, l.lost)
		}
		l.changed.Wait()
	}
}

func (w *world) join(tr *Transport, l *listener, group string, topics ...string) *group {
	w.t.Helper()
	return w.joinWith(tr, l, runtime.GroupConfig{
		Group: group, Topics: topics, Assignor: roundRobin{"member"},
		Session: 10 * time.Second, Rebalance: 20 * time.Second, Heartbeat: 50 * time.Millisecond,
	})
}

func (w *world) joinWith(tr *Transport, l runtime.Listener, cfg runtime.GroupConfig) *group {
	w.t.Helper()
	g, err := tr.Join(w.ctx, cfg, l)
	if err != nil {
		w.t.Fatal(err)
	}
	return g.(*group) //nolint:forcetypeassert // the only one there is
}

// logged collects log messages.
type logged struct {
	mu    sync.Mutex
	lines []string
	seen  chan struct{}
}

func newLogged() *logged { return &logged{seen: make(chan struct{}, 1)} }

func (l *logged) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logged) WithGroup(string) slog.Handler                    { return l }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	l.lines = append(l.lines, r.Level.String()+" "+r.Message)
	l.mu.Unlock()
	signal(l.seen)
	return nil
}

func (l *logged) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// wait waits until a line contains a text.
func (l *logged) wait(w *world, text string) {
	w.t.Helper()
	for !slices.ContainsFunc(l.all(), func(s string) bool { return strings.Contains(s, text) }) {
		select {
		case <-l.seen:
		case <-w.ctx.Done():
			w.t.Fatalf("no log line with %q in %q", text, l.all())
		}
	}
}
