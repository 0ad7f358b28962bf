// Package torture is an application that uses everything the language has, a
// workload for it and a reference model of it: what the cluster simulator
// runs when it looks for bugs in weir itself.
package torture

import (
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir"
)

const (
	windowSize = 10 * time.Second
	grace      = 2 * time.Second
	timerDelay = 7 * time.Second
	batchSize  = 5
)

// Name is the application's name.
const Name = "torture"

// Values are id*1000 + key*100 + payload, so that a value says where it came
// from whatever its key is now.
func payload(v int64) int64 { return v % 100 }
func keyOf(v int64) string  { return "k" + strconv.FormatInt(v/100%10, 10) }
func groupOf(v int64) string {
	return "g" + strconv.FormatInt(payload(v)%3, 10)
}
func dimOf(v int64) string { return "d" + strconv.FormatInt(payload(v)%4, 10) }

// next is a hash that depends on the order of what was hashed.
func next(h, v int64) int64 { return h*31 + v%1_000_003 }

// closedAs is what is sent for a window: its start can be read from it, also when
// bytes that were no number have made a sum negative.
func closedAs(start, sum int64) int64 { return start*1000 + (sum%1000+1000)%1000 }

var errSeven = errors.New("the payload ends in seven")

// An app is the application while it is declared.
type app struct {
	*weir.App
	events *weir.Topic[string, int64]
	panics *atomic.Int64
	stalls *atomic.Int64
}

// New declares the application. Each time user code runs while panics is
// above zero, it takes one and panics; nil never panics.
func New(panics *atomic.Int64) *weir.App { return declare(panics, nil) }

// declare is New for user code that also waits, once, for as many nanoseconds
// as stalls says.
func declare(panics, stalls *atomic.Int64) *weir.App {
	a := &app{App: weir.NewApp(Name, weir.OnError(weir.Retry(8, 5*time.Millisecond, 20*time.Millisecond).Then(weir.DeadLetter("dead")))), panics: panics, stalls: stalls}
	a.events = weir.NewTopic[string, int64](a.App, "events")
	a.receipts()
	a.counts()
	a.keepLast()
	a.windows()
	a.timers()
	a.failing()
	a.globals()
	a.groups()
	a.batches()
	a.chain()
	return a.App
}

func (a *app) table(name string) *weir.Table[string, int64] {
	return weir.NewTable[string, int64](a.App, name)
}

func (a *app) topic(name string) *weir.Topic[string, int64] {
	return weir.NewTopic[string, int64](a.App, name)
}

type event = weir.Event[string, int64]

// maybePanic is the bug in user code that goes away.
func (a *app) maybePanic() {
	if a.panics != nil && a.panics.Load() > 0 {
		a.panics.Add(-1)
		panic("user code panics as it was told to")
	}
}

// maybeStall is user code that waits for something outside, as it should not.
func (a *app) maybeStall() {
	if a.stalls == nil {
		return
	}
	if d := a.stalls.Swap(0); d > 0 {
		<-time.NewTimer(time.Duration(d)).C
	}
}

func (a *app) receipts() {
	receipts := a.topic("receipts")
	weir.EachEvent(a.events.Stream(), "receipt", func(ctx weir.Context, e event) error {
		if err := receipts.Send(ctx, e.Key, e.Value); err != nil {
			return err
		}
		a.maybePanic()
		a.maybeStall()
		return nil
	}, weir.Sends(receipts))
}

// counts keeps a count and a hash over the order, and joins the stream with
// the count.
func (a *app) counts() {
	counts, folds, ranked := a.table("counts"), a.table("folds"), a.topic("ranked")
	weir.EachEvent(a.events.Stream(), "count", func(ctx weir.Context, e event) error {
		if err := counts.Update(ctx, e.Key, func(n int64) int64 { return n + 1 }); err != nil {
			return err
		}
		return folds.Update(ctx, e.Key, func(h int64) int64 { return next(h, e.Value) })
	}, weir.Uses(counts, folds))
	joined := weir.Join(a.events.Stream(), "rank", counts, func(v, n int64, found bool) (int64, bool) { return v<<16 + n, found })
	weir.Forward(joined, "ranking", ranked)
}

func (a *app) keepLast() {
	last := a.table("last")
	// A global table that changes while the application runs; what is found in
	// it depends on when it is read, so nothing comes of it.
	facts := weir.NewGlobalTable(a.App, a.topic("facts"))
	weir.EachEvent(a.events.Stream(), "keep-last", func(ctx weir.Context, e event) error {
		if _, _, err := facts.Lookup(ctx, "f"+strings.TrimPrefix(e.Key, "k")); err != nil {
			return err
		}
		if payload(e.Value)%3 == 0 {
			return last.Delete(ctx, e.Key)
		}
		return last.Set(ctx, e.Key, e.Value)
	}, weir.Uses(last, facts))
}

