package runtime

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
	"github.com/weirstream/weir/stores/memory"
)

// keptFor is how long deletions stay in the logs of these tests.
const keptFor = 10 * time.Second

// A slowLog is a changelog that compaction has been at: of what it held at
// offsets 0 to 5, the deletion of a at 2 is gone, and so is a itself. Each poll
// takes as long as it says.
type slowLog struct {
	Transport // everything else is not called

	tp    record.TopicPartition
	takes []time.Duration
	at    int64 // of 6
	sets  []int64
}

func (l *slowLog) Offsets(context.Context, []record.TopicPartition) (map[record.TopicPartition]LogRange, error) {
	return map[record.TopicPartition]LogRange{l.tp: {Start: 0, End: 6}}, nil
}

func (l *slowLog) Fetcher(FetchConfig) (Fetcher, error) {
	l.at = 6
	return slowReader{l}, nil
}

type slowReader struct{ *slowLog }

func (r slowReader) Set(at map[record.TopicPartition]int64) {
	r.at = at[r.tp]
	r.sets = append(r.sets, r.at)
}
func (r slowReader) Remove([]record.TopicPartition) {}
func (r slowReader) Pause([]record.TopicPartition)  {}
func (r slowReader) Resume([]record.TopicPartition) {}
func (r slowReader) Close()                         {}

func (r slowReader) Poll(ctx context.Context, _ int) []Batch {
	if r.at == 6 {
		<-ctx.Done()
		return nil
	}
	time.Sleep(r.takes[0]) //nolint:forbidigo // of virtual time
	r.takes = r.takes[1:]
	var bs []Batch // one for each record, as a fetcher has that received several answers
	for _, rec := range []record.Record{{Offset: 1, Key: []byte("b"), Value: []byte("1")}, {Offset: 3, Key: []byte("d"), Value: []byte("1")}, {Offset: 5, Key: []byte("e"), Value: []byte("1")}} {
		if rec.Offset >= r.at {
			bs = append(bs, Batch{TP: r.tp, Records: []record.Record{rec}, Next: rec.Offset + 1, Read: time.Now()})
		}
	}
	r.at = 6
	return bs
}

// A restore that takes longer than deletions are kept begins anew: what it has not
// read yet may lack some, of entries that the space has.
func TestRestoreThatTakesTooLong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes []time.Duration
		sets  []int64
		want  map[string]string
	}{
		"in time":        {[]time.Duration{5 * time.Second}, []int64{2}, map[string]string{"a": "1", "b": "1", "d": "1", "e": "1"}},
		"too long":       {[]time.Duration{6 * time.Second, 0}, []int64{2, 0}, map[string]string{"b": "1", "d": "1", "e": "1"}},
		"too long twice": {[]time.Duration{6 * time.Second, 11 * time.Second, time.Second}, []int64{2, 0, 0}, map[string]string{"b": "1", "d": "1", "e": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if got, sets := restoreSlowly(t, c.takes); !maps.Equal(got, c.want) {
					t.Errorf("restored %v, want %v", got, c.want)
				} else if len(sets) != len(c.sets) || sets[len(sets)-1] != c.sets[len(sets)-1] {
					t.Errorf("read from %v, want from %v", sets, c.sets)
				}
			})
		})
	}
}

// restoreSlowly restores a space that was complete five seconds ago, with a and b
// in it, and has four offsets to go.
func restoreSlowly(t *testing.T, takes []time.Duration) (rows map[string]string, sets []int64) {
	t.Helper()
	sp := store.Space{Table: "counts"}
	st := memory.New()
	r, _, err := st.Open(sp, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	p := b.Part(sp, 1)
	p.Put([]byte("a"), []byte("1"))
	p.Put([]byte("b"), []byte("1"))
	p.Position = store.Position{Changelog: 2, At: nowMillis() - (keptFor / 2).Milliseconds(), Exists: true}
	if err := st.Apply(&b); err != nil {
		t.Fatal(err)
	}
	l := &slowLog{tp: record.TopicPartition{Topic: "app-counts-changelog"}, takes: takes}
	s := &session{cfg: &Config{Store: st, Transport: l}, log: slog.New(slog.DiscardHandler), restores: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx
	defer s.services.Wait()
	defer cancel()
	plan := changelog.NewPlan(changelog.Log{Space: sp, TP: l.tp, End: 6, Position: p.Position, Now: nowMillis(), TombstoneRetention: keptFor.Milliseconds()})
	if ev := s.restore(t.Context(), worker.Restore{Task: task.ID{Sub: "words"}, Generation: 1, Plans: []changelog.Plan{plan}}); ev.Err != nil {
		t.Fatal(ev.Err)
	}
	return content(t, r), l.sets
}

func content(t *testing.T, r store.Reader) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		rows[string(e.Key)] = string(e.Value)
	}
	return rows
}

