package task

import (
	"errors"
	"slices"
	"testing"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// contextTask is a task with one agent that runs fn, a table, a windowed table, a
// timer and a global table.
func contextTask(t *testing.T, policy topology.Policy, fn func(topology.Context, *topology.Topology, *record.Record) error) *Task {
	var topo *topology.Topology
	g := topology.Graph{
		App:    "app",
		Topics: []topology.Topic{{Name: "in"}, {Name: "out"}, {Name: "cities"}},
		Tables: []topology.Table{{Name: "own"}, {Name: "city", Source: "cities"}, {Name: "hourly", Window: &topology.Window{Size: 100}}},
		Timers: []topology.Timer{{Name: "bell", Fire: func(topology.Context, []byte) error { return nil }}},
		Agents: []topology.Agent{{
			Name: "agent", Source: "in", Uses: []string{"own", "city", "hourly"}, Sends: []string{"out"}, Sets: []string{"bell"}, Policy: policy,
			New: func() topology.Processor {
				return process(func(ctx topology.Context, r *record.Record) error { return fn(ctx, topo, r) })
			},
		}},
	}
	topo, err := topology.Build(g)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{
		Topology: topo, Sub: topo.Subs[0], Partition: 3, StreamTime: record.NoTime,
		Readers:    map[string]store.Reader{"own": mapReader{}, "hourly": mapReader{}, "bell": mapReader{}, "city": mapReader{"ORD": "Chicago"}},
		Partitions: func(string) int32 { return 5 },
	})
}

type process func(topology.Context, *record.Record) error

func (p process) Process(ctx topology.Context, r *record.Record) error { return p(ctx, r) }

// feed adds records to the task's input and steps until nothing is left to do.
func feed(t *testing.T, task *Task, rs ...record.Record) {
	t.Helper()
	tp := record.TopicPartition{Topic: "in", Partition: 3}
	from := task.Next()[tp]
	for i := range rs {
		rs[i].Topic, rs[i].Partition, rs[i].Offset = "in", 3, from+int64(i)
	}
	if err := task.Add(tp, rs, from+int64(len(rs))); err != nil {
		t.Fatal(err)
	}
	for st := task.Step(0); st != Idle; st = task.Step(0) {
		if st == Stopped || st == Faulted {
			t.Fatalf("stopped: %v %v", task.Stopped(), task.Fault())
		}
	}
}

// A context that was kept works no more.
func TestContextInactive(t *testing.T) {
	t.Parallel()
	var kept topology.Context
	var topo *topology.Topology
	task := contextTask(t, topology.Policy{}, func(ctx topology.Context, to *topology.Topology, _ *record.Record) error {
		kept, topo = ctx, to
		return nil
	})
	feed(t, task, record.Record{Key: []byte("k")})
	own, city, bell := topo.Tables["own"], topo.Tables["city"], topo.Subs[0].Timers[0]
	_, _, getErr := kept.Get(own, nil, nil)
	_, _, globalErr := kept.Get(city, nil, nil)
	_, _, windowErr := kept.Window(topo.Tables["hourly"], 1)
	var scanErrs []error
	for _, table := range []*topology.Table{own, city} {
		for _, err := range kept.Scan(table, nil, nil) {
			scanErrs = append(scanErrs, err)
		}
	}
	errs := append(scanErrs, getErr, globalErr, windowErr, kept.Put(own, nil, []byte{}), kept.Delete(own, nil),
		kept.Send("out", topology.Output{}), kept.SetTimer(bell, nil, 1), kept.CancelTimer(bell, nil))
	if len(errs) != 10 {
		t.Errorf("%d errors, want one for each use", len(errs))
	}
	for i, err := range errs {
		if !errors.Is(err, topology.ErrInactive) {
			t.Errorf("use %d: %v, want ErrInactive", i, err)
		}
	}
	if kept.Agent() != "" {
		t.Errorf("agent %q of a call that is over", kept.Agent())
	}
}

