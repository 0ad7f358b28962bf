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

type inbox = weir.Inbox[string, string]

// A looper is a loop on a fake, with what its function wrote down.
type looper struct {
	*agent
	batch topology.BatchProcessor
	log   *[]string
}

func (l *looper) note(format string, args ...any) {
	*l.log = append(*l.log, fmt.Sprintf(format, args...))
}

func (l *looper) expect(want ...string) {
	l.t.Helper()
	equal(l.t, "log", strings.Join(*l.log, "; "), strings.Join(want, "; "))
	*l.log = nil
}

func (l *looper) flush(now int64) error {
	l.now = now
	return l.batch.Flush(l.fake)
}

// loop starts an application with a table, a topic and one loop. Values "-"
// are filtered, "a b" are two events, "{" cannot be handled by the operators.
func loop(t *testing.T, fn func(l *looper, table *weir.Table[string, string], ctx weir.Context, in *inbox) error) *looper {
	t.Helper()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	table := weir.NewTable[string, string](app, "table")
	l := &looper{log: new([]string)}
	s := weir.Filter(in.Stream(), "some", func(v string) bool { return v != "-" })
	s = weir.FlatMap(s, "words", func(v string) iter.Seq[string] { return strings.FieldsSeq(v) })
	s = weir.Transform(s, "check", func(_ weir.Context, v string, emit func(string) error) error {
		if v == "{" {
			return errUnreadable
		}
		return emit(v)
	})
	weir.Loop(s, "loop", func(ctx weir.Context, in *inbox) error { return fn(l, table, ctx, in) }, weir.Uses(table))
	l.agent = start(t, app, "loop")
	l.batch = l.proc.(topology.BatchProcessor)
	t.Cleanup(l.batch.Close)
	return l
}

var errUnreadable = errors.New("unreadable")

func values(batch []weir.Event[string, string]) string {
	var vs []string
	for _, ev := range batch {
		vs = append(vs, ev.Key+"="+ev.Value)
	}
	return strings.Join(vs, ",")
}

func TestLoopAll(t *testing.T) {
	t.Parallel()
	l := loop(t, func(l *looper, table *weir.Table[string, string], ctx weir.Context, in *inbox) error {
		l.note("start")
		n := 0
		for ev := range in.All() {
			n++
			l.note("%d %s=%s @%d %v", n, ev.Key, ev.Value, ev.Time.UnixMilli(), ctx.Record().Time == ev.Time.UnixMilli())
			if err := table.Set(ctx, ev.Key, ev.Value); err != nil {
				return err
			}
		}
		return nil
	})
	l.must("a=1", "b=-", "c=2 3")
	l.expect("start", "1 a=1 @1 true", "2 c=2 @3 true", "3 c=3 @3 true")
	equal(t, "held", l.batch.Held(), 0)
	equal(t, "table", string(*l.tables["table"]["c"]), "3")
}

func TestLoopTake(t *testing.T) {
	t.Parallel()
	l := loop(t, func(l *looper, _ *weir.Table[string, string], _ weir.Context, in *inbox) error {
		for batch := range in.Take(3, 10*time.Second) {
			l.note("%s", values(batch))
		}
		l.note("end")
		return nil
	})
	// A filtered record is not held unless it is behind one that is.
	l.now = 1000
	l.must("a=-")
	equal(t, "held", l.batch.Held(), 0)
	l.must("a=1", "b=-")
	equal(t, "held", l.batch.Held(), 2)
	equal(t, "due", l.batch.Due(), 11_000)
	l.now = 5000
	l.must("c=2")
	equal(t, "due follows the first", l.batch.Due(), 11_000)
	l.expect()
	l.must("d=3")
	l.expect("a=1,c=2,d=3")
	equal(t, "held", l.batch.Held(), 0)

	// Flush gives what there is, and nothing is lost behind it.
	l.must("e=4")
	equal(t, "due", l.batch.Due(), 15_000)
	if err := l.flush(15_000); err != nil {
		t.Fatal(err)
	}
	if err := l.flush(15_000); err != nil { // nothing waits
		t.Fatal(err)
	}
	l.expect("e=4")
	equal(t, "held", l.batch.Held(), 0)

	// Events of one record stay together.
	l.must("f=1 2", "g=3 4 5")
	l.expect("f=1,f=2,g=3,g=4,g=5")

	// Closing forgets what waits and ends the iterator.
	l.must("h=1")
	l.batch.Close()
	l.expect("end")
	equal(t, "held", l.batch.Held(), 0)
}

