package generate

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/weirstream/weir"
)

const (
	windowSize = 10 * time.Second
	timerDelay = 7 * time.Second
)

// Values are id*1000 + key*100 + payload, so that a value says where it came
// from after any re-keying.
func payload(v int64) int64 { return v % 100 }
func keyOf(v int64) string  { return "k" + strconv.FormatInt(v/100%10, 10) }
func next(h, v int64) int64 { return h*31 + v%1_000_003 }

func parity(v int64) string { return "n" + strconv.FormatInt(payload(v)%3, 10) }
func dimOf(v int64) string  { return "d" + strconv.FormatInt(payload(v)%4, 10) }

var errSeven = errors.New("seven")

// A Fixture is the application of a plan, with its tables and topics.
type Fixture struct {
	Plan Plan
	App  *weir.App
	// Dims is the topic of the global table; nil without Joining.
	Dims    *weir.Topic[string, int64]
	Sources []*weir.Topic[string, int64]
	Tables  []*weir.Table[string, int64]
	Windows []*weir.WindowedTable[string, int64]
	// Outs are the topics that the application sends to, dead letters and
	// late records included.
	Outs []*weir.Topic[string, int64]
}

// Build declares the application of a plan.
func Build(p Plan) *Fixture {
	f := &Fixture{Plan: p, App: weir.NewApp("p")}
	var global *weir.GlobalTable[string, int64]
	if p.Has(Joining) {
		f.Dims = weir.NewTopic[string, int64](f.App, "dims", weir.Partitions(2))
		global = weir.NewGlobalTable(f.App, f.Dims)
	}
	var shared *weir.Table[string, int64]
	if p.Shared {
		shared = f.table("shared")
	}
	for i := range p.Sources {
		src := weir.NewTopic[string, int64](f.App, "in"+strconv.Itoa(i), weir.Partitions(p.Partitions))
		f.Sources = append(f.Sources, src)
		if shared != nil {
			f.add(src, shared, func(old, v int64) int64 { return old + payload(v) }, fmt.Sprintf("share-%d", i))
		}
		f.stateless(i, src, global)
		f.stateful(i, src)
		if p.Has(Windowing) {
			f.window(i, src)
		}
		if p.Has(Timing) {
			f.timer(i, src)
		}
	}
	return f
}

func (f *Fixture) table(name string) *weir.Table[string, int64] {
	t := weir.NewTable[string, int64](f.App, name)
	f.Tables = append(f.Tables, t)
	return t
}

func (f *Fixture) out(format string, i int) *weir.Topic[string, int64] {
	t := weir.NewTopic[string, int64](f.App, fmt.Sprintf(format, i), weir.Partitions(2))
	f.Outs = append(f.Outs, t)
	return t
}

// add updates a table under the record's key.
func (f *Fixture) add(src *weir.Topic[string, int64], t *weir.Table[string, int64], fn func(old, v int64) int64, name string) {
	weir.EachEvent(src.Stream(), name, func(ctx weir.Context, e weir.Event[string, int64]) error {
		return t.Update(ctx, e.Key, func(old int64) int64 { return fn(old, e.Value) })
	}, weir.Uses(t))
}

func (f *Fixture) stateless(i int, src *weir.Topic[string, int64], global *weir.GlobalTable[string, int64]) {
	if f.Plan.Has(Filtering) {
		evens := f.out("evens-%d", i)
		doubled := weir.Map(weir.Filter(src.Stream(), "even", func(v int64) bool { return v%2 == 0 }), "double", func(v int64) int64 { return 2 * v })
		weir.Forward(doubled, fmt.Sprintf("forward-%d", i), evens)
		f.add(evens, f.table(fmt.Sprintf("even-count-%d", i)), func(old, _ int64) int64 { return old + 1 }, fmt.Sprintf("count-evens-%d", i))
	}
	if f.Plan.Has(Joining) {
		joined := weir.JoinGlobal(src.Stream(), "dim", global, dimOf, func(v, d int64, found bool) (int64, bool) { return v*10 + d, found })
		weir.Forward(joined, fmt.Sprintf("join-%d", i), f.out("joined-%d", i))
	}
}

func (f *Fixture) stateful(i int, src *weir.Topic[string, int64]) {
	name := func(s string) string { return fmt.Sprintf("%s-%d", s, i) }
	if f.Plan.Has(Counting) {
		counts, seen := f.table(name("counts")), f.table(name("seen"))
		weir.EachEvent(src.Stream(), name("count"), func(ctx weir.Context, e weir.Event[string, int64]) error {
			if err := seen.Set(ctx, e.Key+"|"+strconv.FormatInt(e.Value, 10), 1); err != nil {
				return err
			}
			return counts.Update(ctx, e.Key, func(n int64) int64 { return n + 1 })
		}, weir.Uses(counts, seen))
	}
	if f.Plan.Has(Folding) {
		f.add(src, f.table(name("folds")), next, name("fold"))
	}
	if f.Plan.Has(Deleting) {
		f.deletes(name, src)
	}
	if f.Plan.Has(Grouping) {
		f.group(name, src)
	}
	if f.Plan.Has(Failing) {
		f.fails(i, name, src)
	}
	if f.Plan.Has(Batching) {
		f.batch(i, name, src)
	}
}