// openDims opens the table over a log, as a worker that starts does.
func openDims(t *testing.T, l *globalLog, st store.Store) (*globals, *globalTable) {
	t.Helper()
	g := newGlobals(&Config{Store: st, Transport: l, Logger: slog.New(slog.DiscardHandler)})
	gt, err := g.open(t.Context(), &topology.Table{Name: "dims", Source: "dims"}, 2, keptFor.Milliseconds(), false)
	if err != nil {
		t.Fatal(err)
	}
	return g, gt
}

// A global table that did not see its topic for longer than deletions are kept is
// rebuilt, with nobody reading it; so is one whose worker was away for so long.
func TestGlobalTableThatMayLackDeletions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away    time.Duration
		before  bool // it had seen that there was nothing before
		restart bool
		rebuilt bool
	}{
		"in time":             {keptFor, false, false, false},
		"too late":            {keptFor + time.Second, false, false, true},
		"nothing to see":      {keptFor + time.Second, true, false, false},
		"restarted in time":   {keptFor, false, true, false},
		"restarted too late":  {keptFor + time.Second, false, true, true},
		"restarted after all": {24 * time.Hour, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, st := newGlobalLog(), memory.New()
				l.timed = true
				l.put(dims[0], "a", "0")
				l.put(dims[1], "b", "1")
				g, gt := openDims(t, l, st)
				f := globalReader{l}
				f.Set(gt.next)
				if err := g.follow(t.Context(), gt, f, gt.behind); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.away) //nolint:forbidigo // of virtual time
				if c.before {
					l.before = time.Now()
				}
				l.put(dims[0], "c", "0")
				if c.restart {
					if _, gt = openDims(t, l, st); c.rebuilt != (len(content(t, gt.reader)) == 0) {
						t.Errorf("after a restart it begins with %v; to be rebuilt: %t", content(t, gt.reader), c.rebuilt)
					}
					return
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				l.empty = cancel
				g.followOn(ctx, gt, f)
				select {
				case damage := <-g.damaged:
					if !c.rebuilt || damage.table != "dims" {
						t.Errorf("table %s is rebuilt: %v", damage.table, damage)
					}
				default:
					if c.rebuilt || len(content(t, gt.reader)) != 3 {
						t.Errorf("it goes on, with %v", content(t, gt.reader))
					}
				}
			})
		})
	}
}

// A partition that nothing is written to does not make the table old.
func TestGlobalTableWithASilentPartition(t *testing.T) {
	t.Parallel()
	for _, idle := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, st := newGlobalLog(), memory.New()
			l.timed, l.idle = true, idle
			l.put(dims[0], "a", "0")
			l.put(dims[1], "b", "1")
			g, gt := openDims(t, l, st)
			f := globalReader{l}
			f.Set(gt.next)
			if err := g.follow(t.Context(), gt, f, gt.behind); err != nil {
				t.Fatal(err)
			}
			for i := range 30 {
				time.Sleep(time.Second) //nolint:forbidigo // of virtual time
				l.before = time.Now()
				l.put(dims[0], "c", string(rune('a'+i)))
				polls := 0
				if err := g.follow(t.Context(), gt, f, func() bool { polls++; return polls == 1 }); err != nil {
					t.Fatal(err)
				}
			}
			l.put(dims[0], "c", "new")
			if _, gt = openDims(t, l, st); idle != (len(content(t, gt.reader)) == 3) {
				t.Errorf("idle batches: %t; after a restart it begins with %v", idle, content(t, gt.reader))
			}
		})
	}
}