// Random numbers depend on the record alone: a retry draws the same ones.
func TestContextRand(t *testing.T) {
	t.Parallel()
	var drawn [][2]uint64
	fail := true
	task := contextTask(t, topology.Policy{Retries: 1}, func(ctx topology.Context, _ *topology.Topology, _ *record.Record) error {
		drawn = append(drawn, [2]uint64{ctx.Rand(), ctx.Rand()})
		fail = !fail
		if !fail {
			return errors.New("once")
		}
		return nil
	})
	feed(t, task, record.Record{Key: []byte("k")}, record.Record{Key: []byte("k")})
	if len(drawn) != 4 || drawn[0] != drawn[1] || drawn[2] != drawn[3] {
		t.Errorf("attempts drew %v, want the same for each record", drawn)
	}
	if drawn[0] == drawn[2] || drawn[0][0] == drawn[0][1] {
		t.Errorf("drew %v, want others for each record and each draw", drawn)
	}
}

// A key chooses its partition as Kafka's clients do; without one it follows from
// where the record was, so that a second run chooses the same.
func TestContextPartition(t *testing.T) {
	t.Parallel()
	task := contextTask(t, topology.Policy{}, func(ctx topology.Context, _ *topology.Topology, r *record.Record) error {
		return errors.Join(
			ctx.Send("out", topology.Output{Partition: -1, Key: r.Key}),
			ctx.Send("out", topology.Output{Partition: 4, Key: r.Key}))
	})
	feed(t, task, record.Record{Key: []byte("k")}, record.Record{}, record.Record{}, record.Record{Key: []byte{}})
	var got []int32
	for _, r := range task.Seal().Outputs {
		got = append(got, r.Partition)
	}
	want := []int32{record.Partition([]byte("k"), 5), 4, (3 + 1) % 5, 4, (3 + 2) % 5, 4, record.Partition(nil, 5), 4}
	if !slices.Equal(got, want) {
		t.Errorf("partitions %v, want %v", got, want)
	}
}

// A global table is read, with the others, and never written.
func TestContextGlobal(t *testing.T) {
	t.Parallel()
	var city string
	var keys []string
	var writes []error
	task := contextTask(t, topology.Policy{}, func(ctx topology.Context, topo *topology.Topology, _ *record.Record) error {
		global := topo.Tables["city"]
		v, _, err := ctx.Get(global, []byte("ORD"), nil)
		city = string(v)
		for e := range ctx.Scan(global, nil, nil) {
			keys = append(keys, string(e.Key))
		}
		writes = []error{ctx.Put(global, []byte("ORD"), []byte("x")), ctx.Delete(global, []byte("ORD"))}
		return err
	})
	feed(t, task, record.Record{Key: []byte("k")})
	if city != "Chicago" || !slices.Equal(keys, []string{"ORD"}) {
		t.Errorf("city %q, keys %v", city, keys)
	}
	for _, err := range writes {
		if !errors.Is(err, topology.ErrUndeclared) {
			t.Errorf("a write of a global table gives %v", err)
		}
	}
}

// What a task does depends on its input alone: two of them give the same bytes.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	run := func() *Epoch {
		task := contextTask(t, topology.Policy{}, func(ctx topology.Context, topo *topology.Topology, r *record.Record) error {
			for _, k := range []string{"z", string(r.Key), "a"} {
				if err := ctx.Put(topo.Tables["own"], []byte(k), []byte{byte(ctx.Rand())}); err != nil {
					return err
				}
			}
			return ctx.SetTimer(topo.Subs[0].Timers[0], r.Key, ctx.StreamTime()+5)
		})
		var rs []record.Record
		for i := range 50 {
			rs = append(rs, record.Record{Key: []byte{byte('a' + i*7%23)}, Time: int64(i)})
		}
		feed(t, task, rs...)
		return task.Seal()
	}
	x, y := run(), run()
	same := func(a, b record.Record) bool {
		return a.TP() == b.TP() && string(a.Key) == string(b.Key) && string(a.Value) == string(b.Value) && a.Time == b.Time
	}
	if len(x.Changes) == 0 || !slices.EqualFunc(x.Changes, y.Changes, same) {
		t.Errorf("two runs changed %d and %d entries differently", len(x.Changes), len(y.Changes))
	}
}
