package sim_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/sim"
)

// counter counts records by key.
func counter() (*weir.App, *weir.Topic[string, int64], *weir.Table[string, int64]) {
	app := weir.NewApp("counter")
	in := weir.NewTopic[string, int64](app, "in")
	counts := weir.NewTable[string, int64](app, "counts")
	weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, e weir.Event[string, int64]) error {
		return counts.Update(ctx, e.Key, func(n int64) int64 { return n + 1 })
	}, weir.Uses(counts))
	return app, in, counts
}

func TestTenThousandEvents(t *testing.T) {
	app, in, counts := counter()
	began := time.Now()
	s := sim.New(t, app, sim.Workers(2), sim.Partitions(16))
	for i := range 10_000 {
		sim.Send(s, in, strconv.Itoa(i%500), int64(i))
	}
	s.Settle()
	got := sim.Table(s, counts)
	t.Logf("10,000 events in %v", time.Since(began))
	if len(got) != 500 {
		t.Fatalf("%d keys, want 500", len(got))
	}
	for k, n := range got {
		if n != 20 {
			t.Errorf("key %s counted %d times, want 20", k, n)
		}
	}
}

func BenchmarkTenThousandEvents(b *testing.B) {
	for b.Loop() {
		app, in, counts := counter()
		s := sim.New(b, app, sim.Workers(2), sim.Partitions(16))
		for i := range 10_000 {
			sim.Send(s, in, strconv.Itoa(i%500), int64(i))
		}
		s.Settle()
		if n := len(sim.Table(s, counts)); n != 500 {
			b.Fatalf("%d keys, want 500", n)
		}
	}
}