func (f *Fixture) deletes(name func(string) string, src *weir.Topic[string, int64]) {
	last := f.table(name("last"))
	weir.EachEvent(src.Stream(), name("keep-last"), func(ctx weir.Context, e weir.Event[string, int64]) error {
		if payload(e.Value)%3 == 0 {
			return last.Delete(ctx, e.Key)
		}
		return last.Set(ctx, e.Key, e.Value)
	}, weir.Uses(last))
}

func (f *Fixture) group(name func(string) string, src *weir.Topic[string, int64]) {
	sums, order := f.table(name("sums")), f.table(name("order"))
	weir.EachEvent(weir.GroupBy(src.Stream(), name("by-parity"), parity), name("sum"), func(ctx weir.Context, e weir.Event[string, int64]) error {
		if err := sums.Update(ctx, e.Key, func(n int64) int64 { return n + payload(e.Value) }); err != nil {
			return err
		}
		return order.Update(ctx, e.Key+"|"+keyOf(e.Value), func(h int64) int64 { return next(h, e.Value) })
	}, weir.Uses(sums, order))
}

func (f *Fixture) fails(i int, name func(string) string, src *weir.Topic[string, int64]) {
	alive := f.table(name("alive"))
	f.out("dead-%d", i)
	weir.EachEvent(src.Stream(), name("fail"), func(ctx weir.Context, e weir.Event[string, int64]) error {
		if err := alive.Update(ctx, e.Key, func(n int64) int64 { return n + 1 }); err != nil {
			return err
		}
		switch payload(e.Value) % 10 {
		case 7:
			return errSeven
		case 8:
			panic("eight")
		}
		return nil
	}, weir.Uses(alive), weir.OnError(weir.Retry(1, 10*time.Millisecond, 0).Then(weir.DeadLetter(fmt.Sprintf("dead-%d", i)))))
}

func (f *Fixture) batch(i int, name func(string) string, src *weir.Topic[string, int64]) {
	batched, sums := f.out("batched-%d", i), f.table(name("batch-sums"))
	weir.Loop(src.Stream(), name("batch"), func(ctx weir.Context, in *weir.Inbox[string, int64]) error {
		for batch := range in.Take(f.Plan.Batch, 60*time.Millisecond) {
			for _, e := range batch {
				if err := batched.Send(ctx, e.Key, e.Value); err != nil {
					return err
				}
				if err := sums.Update(ctx, e.Key, func(n int64) int64 { return n + payload(e.Value) }); err != nil {
					return err
				}
			}
		}
		return nil
	}, weir.Uses(sums), weir.Sends(batched))
}

func (f *Fixture) window(i int, src *weir.Topic[string, int64]) {
	closed := f.out("closed-%d", i)
	f.out("late-%d", i)
	retain := weir.RetainForever()
	if f.Plan.Retain >= 0 {
		retain = weir.Retain(f.Plan.Retain)
	}
	t := weir.NewWindowedTable[string, int64](f.App, fmt.Sprintf("windows-%d", i), weir.Tumbling(windowSize), weir.Grace(f.Plan.Grace), retain,
		weir.Late(fmt.Sprintf("late-%d", i)), weir.Sends(closed),
		weir.OnClose(func(ctx weir.Context, w weir.Window, key string, sum int64) error {
			return closed.Send(ctx, key, w.Start.Unix()*1000+sum)
		}))
	f.Windows = append(f.Windows, t)
	weir.EachEvent(src.Stream(), fmt.Sprintf("window-%d", i), func(ctx weir.Context, e weir.Event[string, int64]) error {
		return t.Update(ctx, e.Key, func(n int64) int64 { return n + payload(e.Value) })
	}, weir.Uses(t))
}

func (f *Fixture) timer(i int, src *weir.Topic[string, int64]) {
	fired, fires := f.out("fired-%d", i), f.table(fmt.Sprintf("fires-%d", i))
	timer := weir.NewTimer(f.App, fmt.Sprintf("timer-%d", i), func(ctx weir.Context, key string) error {
		if err := fires.Update(ctx, key, func(n int64) int64 { return n + 1 }); err != nil {
			return err
		}
		return fired.Send(ctx, key, ctx.Time().UnixMilli())
	}, weir.Uses(fires), weir.Sends(fired))
	weir.EachEvent(src.Stream(), fmt.Sprintf("set-timer-%d", i), func(ctx weir.Context, e weir.Event[string, int64]) error {
		switch payload(e.Value) % 4 {
		case 1:
			return timer.Set(ctx, e.Key, e.Time.Add(timerDelay))
		case 2:
			return timer.Cancel(ctx, e.Key)
		}
		return nil
	}, weir.Sets(timer))
}
