package task

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// A farReader counts what it is asked.
type farReader struct {
	mapReader

	gets, calls, keys int
	broken            error
}

func (r *farReader) Get(key, dst []byte) ([]byte, bool, error) {
	r.gets++
	return r.mapReader.Get(key, dst)
}

func (r *farReader) GetMulti(keys [][]byte, got func(i int, value []byte, found bool)) error {
	r.calls++
	r.keys += len(keys)
	for i, k := range keys {
		if r.broken != nil && i == len(keys)/2 {
			return r.broken
		}
		v, found := r.mapReader[string(k)]
		got(i, []byte(v), found)
	}
	return nil
}

// keyer reads and counts up the entry whose key it makes from a record.
type keyer struct {
	table *topology.Table
	key   func(r *record.Record) []byte
}

func (k *keyer) Process(ctx topology.Context, r *record.Record) error {
	key := k.key(r)
	v, _, err := ctx.Get(k.table, key, nil)
	if err != nil {
		return err
	}
	return ctx.Put(k.table, key, fmt.Appendf(v, "%d ", r.Offset))
}

// A failer is a testing.T or a rapid.T.
type failer interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func keyTask(t failer, r store.Reader, w *topology.Window, cache int, key func(r *record.Record) []byte) *Task {
	g := topology.Graph{
		App: "app", Topics: []topology.Topic{{Name: "in"}}, Tables: []topology.Table{{Name: "t", Window: w}},
		Agents: []topology.Agent{{Name: "a", Source: "in", Uses: []string{"t"}}},
	}
	var table *topology.Table
	g.Agents[0].New = func() topology.Processor { return &keyer{table, key} }
	topo, err := topology.Build(g)
	if err != nil {
		t.Fatal(err)
	}
	table = topo.Tables["t"]
	return New(Config{
		Topology: topo, Sub: topo.Subs[0], StreamTime: record.NoTime, CacheBytes: cache,
		Readers: map[string]store.Reader{"t": r}, Partitions: func(string) int32 { return 1 },
	})
}

func runAll(t failer, task *Task) {
	for {
		switch st := task.Step(0); st {
		case Progress:
		case Idle:
			return
		default:
			t.Fatalf("step came to %v: %v", st, task.Fault())
		}
	}
}

func recordKey(r *record.Record) []byte { return r.Key }

// Ten thousand keys are read with a few calls.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	w := &topology.Window{Size: 100, Retain: topology.Forever}
	for name, c := range map[string]struct {
		window *topology.Window
		key    func(r *record.Record) []byte
	}{
		"plain":    {nil, recordKey},
		"windowed": {w, func(r *record.Record) []byte { return topology.WindowKey(w.Start(r.Time), r.Key) }},
	} {
		far := &farReader{mapReader: mapReader{}}
		task := keyTask(t, far, c.window, 64<<20, c.key)
		if err := task.Add(in0, records(10_000, 10_000), 10_000); err != nil {
			t.Fatal(err)
		}
		runAll(t, task)
		if far.gets > 300 || far.calls > 45 || far.keys > 10_000 {
			t.Errorf("%s: 10000 keys took %d Gets and %d GetMultis for %d keys", name, far.gets, far.calls, far.keys)
		}
	}
}

// Keys that cannot be guessed are not read ahead, and those that become so
// soon are not any more.
func TestReadAheadGivesUp(t *testing.T) {
	t.Parallel()
	far := &farReader{mapReader: mapReader{}}
	flip := false
	task := keyTask(t, far, nil, 64<<20, func(r *record.Record) []byte {
		if flip {
			return append([]byte("other "), r.Key...)
		}
		return r.Key
	})
	rs := records(40_000, 40_000)
	add := func(from, to int) {
		if err := task.Add(in0, rs[from:to], int64(to)); err != nil {
			t.Fatal(err)
		}
		runAll(t, task)
	}
	add(0, 2000)
	if far.calls == 0 {
		t.Fatal("nothing was read ahead")
	}
	flip = true
	add(2000, 4000)
	before := far.calls
	add(4000, 40_000)
	if far.calls != before {
		t.Errorf("%d GetMultis for keys that nobody asks for", far.calls-before)
	}
	far = &farReader{mapReader: mapReader{}}
	runAll(t, keyTask(t, far, nil, 0, recordKey))
	if far.calls != 0 {
		t.Error("read ahead without a cache to keep it")
	}
}

// A GetMulti that fails leaves nothing behind, whatever it said before.
func TestReadAheadError(t *testing.T) {
	t.Parallel()
	far := &farReader{mapReader: mapReader{}, broken: errors.New("broken")}
	task := keyTask(t, far, nil, 64<<20, recordKey)
	if err := task.Add(in0, records(3000, 3000), 3000); err != nil {
		t.Fatal(err)
	}
	runAll(t, task)
	if far.gets != 3000 || far.calls == 0 {
		t.Errorf("%d Gets, want 3000; %d GetMultis", far.gets, far.calls)
	}
}

// TestReadAheadChangesNothing compares a task over a far reader with one that
// never reads ahead, over commits and aborts, with the store changing as
// epochs are applied.
func TestReadAheadChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.IntRange(1, 400).Draw(t, "keys")
		cache := rapid.SampledFrom([]int{1000, 30_000, 64 << 20}).Draw(t, "cache")
		far := &farReader{mapReader: mapReader{}}
		near := mapReader{}
		tasks := []*Task{
			keyTask(t, far, nil, cache, recordKey),
			keyTask(t, near, nil, cache, recordKey),
		}
		stores := []mapReader{far.mapReader, near}
		all := records(4000, 4000)
		for i := range all {
			all[i].Key = fmt.Appendf(nil, "%d", (i*7919+i/3)%keys)
		}
		for range rapid.IntRange(1, 4).Draw(t, "epochs") {
			n := rapid.IntRange(1, 500).Draw(t, "records")
			more := rapid.IntRange(0, 400).Draw(t, "records of the next epoch")
			abort := rapid.Bool().Draw(t, "abort")
			for i, task := range tasks {
				advance(t, task, all, n)
				task.Seal()
				advance(t, task, all, more)
				if abort {
					task.Abort()
					continue
				}
				var b store.Batch
				task.Collect(&b, nil, 0)
				applyTo(stores[i], &b)
				advance(t, task, all, 50) // before the task knows that it is applied
				task.Applied()
			}
			if !maps.Equal(stores[0], stores[1]) {
				t.Fatalf("the stores differ: %v and %v", stores[0], stores[1])
			}
		}
	})
}

func advance(t failer, task *Task, all []record.Record, n int) {
	at := task.Next()[in0]
	if err := task.Add(in0, all[at:at+int64(n)], at+int64(n)); err != nil {
		t.Fatal(err)
	}
	runAll(t, task)
}

func applyTo(m mapReader, b *store.Batch) {
	for _, op := range b.Parts()[0].Ops {
		if op.Value == nil {
			delete(m, string(op.Key))
		} else {
			m[string(op.Key)] = string(op.Value)
		}
	}
}
