package weir_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// A fake is a topology.Context over maps, for one call at a time.
type fake struct {
	context.Context
	rec        *record.Record
	now        int64
	streamTime int64
	agent      string
	random     uint64
	tables     map[string]map[string]*[]byte
	timers     map[string]int64
	sent       []sent
	late       int
	broken     error // what every access to a table fails with, when set
}

type sent struct {
	topic string
	topology.Output
}

var _ topology.Context = (*fake)(nil)

func newFake() *fake {
	return &fake{Context: context.Background(), streamTime: record.NoTime, tables: map[string]map[string]*[]byte{}, timers: map[string]int64{}}
}

func (f *fake) Record() *record.Record { return f.rec }
func (f *fake) Task() string           { return "sub/3" }
func (f *fake) Partition() int32       { return 3 }
func (f *fake) Now() int64             { return f.now }
func (f *fake) StreamTime() int64      { return f.streamTime }
func (f *fake) Agent() string          { return f.agent }
func (f *fake) Rand() uint64           { f.random++; return f.random }

func (f *fake) table(name string) map[string]*[]byte {
	if f.tables[name] == nil {
		f.tables[name] = map[string]*[]byte{}
	}
	return f.tables[name]
}

func (f *fake) Get(table *topology.Table, key, dst []byte) ([]byte, bool, error) {
	if f.broken != nil {
		return dst, false, f.broken
	}
	v, ok := f.table(table.Name)[string(key)]
	if !ok {
		return dst, false, nil
	}
	return append(dst, *v...), true, nil
}

func (f *fake) Put(table *topology.Table, key, value []byte) error {
	switch {
	case f.broken != nil:
		return f.broken
	case value == nil:
		return errors.New("nil value")
	}
	t := f.table(table.Name)
	if old, ok := t[string(key)]; ok {
		*old = append((*old)[:0], value...)
		return nil
	}
	v := slices.Clone(value)
	t[string(key)] = &v
	return nil
}

func (f *fake) Delete(table *topology.Table, key []byte) error {
	delete(f.table(table.Name), string(key))
	return f.broken
}

func (f *fake) Scan(table *topology.Table, from, to []byte) iter.Seq2[topology.Entry, error] {
	return func(yield func(topology.Entry, error) bool) {
		if f.broken != nil {
			yield(topology.Entry{}, f.broken)
			return
		}
		t := f.table(table.Name)
		for _, k := range slices.Sorted(maps.Keys(t)) {
			if k >= string(from) && (to == nil || k < string(to)) && !yield(topology.Entry{Key: []byte(k), Value: *t[k]}, nil) {
				return
			}
		}
	}
}

func (f *fake) Window(table *topology.Table, t int64) (int64, bool, error) {
	start := table.Window.Start(t)
	open := f.streamTime < table.Window.CloseAt(start)
	if !open {
		f.late++
	}
	return start, open, f.broken
}

func (f *fake) Send(topic string, out topology.Output) error {
	out.Key, out.Value = slices.Clone(out.Key), slices.Clone(out.Value)
	out.Headers = slices.Clone(out.Headers)
	f.sent = append(f.sent, sent{topic, out})
	return nil
}

func (f *fake) SetTimer(timer *topology.Timer, key []byte, at int64) error {
	f.timers[timer.Name+"/"+string(key)] = at
	return nil
}

func (f *fake) CancelTimer(timer *topology.Timer, key []byte) error {
	delete(f.timers, timer.Name+"/"+string(key))
	return nil
}

// sends lists what was sent, one record on a line.
func (f *fake) sends() string {
	var b strings.Builder
	for _, s := range f.sent {
		fmt.Fprintf(&b, "%s %s=%s @%d\n", s.topic, text(s.Key), text(s.Value), s.Time)
	}
	return b.String()
}

func text(b []byte) string {
	if b == nil {
		return "null"
	}
	return string(b)
}

// An agent is one agent of a built application on a fake.
type agent struct {
	t    *testing.T
	spec *topology.Agent
	proc topology.Processor
	*fake
}

// start builds the application and starts one of its agents.
func start(t *testing.T, app *weir.App, name string) *agent {
	t.Helper()
	top, err := app.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range top.Subs {
		for _, a := range s.Agents {
			if a.Name == name {
				ag := &agent{t, a, a.New(), newFake()}
				ag.agent = name
				return ag
			}
		}
	}
	t.Fatalf("no agent %q", name)
	return nil
}

// process hands a record over: a nil-able key and value as *string.
func (a *agent) process(key, value string, at int64) error {
	return a.record(&record.Record{Key: []byte(key), Value: []byte(value), Time: at})
}

func (a *agent) record(r *record.Record) error {
	if r.Topic == "" {
		r.Topic, r.Partition, r.Offset = a.spec.Source, 3, 42
	}
	a.rec = r
	a.streamTime = max(a.streamTime, r.Time)
	return a.proc.Process(a.fake, r)
}

// must processes records "key=value" at times 1, 2, ….
func (a *agent) must(records ...string) {
	a.t.Helper()
	for i, kv := range records {
		k, v, _ := strings.Cut(kv, "=")
		if err := a.process(k, v, int64(i+1)); err != nil {
			a.t.Fatalf("record %q: %v", kv, err)
		}
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
