package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/topology"
)

// seconds is an event time.
func seconds(s float64) time.Time { return time.UnixMilli(int64(s * 1000)).UTC() }

// A table is written where the engine did not ask for it: there is no context
// to write it with; one that was kept fails, and so does one that an operator
// got. Nothing is stored.
func TestScenario31WriteOutsideStream(t *testing.T) {
	t.Parallel()
	b := newBench()
	table := weir.NewTable[string, int64](b.app, "table")
	var kept weir.Context
	var inOperator error
	operated := weir.Transform(b.in.Stream(), "write", func(ctx weir.Context, v int64, emit func(int64) error) error {
		inOperator = table.Set(ctx, "operator", v)
		return emit(v)
	})
	weir.Each(operated, "keep", func(ctx weir.Context, _ int64) error {
		kept = ctx
		return nil
	}, weir.Uses(table))
	s := New(t, b.app)
	b.send(s, 0, 1)
	s.Settle()
	if err := table.Set(kept, "kept", 1); !errors.Is(err, topology.ErrInactive) {
		t.Errorf("writing with a context that was kept gave %v, want ErrInactive", err)
	}
	if inOperator == nil {
		t.Error("an operator could write")
	}
	b.send(s, 1, 2)
	s.Settle()
	if got := Table(s, table); len(got) != 0 {
		t.Errorf("the table holds %v", got)
	}
}

// A source has 8 partitions and the changelog of its table 5: the application
// is refused, with both numbers.
func TestScenario32PartitionsMismatch(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.in = weir.NewTopic[string, int64](b.app, "wide")
	b.counting()
	top, err := b.app.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, problems := top.Plan(map[string]int32{"in": 1, "wide": 8, "bench-counts-changelog": 5})
	if len(problems) != 1 {
		t.Fatalf("problems are %v, want one", problems)
	}
	if text := problems[0].String(); !strings.Contains(text, "bench-counts-changelog") || !strings.Contains(text, "5") || !strings.Contains(text, "8") {
		t.Errorf("the problem does not say what does not fit: %s", text)
	}
}

// A table has a default: a missing key reads as that and is not stored before
// it is set.
func TestScenario33DefaultIsNotStored(t *testing.T) {
	t.Parallel()
	b := newBench()
	table := weir.NewTable[string, int64](b.app, "table", weir.Default[int64](7))
	var got []int64
	weir.EachEvent(b.in.Stream(), "read", func(ctx weir.Context, e weir.Event[string, int64]) error {
		v, err := table.Get(ctx, e.Key)
		if err != nil {
			return err
		}
		_, found, err := table.Lookup(ctx, e.Key)
		if found != (len(got) >= 2) {
			t.Errorf("record %d: found is %v", e.Value, found)
		}
		got = append(got, v)
		if e.Value == 1 && err == nil {
			return table.Set(ctx, e.Key, v+1)
		}
		return err
	}, weir.Uses(table))
	s := New(t, b.app)
	Send(s, b.in, "k", 0)
	s.Settle()
	if n := len(s.ReadBytes("bench-table-changelog")); n != 0 {
		t.Errorf("reading wrote %d changelog records", n)
	}
	Send(s, b.in, "k", 1)
	Send(s, b.in, "k", 2)
	s.Settle()
	if !slices.Equal(got, []int64{7, 7, 8}) {
		t.Errorf("read %v, want 7, 7, 8", got)
	}
	if v, ok := Lookup(s, table, "k"); !ok || v != 8 {
		t.Errorf("the table holds %d (%v)", v, ok)
	}
}

// A key is deleted: its changelog record is null, and a restore on an empty
// disk does not bring it back, compacted or not.
func TestScenario34DeleteIsRestored(t *testing.T) {
	t.Parallel()
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted %v", compacted), func(t *testing.T) {
			t.Parallel()
			b := newBench()
			table := weir.NewTable[string, int64](b.app, "table")
			weir.EachEvent(b.in.Stream(), "set", func(ctx weir.Context, e weir.Event[string, int64]) error {
				if e.Value < 0 {
					return table.Delete(ctx, e.Key)
				}
				return table.Set(ctx, e.Key, e.Value)
			}, weir.Uses(table))
			s := New(t, b.app)
			Send(s, b.in, "gone", 1)
			Send(s, b.in, "kept", 2)
			s.Settle()
			Send(s, b.in, "gone", -1)
			s.Settle()
			log := s.ReadBytes("bench-table-changelog")
			if last := log[len(log)-1]; string(last.Key) != "gone" || last.Value != nil {
				t.Errorf("the last changelog record is %q = %v, want a null for gone", last.Key, last.Value)
			}
			if compacted {
				s.Compact("bench-table-changelog", false)
			}
			s.Crash(0)
			s.Restart(0, LoseDisk)
			s.Run()
			if got := Table(s, table); len(got) != 1 || got["kept"] != 2 {
				t.Errorf("the table holds %v", got)
			}
			if s.stats.Restored == 0 {
				t.Error("nothing was restored")
			}
		})
	}
}