func (a *app) windows() {
	closed := a.topic("closed")
	t := weir.NewWindowedTable[string, int64](a.App, "windows", weir.Tumbling(windowSize), weir.Grace(grace), weir.RetainForever(),
		weir.Late("late"), weir.Sends(closed),
		weir.OnClose(func(ctx weir.Context, w weir.Window, key string, sum int64) error {
			return closed.Send(ctx, key, closedAs(w.Start.UnixMilli(), sum))
		}))
	weir.EachEvent(a.events.Stream(), "window", func(ctx weir.Context, e event) error {
		return t.Update(ctx, e.Key, func(n int64) int64 { return n + payload(e.Value) })
	}, weir.Uses(t))
}

func (a *app) timers() {
	fired, fires := a.topic("fired"), a.table("fires")
	timer := weir.NewTimer(a.App, "timer", func(ctx weir.Context, key string) error {
		if err := fires.Update(ctx, key, func(n int64) int64 { return n + 1 }); err != nil {
			return err
		}
		n, err := fires.Get(ctx, key)
		if err != nil {
			return err
		}
		return fired.Send(ctx, key, ctx.Time().UnixMilli()*1000+n)
	}, weir.Uses(fires), weir.Sends(fired))
	weir.EachEvent(a.events.Stream(), "set-timer", func(ctx weir.Context, e event) error {
		switch payload(e.Value) % 4 {
		case 1:
			return timer.Set(ctx, e.Key, e.Time.Add(timerDelay))
		case 2:
			return timer.Cancel(ctx, e.Key)
		}
		return nil
	}, weir.Sets(timer))
}

// failing does something, fails, and must leave no trace of it.
func (a *app) failing() {
	alive := a.table("alive")
	weir.EachEvent(a.events.Stream(), "fail", func(ctx weir.Context, e event) error {
		if err := alive.Update(ctx, e.Key, func(n int64) int64 { return n + 1 }); err != nil {
			return err
		}
		switch payload(e.Value) % 20 {
		case 7:
			return errSeven
		case 8:
			panic("eight")
		}
		return nil
	}, weir.Uses(alive), weir.OnError(weir.Retry(1, 5*time.Millisecond, 0).Then(weir.DeadLetter("dead"))))
}

func (a *app) globals() {
	dims, joined := a.topic("dims"), a.topic("joined")
	global := weir.NewGlobalTable(a.App, dims)
	s := weir.JoinGlobal(a.events.Stream(), "dim", global, dimOf, func(v, d int64, found bool) (int64, bool) { return v*10 + d, found })
	weir.Forward(s, "join", joined)
}

// groups is a second sub-topology behind a repartition topic.
func (a *app) groups() {
	sums, order := a.table("sums"), a.table("order")
	weir.EachEvent(weir.GroupBy(a.events.Stream(), "by-group", groupOf), "sum", func(ctx weir.Context, e event) error {
		if err := sums.Update(ctx, e.Key, func(n int64) int64 { return n + payload(e.Value) }); err != nil {
			return err
		}
		return order.Update(ctx, e.Key+"|"+keyOf(e.Value), func(h int64) int64 { return next(h, e.Value) })
	}, weir.Uses(sums, order))
}

func (a *app) batches() {
	batched, sums := a.topic("batched"), a.table("batch-sums")
	weir.Loop(a.events.Stream(), "batch", func(ctx weir.Context, in *weir.Inbox[string, int64]) error {
		for batch := range in.Take(batchSize, 60*time.Millisecond) {
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

// chain is a third sub-topology behind a topic of the user's.
func (a *app) chain() {
	evens, halves, count := a.topic("evens"), a.topic("halves"), a.table("even-counts")
	doubled := weir.Map(weir.Filter(a.events.Stream(), "even", func(v int64) bool { return v%2 == 0 }), "double", func(v int64) int64 { return 2 * v })
	weir.Forward(doubled, "forward", evens)
	weir.EachEvent(evens.Stream(), "count-evens", func(ctx weir.Context, e event) error {
		if err := count.Update(ctx, e.Key, func(n int64) int64 { return n + 1 }); err != nil {
			return err
		}
		return halves.Send(ctx, e.Key, e.Value/4)
	}, weir.Uses(count), weir.Sends(halves))
}

// agents is how many agents read the events: each dead-letters what it cannot
// decode.
const agents = 11
