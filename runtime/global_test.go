package runtime

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/stores/memory"
)

// dims is a topic of two partitions with a global table over it.
var dims = [2]record.TopicPartition{{Topic: "dims", Partition: 0}, {Topic: "dims", Partition: 1}}

// globalLog is a topic as a global table sees it: a transport with offsets and
// a fetcher that gives one record of each partition at a poll.
type globalLog struct {
	Transport // everything else is not called

	rows  map[record.TopicPartition][]record.Record
	start map[record.TopicPartition]int64
	at    map[record.TopicPartition]int64
	polls int
	// fail ends a poll with an error behind the records of partition 0.
	fail map[int]error
	// empty is called when there is nothing left to read.
	empty func()
	// timed batches say when they were read, and that there was nothing before.
	timed  bool
	before time.Time
	// idle says that there was nothing to read, where there was nothing.
	idle bool
}

func newGlobalLog() *globalLog {
	return &globalLog{rows: make(map[record.TopicPartition][]record.Record), start: make(map[record.TopicPartition]int64), fail: make(map[int]error), empty: func() {}}
}

func (l *globalLog) put(tp record.TopicPartition, key, value string) {
	l.rows[tp] = append(l.rows[tp], record.Record{Topic: tp.Topic, Partition: tp.Partition, Offset: int64(len(l.rows[tp])), Key: []byte(key), Value: []byte(value)})
}

func (l *globalLog) Offsets(context.Context, []record.TopicPartition) (map[record.TopicPartition]LogRange, error) {
	ranges := make(map[record.TopicPartition]LogRange)
	for _, tp := range dims {
		ranges[tp] = LogRange{Start: l.start[tp], End: int64(len(l.rows[tp]))}
	}
	return ranges, nil
}

// Fetcher returns the log itself as one.
func (l *globalLog) Fetcher(FetchConfig) (Fetcher, error) { return globalReader{l}, nil }

// A globalReader is the log as a fetcher.
type globalReader struct{ *globalLog }

func (r globalReader) Set(at map[record.TopicPartition]int64) { r.at = maps.Clone(at) }
func (r globalReader) Remove([]record.TopicPartition)         {}
func (r globalReader) Pause([]record.TopicPartition)          {}
func (r globalReader) Resume([]record.TopicPartition)         {}
func (r globalReader) Close()                                 {}

func (l *globalLog) take(tp record.TopicPartition) (b Batch, ok bool) {
	at := l.at[tp]
	switch {
	case at < l.start[tp]:
		return Batch{TP: tp, Err: ErrOffsetOutOfRange}, true
	case at >= int64(len(l.rows[tp])):
		now := time.Now()
		return Batch{TP: tp, Next: at, Read: now, Before: now, Whole: now}, l.idle
	}
	l.at[tp]++
	b = Batch{TP: tp, Records: l.rows[tp][at : at+1], Next: at + 1}
	if l.timed {
		b.Read, b.Before = time.Now(), l.before
	}
	return b, true
}

func (l globalReader) Poll(context.Context, int) (bs []Batch) {
	l.polls++
	for i, tp := range dims {
		if err := l.fail[l.polls]; err != nil && i == 1 {
			return append(bs, Batch{TP: tp, Err: err})
		}
		if b, ok := l.take(tp); ok {
			bs = append(bs, b)
		}
	}
	if len(bs) == 0 {
		l.empty()
	}
	return bs
}

// failingStore refuses some calls of Apply.
type failingStore struct {
	store.Store

	applies int
	refuse  map[int]error
}

func (s *failingStore) Apply(b *store.Batch) error {
	if s.applies++; s.refuse[s.applies] != nil {
		return s.refuse[s.applies]
	}
	return s.Store.Apply(b)
}

// follow opens the table of a log, reads until nothing is left, and returns
// what the table holds.
func (l *globalLog) follow(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	cfg := &Config{Store: s, Transport: l, Logger: slog.New(slog.DiscardHandler), Topology: &topology.Topology{}}
	g := &globals{cfg: cfg, gen: store.Generation(nowMillis())}
	gt, err := g.open(t.Context(), &topology.Table{Name: "dims", Source: "dims"}, 2, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.empty = cancel
	f := globalReader{l}
	f.Set(gt.next)
	g.followOn(ctx, gt, f)
	rows := make(map[string]string)
	for e, err := range gt.reader.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		rows[string(e.Key)] = string(e.Value)
	}
	return rows
}

// What was read when the store or the topic failed is read again: no row of a
// global table is lost, and its position never says more than it holds.
func TestGlobalTableLosesNothing(t *testing.T) {
	t.Parallel()
	errBroken := errors.New("broken")
	for name, breakIt := range map[string]func(*globalLog, *failingStore){
		"well":          func(*globalLog, *failingStore) {},
		"store refuses": func(_ *globalLog, s *failingStore) { s.refuse[2] = errBroken },
		"topic fails":   func(l *globalLog, _ *failingStore) { l.fail[2] = errBroken },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, s := newGlobalLog(), &failingStore{Store: memory.New(), refuse: make(map[int]error)}
			want := make(map[string]string)
			for _, k := range []string{"a", "b", "c", "d"} {
				l.put(dims[0], k, "0")
				l.put(dims[1], k+k, "1")
				want[k], want[k+k] = "0", "1"
			}
			breakIt(l, s)
			synctest.Test(t, func(t *testing.T) {
				if got := l.follow(t, s); !maps.Equal(got, want) {
					t.Errorf("the table holds %v, want %v", got, want)
				}
			})
		})
	}
}

// A topic that loses records under the table is read on from its new start at
// once; the rows that went with them go at the next start.
func TestGlobalTableForgetsWhatWasCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, globalTableCutOff)
}

func globalTableCutOff(t *testing.T) {
	t.Helper()
	l, s := newGlobalLog(), memory.New()
	l.put(dims[0], "old", "0")
	l.put(dims[0], "new", "0")
	l.put(dims[1], "other", "1")
	cut := func() { l.start[dims[0]] = 3 }
	l.put(dims[0], "gone", "0")
	l.put(dims[0], "later", "0")
	cfg := &Config{Store: s, Transport: l, Logger: slog.New(slog.DiscardHandler)}
	g := &globals{cfg: cfg, gen: store.Generation(nowMillis())}
	gt, err := g.open(t.Context(), &topology.Table{Name: "dims", Source: "dims"}, 2, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	f := globalReader{l}
	f.Set(gt.next)
	if err := g.follow(t.Context(), gt, f, func() bool { return l.polls == 0 }); err != nil {
		t.Fatal(err)
	}
	cut()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.empty = cancel
	g.followOn(ctx, gt, f)
	for k, want := range map[string]bool{"old": true, "later": true, "gone": false} {
		if _, found, err := gt.reader.Get([]byte(k), nil); err != nil || found != want {
			t.Errorf("after the cut %q is there: %v, %v", k, found, err)
		}
	}
	if got, want := l.follow(t, s), map[string]string{"later": "0", "other": "1"}; !maps.Equal(got, want) {
		t.Errorf("after a restart the table holds %v, want %v", got, want)
	}
}