// A tumbling window of 10 at 109.99: written and read in [100, 110), and the
// next instant is in the next window, with no hole between.
func TestScenario35TumblingWindow(t *testing.T) {
	t.Parallel()
	b := newBench()
	table := weir.NewWindowedTable[string, int64](b.app, "table", weir.Tumbling(10*time.Second), weir.RetainForever())
	var read []int64
	weir.EachEvent(b.in.Stream(), "write", func(ctx weir.Context, e weir.Event[string, int64]) error {
		if err := table.Set(ctx, e.Key, e.Value); err != nil {
			return err
		}
		v, err := table.Get(ctx, e.Key)
		read = append(read, v)
		return err
	}, weir.Uses(table))
	s := New(t, b.app)
	for i, at := range []float64{100, 109.99, 109.999, 110} {
		Send(s, b.in, "k", int64(i+1), At(seconds(at)))
	}
	s.Settle()
	if !slices.Equal(read, []int64{1, 2, 3, 4}) {
		t.Errorf("read %v after writing 1 to 4", read)
	}
	want := []WindowEntry[string, int64]{{seconds(100), "k", 3}, {seconds(110), "k", 4}}
	if got := Windows(s, table); !slices.Equal(got, want) {
		t.Errorf("windows are %v, want %v", got, want)
	}
	if w := table.WindowAt(seconds(109.99)); !w.Start.Equal(seconds(100)) || !w.End.Equal(seconds(110)) {
		t.Errorf("the window is [%v, %v)", w.Start, w.End)
	}
}

// Windows of 10 that hop by 5, at 103: [95, 105) and [100, 110) see it. weir
// keeps panes of 5, and a hopping window is the two panes it is made of.
func TestScenario36HoppingWindowFromPanes(t *testing.T) {
	t.Parallel()
	b := newBench()
	panes := weir.NewWindowedTable[string, int64](b.app, "panes", weir.Tumbling(5*time.Second), weir.Grace(10*time.Second), weir.RetainForever())
	hopping := make(map[float64]int64) // by start
	weir.EachEvent(b.in.Stream(), "add", func(ctx weir.Context, e weir.Event[string, int64]) error {
		if err := panes.Update(ctx, e.Key, func(n int64) int64 { return n + e.Value }); err != nil {
			return err
		}
		for _, start := range []float64{90, 95, 100, 105} {
			var sum int64
			for _, pane := range []float64{start, start + 5} {
				v, err := panes.GetAt(ctx, e.Key, seconds(pane))
				if err != nil {
					return err
				}
				sum += v
			}
			hopping[start] = sum
		}
		return nil
	}, weir.Uses(panes))
	s := New(t, b.app)
	Send(s, b.in, "k", 3, At(seconds(103)))
	s.Settle()
	for start, want := range map[float64]int64{90: 0, 95: 3, 100: 3, 105: 0} {
		if hopping[start] != want {
			t.Errorf("window [%v, %v) is %d, want %d", start, start+10, hopping[start], want)
		}
	}
}

// A key is absent from a window that other keys are in: walking the window
// leaves it out.
func TestScenario37AbsentKeyInWindow(t *testing.T) {
	t.Parallel()
	b := newBench()
	table := weir.NewWindowedTable[string, int64](b.app, "table", weir.Tumbling(10*time.Second), weir.RetainForever())
	var walked []string
	weir.EachEvent(b.in.Stream(), "write", func(ctx weir.Context, e weir.Event[string, int64]) error {
		if e.Value == 0 {
			return table.Delete(ctx, e.Key)
		}
		if err := table.Set(ctx, e.Key, e.Value); err != nil {
			return err
		}
		walked = nil
		for entry, err := range table.RangeWindow(ctx, table.WindowAt(e.Time)) {
			if err != nil {
				return err
			}
			walked = append(walked, entry.Key)
		}
		return nil
	}, weir.Uses(table))
	s := New(t, b.app)
	Send(s, b.in, "other", 1, At(seconds(90)))
	Send(s, b.in, "a", 1, At(seconds(100)))
	Send(s, b.in, "deleted", 1, At(seconds(101)))
	Send(s, b.in, "deleted", 0, At(seconds(102)))
	Send(s, b.in, "b", 1, At(seconds(103)))
	s.Settle()
	if !slices.Equal(walked, []string{"a", "b"}) {
		t.Errorf("walked %v, want a and b", walked)
	}
}

// A window closes: OnClose runs once for each key, also when the worker
// crashes at any moment around it, with its disk or without.
func TestScenario38CloseOncePerKey(t *testing.T) {
	t.Parallel()
	for crashAt := range 60 {
		b := newBench()
		closed := weir.NewTopic[string, int64](b.app, "closed")
		table := weir.NewWindowedTable[string, int64](b.app, "table", weir.Tumbling(10*time.Second), weir.Sends(closed),
			weir.OnClose(func(ctx weir.Context, _ weir.Window, key string, v int64) error { return closed.Send(ctx, key, v) }))
		weir.EachEvent(b.in.Stream(), "write", func(ctx weir.Context, e weir.Event[string, int64]) error {
			return table.Update(ctx, e.Key, func(n int64) int64 { return n + 1 })
		}, weir.Uses(table))
		s := New(t, b.app)
		for i, key := range []string{"a", "b", "a", "c"} {
			Send(s, b.in, key, 1, At(seconds(100+float64(i))))
		}
		s.Settle()
		Send(s, b.in, "a", 1, At(seconds(125))) // closes [100, 110)
		s.setClock(s.now.Add(s.cfg.commitInterval))
		for range crashAt {
			s.step()
		}
		s.Crash(0)
		s.Restart(0, Disk(crashAt%2))
		s.Settle()
		got := make(map[string][]int64)
		for _, m := range Read(s, closed) {
			got[m.Key] = append(got[m.Key], m.Value)
		}
		for key, want := range map[string]int64{"a": 2, "b": 1, "c": 1} {
			if !slices.Equal(got[key], []int64{want}) {
				t.Fatalf("crash after %d steps: window of %s closed with %v, want once with %d", crashAt, key, got[key], want)
			}
		}
	}
}
