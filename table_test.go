package weir_test

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// with runs fn in an agent that uses the tables, for a record at a time.
func with(t *testing.T, app *weir.App, at int64, fn func(ctx weir.Context) error, tables ...weir.TableRef) *agent {
	t.Helper()
	in := weir.NewTopic[string, string](app, "in")
	weir.Each(in.Stream(), "agent", func(ctx weir.Context, _ string) error { return fn(ctx) }, weir.Uses(tables...))
	a := start(t, app, "agent")
	if err := a.process("k", "v", at); err != nil {
		t.Fatal(err)
	}
	return a
}

// must returns the value of a call that must not fail.
func must[V any](t *testing.T) func(v V, err error) V {
	return func(v V, err error) V {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

func collect[K, V any](t *testing.T, seq iter.Seq2[weir.Entry[K, V], error]) string {
	t.Helper()
	var b strings.Builder
	for e, err := range seq {
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&b, "%v=%v ", e.Key, e.Value)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	counts := weir.NewTable[int, int](app, "counts", weir.Default(10), weir.Store("memory"))
	lists := weir.NewTable[string, []string](app, "lists", weir.DefaultFunc(func() []string { return []string{"new"} }))
	get := must[int](t)
	a := with(t, app, 1, func(ctx weir.Context) error {
		equal(t, "default", get(counts.Get(ctx, 1)), 10)
		if _, found, err := counts.Lookup(ctx, 1); found || err != nil {
			t.Errorf("Get stored the default: %v, %v", found, err)
		}
		inc := func(n int) int { return n + 1 }
		err := errors.Join(
			counts.Update(ctx, 1, inc), counts.Update(ctx, 1, inc), counts.Set(ctx, -5, 0),
			counts.Set(ctx, 300, 3), counts.Set(ctx, 2, 2), counts.Delete(ctx, 2), counts.Delete(ctx, 99),
			lists.Update(ctx, "l", func(l []string) []string { return append(l, "x") }),
		)
		equal(t, "updated", get(counts.Get(ctx, 1)), 12)
		equal(t, "zero is not absent", get(counts.Get(ctx, -5)), 0)
		equal(t, "all", collect(t, counts.All(ctx)), "-5=0 1=12 300=3 ")
		equal(t, "range", collect(t, counts.Range(ctx, -5, 300)), "-5=0 1=12 ")
		equal(t, "lists", collect(t, lists.All(ctx)), "l=[new x] ")
		for range counts.All(ctx) {
			break // an iteration may end early
		}
		return err
	}, counts, lists)
	equal(t, "store", app.Graph().Tables[0].Store, "memory")
	equal(t, "entries", len(a.tables["counts"]), 3)
}

// The function of Update may use tables, this one too.
func TestUpdateNests(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	table := weir.NewTable[string, int](app, "table")
	with(t, app, 1, func(ctx weir.Context) error {
		err := table.Update(ctx, "outer", func(n int) int {
			if err := table.Update(ctx, "inner", func(m int) int { return m + 2 }); err != nil {
				t.Error(err)
			}
			return n + 1
		})
		equal(t, "all", collect(t, table.All(ctx)), "inner=2 outer=1 ")
		return err
	}, table)
}

func TestTableErrors(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	table := weir.NewTable[int, int](app, "table", weir.KeyCodec(decimal{}), weir.ValueCodec(decimal{}))
	var a *agent
	a = with(t, app, 1, func(ctx weir.Context) error {
		for _, err := range []error{
			table.Set(ctx, -1, 0), table.Set(ctx, 0, -1), table.Delete(ctx, -1),
			table.Update(ctx, -1, func(n int) int { return n }),
			table.Update(ctx, 1, func(int) int { return -1 }),
		} {
			if !errors.Is(err, weir.ErrEncode) || !strings.Contains(err.Error(), `for table "table": is negative`) {
				t.Errorf("error is %v", err)
			}
		}
		for _, err := range table.Range(ctx, 0, -1) {
			if !errors.Is(err, weir.ErrEncode) {
				t.Errorf("error is %v", err)
			}
		}
		return nil
	}, table)
	for key, value := range map[string]string{"bad": "1", "1": "bad"} {
		clear(a.table("table"))
		_ = a.Put(&topology.Table{Name: "table"}, []byte(key), []byte(value))
		seen := 0
		err := processing(a, func(ctx weir.Context) error {
			for _, err := range table.All(ctx) {
				seen++
				if !errors.Is(err, weir.ErrDecode) || !strings.Contains(err.Error(), `in table "table"`) {
					t.Errorf("error is %v", err)
				}
			}
			_, _, err := table.Lookup(ctx, 1)
			return err
		})
		equal(t, "steps of the iteration", seen, 1)
		equal(t, "lookup failed", err != nil, value == "bad")
	}
}

// processing runs fn as the agent, once.
func processing(a *agent, fn func(ctx weir.Context) error) error {
	app := weir.NewApp("other")
	in := weir.NewTopic[string, string](app, "in")
	weir.Each(in.Stream(), "agent", func(ctx weir.Context, _ string) error { return fn(ctx) })
	return app.Graph().Agents[0].New().Process(a.fake, &record.Record{Value: []byte("v")})
}

func TestWindowedTable(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	hourly := weir.NewWindowedTable[string, int](app, "hourly", weir.Tumbling(time.Hour),
		weir.Grace(time.Minute), weir.Default(100), weir.Late("late"))
	hour := time.Hour.Milliseconds()
	at := time.UnixMilli(5*hour + 7).UTC()
	get := must[int](t)
	inc := func(n int) int { return n + 1 }
	a := with(t, app, at.UnixMilli(), func(ctx weir.Context) error {
		err := errors.Join(
			hourly.Update(ctx, "b", inc),
			hourly.Update(ctx, "b", inc),
			hourly.Set(ctx, "a", 1),
			hourly.UpdateAt(ctx, "a", at.Add(time.Hour), inc),
			hourly.SetAt(ctx, "z", at.Add(time.Hour), 5),
			hourly.Set(ctx, "gone", 1),
			hourly.Delete(ctx, "gone"),
			// All of these are late and change nothing.
			hourly.SetAt(ctx, "a", at.Add(-2*time.Hour), 9),
			hourly.UpdateAt(ctx, "a", at.Add(-2*time.Hour), func(int) int { t.Error("called for a late record"); return 0 }),
		)
		equal(t, "get", get(hourly.Get(ctx, "b")), 102)
		equal(t, "get at", get(hourly.GetAt(ctx, "b", at.Add(time.Hour))), 100)
		equal(t, "get at", get(hourly.GetAt(ctx, "a", at.Add(time.Hour))), 101)
		if _, found, _ := hourly.LookupAt(ctx, "a", at.Add(-2*time.Hour)); found {
			t.Error("a late write was stored")
		}
		w := hourly.WindowAt(at)
		equal(t, "window", w, weir.Window{Start: at.Truncate(time.Hour), End: at.Truncate(time.Hour).Add(time.Hour)})
		equal(t, "range", collect(t, hourly.RangeWindow(ctx, w)), "a=1 b=102 ")
		equal(t, "next", collect(t, hourly.RangeWindow(ctx, hourly.WindowAt(at.Add(time.Hour)))), "a=101 z=5 ")
		return err
	}, hourly)
	equal(t, "late", a.late, 2)
	if _, ok := a.tables["hourly"][string(topology.WindowKey(5*hour, []byte("b")))]; !ok {
		t.Error("storage keys do not start with the window")
	}
	spec := app.Graph().Tables[0]
	equal(t, "window", *spec.Window, topology.Window{Size: hour, Grace: 60_000, Retain: 24 * hour})
}

func TestOnClose(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	out := weir.NewTopic[string, string](app, "out")
	total := weir.NewTable[string, int](app, "total")
	w := weir.NewWindowedTable[string, int](app, "w", weir.Tumbling(time.Minute), weir.RetainForever(),
		weir.OnClose(func(ctx weir.Context, w weir.Window, k string, v int) error {
			if v < 0 {
				return errors.New("negative")
			}
			return errors.Join(
				total.Update(ctx, k, func(n int) int { return n + v }),
				out.Send(ctx, weir.Key[string](ctx), w.Start.Format(time.TimeOnly)+"-"+w.End.Format(time.TimeOnly)))
		}), weir.Uses(total), weir.Sends(out), weir.OnError(weir.Retry(1, 0, 0).Then(weir.DeadLetter("dead"))))
	a := with(t, app, 1, func(ctx weir.Context) error { return nil }, w)

	top, err := app.Build()
	if err != nil {
		t.Fatal(err)
	}
	spec := top.Tables["w"]
	equal(t, "sends", strings.Join(top.Sub("in").Sends, " "), "dead out")
	equal(t, "retain", spec.Window.Retain, topology.Forever)
	equal(t, "policy", spec.Policy, topology.Policy{Retries: 1, Final: topology.DeadLetter, Topic: "dead"})
	value, _ := weir.Signed[int]{}.Append(nil, 3)
	a.rec = &record.Record{Key: []byte("k"), Time: 120_000}
	if err := spec.OnClose(a.fake, 60_000, []byte("k"), value); err != nil {
		t.Fatal(err)
	}
	equal(t, "output", a.sends(), "out k=00:01:00-00:02:00 @120000\n")
	equal(t, "total", string(*a.tables["total"]["k"]), string(value))
	if err := spec.OnClose(a.fake, 60_000, []byte("k"), []byte("bad")); !errors.Is(err, weir.ErrDecode) {
		t.Errorf("error is %v", err)
	}
}

func TestGlobalTable(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	topic := weir.NewTopic[string, int](app, "ref", weir.ValueCodec(decimal{}))
	ref := weir.NewGlobalTable(app, topic)
	a := with(t, app, 1, func(weir.Context) error { return nil }, ref)
	for _, k := range []string{"a", "b", "c"} {
		_ = a.Put(&topology.Table{Name: "ref"}, []byte(k), []byte("7"))
	}
	err := processing(a, func(ctx weir.Context) error {
		v, found, err := ref.Lookup(ctx, "b")
		equal(t, "lookup", fmt.Sprint(v, found), "7 true")
		equal(t, "all", collect(t, ref.All(ctx)), "a=7 b=7 c=7 ")
		equal(t, "range", collect(t, ref.Range(ctx, "b", "c")), "b=7 ")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	equal(t, "source", app.Graph().Tables[0].Source, "ref")
}

// Handling a record allocates nothing of its own.
func TestAllocations(t *testing.T) {
	app := weir.NewApp("app")
	in := weir.NewTopic[int64, int64](app, "in")
	table := weir.NewTable[int64, int64](app, "table")
	windowed := weir.NewWindowedTable[int64, int64](app, "windowed", weir.Tumbling(time.Hour))
	inc := func(n int64) int64 { return n + 1 }
	s := weir.Filter(in.Stream(), "all", func(int64) bool { return true })
	joined := weir.Join(weir.Map(s, "same", func(v int64) int64 { return v }), "table", table,
		func(v, n int64, _ bool) (int64, bool) { return v, true })
	weir.Each(joined, "agent", func(ctx weir.Context, v int64) error {
		k := weir.Key[int64](ctx)
		if err := table.Update(ctx, k, inc); err != nil {
			return err
		}
		if err := table.Set(ctx, k, v); err != nil {
			return err
		}
		return windowed.Update(ctx, k, inc)
	}, weir.Uses(windowed))
	a := start(t, app, "agent")
	b, _ := weir.Signed[int64]{}.Append(nil, 7)
	r := &record.Record{Topic: "in", Key: b, Value: b, Time: 5}
	got := testing.AllocsPerRun(100, func() {
		if err := a.record(r); err != nil {
			t.Fatal(err)
		}
	})
	equal(t, "allocations", got, 0)
}
