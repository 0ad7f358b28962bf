package weir_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim"
)

// A record that cannot be read is a dead letter alone; the batch around it is
// handled.
func TestEnginePoisonInBatch(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, int](app, "in")
	sums := weir.NewTable[string, int](app, "sums")
	weir.Loop(in.Stream(), "sum", func(ctx weir.Context, in *weir.Inbox[string, int]) error {
		for batch := range in.Take(4, time.Minute) {
			for _, ev := range batch {
				if err := sums.Update(ctx, ev.Key, func(n int) int { return n + ev.Value }); err != nil {
					return err
				}
			}
		}
		return nil
	}, weir.Uses(sums), weir.OnError(weir.Retry(2, time.Second, 0).Then(weir.DeadLetter("dead"))))

	s := sim.New(t, app, sim.Partitions(1))
	sim.Send(s, in, "k", 1)
	sim.Send(s, in, "k", 10)
	s.SendBytes("in", []byte("k"), []byte("poison"))
	sim.Send(s, in, "k", 100)
	sim.Send(s, in, "k", 1000)
	s.Settle()
	if n, _ := sim.Lookup(s, sums, "k"); n != 1111 {
		t.Errorf("sum is %d, want 1111", n)
	}
	dead := s.DeadLetters("dead")
	if len(dead) != 1 || string(dead[0].Value) != "poison" {
		t.Errorf("dead letters are %v", dead)
	}
}

// Timers, windows that close, joins and a forward, in one application.
func TestEngineWholeLanguage(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	names := weir.NewTopic[string, string](app, "names")
	out := weir.NewTopic[string, string](app, "out")
	ref := weir.NewGlobalTable(app, names)
	last := weir.NewTable[string, string](app, "last", weir.Default("nobody"))
	minutes := weir.NewWindowedTable[string, int](app, "minutes", weir.Tumbling(time.Minute),
		weir.OnClose(func(ctx weir.Context, w weir.Window, k string, n int) error {
			return out.Send(ctx, k, fmt.Sprintf("%d at %s", n, w.Start.Format("15:04")))
		}), weir.Sends(out))
	quiet := weir.NewTimer(app, "quiet", func(ctx weir.Context, k string) error {
		v, err := last.Get(ctx, k)
		return errors.Join(err, out.Send(ctx, k, "quiet since "+v))
	}, weir.Uses(last), weir.Sends(out))
	weir.EachEvent(in.Stream(), "watch", func(ctx weir.Context, ev weir.Event[string, string]) error {
		return errors.Join(
			minutes.Update(ctx, ev.Key, func(n int) int { return n + 1 }),
			last.Set(ctx, ev.Key, ev.Value),
			quiet.Set(ctx, ev.Key, ev.Time.Add(2*time.Minute)))
	}, weir.Uses(minutes, last), weir.Sets(quiet))
	named := weir.JoinGlobal(in.Stream(), "name", ref, func(v string) string { return v }, func(v, name string, found bool) (string, bool) { return "name " + name, found })
	weir.Forward(named, "named", out)

	noon := time.Date(2001, 1, 1, 12, 0, 0, 0, time.UTC)
	s := sim.New(t, app, sim.Partitions(1), sim.StartAt(noon))
	sim.Send(s, names, "x", "Xavier")
	s.Settle()
	sim.Send(s, in, "k", "x", sim.At(noon))
	sim.Send(s, in, "k", "y", sim.At(noon.Add(30*time.Second)))
	sim.Send(s, in, "other", "z", sim.At(noon.Add(3*time.Minute)))
	s.Settle()
	var got []string
	for _, m := range sim.Read(s, out) {
		got = append(got, m.Key+": "+m.Value)
	}
	slices.Sort(got)
	equal(t, "output", strings.Join(got, "; "), "k: 2 at 12:00; k: name Xavier; k: quiet since y")
}

// The error for a table that was not declared names the option to add.
func TestEngineUndeclared(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	table := weir.NewTable[string, string](app, "table")
	weir.Each(in.Stream(), "honest", func(weir.Context, string) error { return nil }, weir.Uses(table))
	weir.Each(in.Stream(), "careless", func(ctx weir.Context, v string) error { return table.Set(ctx, v, v) })
	s := sim.New(t, app, sim.Partitions(1))
	sim.Send(s, in, "k", "v")
	s.Run()
	for _, err := range s.Stopped() {
		if !errors.Is(err, topology.ErrUndeclared) || !strings.Contains(err.Error(), `"careless" uses table "table" without saying so: add weir.Uses(`) {
			t.Errorf("error is %v", err)
		}
	}
	equal(t, "stopped partitions", len(s.Stopped()), 1)
}