// A record that operators fail on does not take those before it with it.
func TestLoopUnreadable(t *testing.T) {
	t.Parallel()
	l := loop(t, func(l *looper, _ *weir.Table[string, string], _ weir.Context, in *inbox) error {
		for batch := range in.Take(3, 10*time.Second) {
			l.note("%s", values(batch))
		}
		return nil
	})
	if err := l.process("a", "1 {", 1); !errors.Is(err, errUnreadable) {
		t.Fatalf("error is %v", err)
	}
	equal(t, "held", l.batch.Held(), 0)
	l.now = 7
	l.must("a=1", "b=2 {")
	equal(t, "held", l.batch.Held(), 2)
	equal(t, "due", l.batch.Due(), 7)
	if err := l.flush(7); err != nil {
		t.Fatal(err)
	}
	l.expect("a=1")
	equal(t, "held", l.batch.Held(), 1)
	if err := l.flush(7); !errors.Is(err, errUnreadable) {
		t.Fatalf("error is %v", err)
	}
	equal(t, "held", l.batch.Held(), 0)
	l.must("c=3", "d=4", "e=5")
	l.expect("c=3,d=4,e=5")
}

func TestLoopFailure(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	l := loop(t, func(l *looper, _ *weir.Table[string, string], _ weir.Context, in *inbox) error {
		l.note("start")
		for batch := range in.Take(2, time.Second) {
			l.note("%s", values(batch))
			switch batch[len(batch)-1].Value {
			case "error":
				return boom
			case "panic":
				panic(boom)
			case "done":
				return nil
			}
		}
		return nil
	})
	l.must("a=1")
	if err := l.process("b", "error", 2); !errors.Is(err, boom) {
		t.Errorf("error is %v", err)
	}
	equal(t, "held", l.batch.Held(), 0)
	l.must("a=1")
	err := l.process("b", "panic", 2)
	var p *topology.PanicError
	if !errors.Is(err, boom) || !errors.As(err, &p) || !strings.Contains(string(p.Stack), "TestLoopFailure") {
		t.Errorf("error is %v with stack %s", err, p.Stack)
	}
	// Returning nil is no failure; the next record starts the loop again.
	l.must("a=1", "b=done", "c=1", "d=2")
	l.expect("start", "a=1,b=error", "start", "a=1,b=panic", "start", "a=1,b=done", "start", "c=1,d=2")
}

// When a loop returns in the middle of a record, a new one gets the rest.
func TestLoopReturnsWithinRecord(t *testing.T) {
	t.Parallel()
	l := loop(t, func(l *looper, _ *weir.Table[string, string], _ weir.Context, in *inbox) error {
		for ev := range in.All() {
			l.note("%s", ev.Value)
			return nil
		}
		return nil
	})
	l.must("a=1 2 3", "b=4")
	l.expect("1", "2", "3", "4")
}

func TestLoopChangesItsMind(t *testing.T) {
	t.Parallel()
	l := loop(t, func(l *looper, _ *weir.Table[string, string], _ weir.Context, in *inbox) error {
		for ev := range in.All() {
			l.note("first %s", ev.Value)
			break
		}
		for batch := range in.Take(2, time.Second) {
			l.note("%s", values(batch))
		}
		return nil
	})
	// What is left of the record is handled with it, in a short batch.
	l.must("a=1 2")
	l.expect("first 1", "a=2")
	equal(t, "held", l.batch.Held(), 0)
	l.must("b=3", "c=4")
	l.expect("b=3,c=4")
}

func TestLoopMisuse(t *testing.T) {
	t.Parallel()
	nothing := loop(t, func(*looper, *weir.Table[string, string], weir.Context, *inbox) error { return nil })
	if err := nothing.process("k", "v", 1); !errors.Is(err, weir.ErrNothingTaken) {
		t.Errorf("error is %v", err)
	}
	early := loop(t, func(_ *looper, table *weir.Table[string, string], ctx weir.Context, in *inbox) error {
		if _, err := table.Get(ctx, "k"); err != nil {
			return fmt.Errorf("reading is allowed: %w", err)
		}
		return table.Set(ctx, "k", "v")
	})
	if err := early.process("k", "v", 1); err == nil || !strings.Contains(err.Error(), "before it asked for its first record") {
		t.Errorf("error is %v", err)
	}
}

// A loop that does not stop asking is stopped.
func TestLoopStubborn(t *testing.T) {
	t.Parallel()
	l := loop(t, func(l *looper, table *weir.Table[string, string], ctx weir.Context, in *inbox) error {
		for {
			for range in.All() {
			}
			l.note("%v", errors.Is(table.Set(ctx, "k", "v"), topology.ErrInactive))
		}
	})
	l.must("a=1")
	l.batch.Close()
	l.batch.Close() // twice is harmless
	l.expect("true")
}

// A flush comes with a record or without; the loop works either way.
func TestLoopFlushWithoutRecord(t *testing.T) {
	t.Parallel()
	l := loop(t, func(l *looper, _ *weir.Table[string, string], ctx weir.Context, in *inbox) error {
		for range in.Take(2, time.Second) {
			l.note("%d %d", ctx.Time().UnixMilli(), len(ctx.Record().Key))
		}
		return nil
	})
	if err := l.record(&record.Record{Key: []byte("k"), Value: []byte("v"), Time: 44}); err != nil {
		t.Fatal(err)
	}
	l.rec = nil
	if err := l.flush(1); err != nil {
		t.Fatal(err)
	}
	l.expect("44 0")
}
