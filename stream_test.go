package weir_test

import (
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

func TestOperators(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	out := weir.NewTopic[string, int](app, "out", weir.ValueCodec(decimal{}))
	long := weir.Filter(in.Stream(), "long", func(s string) bool { return len(s) > 2 })
	words := weir.FlatMap(long, "words", func(s string) iter.Seq[string] { return strings.FieldsSeq(s) })
	weir.Forward(weir.Map(words, "length", func(s string) int { return len(s) }), "lengths", out)

	a := start(t, app, "lengths")
	equal(t, "steps", strings.Join(a.spec.Steps, ", "), "filter long, flat-map words, map length")
	a.must("k=ab", "k=abc de", "l=x yy zzz")
	equal(t, "output", a.sends(), "out k=3 @2\nout k=2 @2\nout l=1 @3\nout l=2 @3\nout l=3 @3\n")
}

// decimal writes integers so that tests can read them.
type decimal struct{}

func (decimal) Append(dst []byte, v int) ([]byte, error) {
	if v < 0 {
		return dst, errors.New("is negative")
	}
	return append(dst, strings.Repeat("I", v/10)+string(rune('0'+v%10))...), nil
}

func (decimal) Decode(b []byte) (int, error) {
	if len(b) != 1 || b[0] < '0' || b[0] > '9' {
		return 0, errors.New("is no digit")
	}
	return int(b[0] - '0'), nil
}

func (decimal) Name() string { return "decimal" }

func TestTransform(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	out := weir.NewTopic[string, string](app, "out")
	seen := weir.NewTable[string, bool](app, "seen")
	boom := errors.New("boom")
	twice := weir.Transform(in.Stream(), "twice", func(ctx weir.Context, v string, emit func(string) error) error {
		if v == "boom" {
			return boom
		}
		if v == "write" {
			return seen.Set(ctx, v, true)
		}
		if err := emit(weir.Key[string](ctx) + v); err != nil {
			return err
		}
		return emit(v)
	})
	weir.Forward(twice, "out", out, weir.Uses(seen))

	a := start(t, app, "out")
	a.must("k=v")
	equal(t, "output", a.sends(), "out k=kv @1\nout k=v @1\n")
	if err := a.process("k", "boom", 1); !errors.Is(err, boom) {
		t.Errorf("error is %v", err)
	}
	if err := a.process("k", "write", 1); err == nil || !strings.Contains(err.Error(), "operators of a stream may read tables but not write") {
		t.Errorf("an operator wrote a table: %v", err)
	}
}

func TestGroupBy(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, point](app, "in")
	byX := weir.GroupBy(weir.Filter(in.Stream(), "y", func(p point) bool { return p.Y >= 0 }), "by-x",
		func(p point) int { return p.X }, weir.KeyCodec(decimal{}), weir.Partitions(7))
	mapped := weir.Map(in.Stream(), "y", func(p point) int { return p.Y })
	byY := weir.GroupBy(mapped, "by-y", func(y int) int { return y }, weir.KeyCodec(decimal{}), weir.ValueCodec(decimal{}), weir.OnError(weir.Skip()))
	weir.Each(byX, "x", func(weir.Context, point) error { return nil })
	weir.Each(byY, "y", func(weir.Context, int) error { return nil })

	top, err := app.Build()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "partitions", top.Topics["app-by-x-repartition"].Partitions, 7)
	equal(t, "origin", top.Topics["app-by-y-repartition"].From, "in")
	equal(t, "policy", top.SubOf("in").Agents[1].Policy.Final, topology.Skip)

	// Values that no operator touched go on as they were read, tombstones and
	// headers too; others are encoded.
	a := start(t, app, "by-x")
	a.must(`k={ "X":3, "Y":4 }`, `k={"Y":-1}`)
	r := &record.Record{Key: []byte("k"), Time: 9, Headers: []record.Header{{Key: "h", Value: []byte("v")}}}
	if err := a.record(r); err != nil {
		t.Fatal(err)
	}
	equal(t, "output", a.sends(), "app-by-x-repartition 3={ \"X\":3, \"Y\":4 } @1\napp-by-x-repartition 0=null @9\n")
	equal(t, "header", string(a.sent[1].Headers[0].Value), "v")

	b := start(t, app, "by-y")
	b.must(`k={"X":3,"Y":4}`)
	equal(t, "output", b.sends(), "app-by-y-repartition 4=4 @1\n")
	if err := b.process("k", `{"Y":-1}`, 1); !errors.Is(err, weir.ErrEncode) || !strings.Contains(err.Error(), "app-by-y-repartition") {
		t.Errorf("error is %v", err)
	}
}

func TestForwardChangesCodecs(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[int, point](app, "in", weir.KeyCodec(decimal{}))
	out := weir.NewTopic[int, point](app, "out")
	weir.Forward(in.Stream(), "copy", out)
	a := start(t, app, "copy")
	a.must("3={}")
	equal(t, "output", a.sends(), "out \x80\x00\x00\x00\x00\x00\x00\x03={} @1\n")
	if err := a.process("x", "{}", 1); !errors.Is(err, weir.ErrDecode) {
		t.Errorf("error is %v", err)
	}
	if err := a.record(&record.Record{Value: []byte("{}")}); err != nil || a.sent[1].Key != nil {
		t.Errorf("a null key became %q, %v", a.sent[1].Key, err)
	}
}

func TestDecodeFailure(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[int, point](app, "in")
	weir.Each(in.Stream(), "value", func(weir.Context, point) error { return nil })
	weir.EachEvent(in.Stream(), "event", func(weir.Context, weir.Event[int, point]) error { return nil })
	for agent, part := range map[string]string{"value": "value", "event": "key"} {
		value := map[string]string{"value": "{", "event": "{}"}[agent]
		err := start(t, app, agent).process("k", value, 1)
		var e *weir.DecodeError
		if !errors.Is(err, weir.ErrDecode) || !errors.As(err, &e) {
			t.Fatalf("error is %v", err)
		}
		equal(t, "where", *e, weir.DecodeError{Topic: "in", Partition: 3, Offset: 42, Part: part, Err: e.Err})
		if !strings.Contains(err.Error(), part+" of record in/3 at offset 42") {
			t.Errorf("message is %v", err)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	ref := weir.NewTopic[int, string](app, "ref")
	out := weir.NewTopic[string, string](app, "out")
	names := weir.NewTable[string, string](app, "names")
	upper := weir.NewTable[string, string](app, "upper", weir.KeyCodec(upperCodec{}))
	global := weir.NewGlobalTable(app, ref)
	left := weir.Join(in.Stream(), "names", names, func(v, name string, found bool) (string, bool) {
		return v + "+" + name, found || v == "keep"
	})
	again := weir.Join(left, "upper", upper, func(v, u string, found bool) (string, bool) { return v + "+" + u, true })
	wide := weir.JoinGlobal(again, "ref", global, func(v string) int { return len(v) }, func(v, g string, found bool) (string, bool) {
		return v + "+" + g, true
	})
	weir.Forward(wide, "out", out)

	a := start(t, app, "out")
	equal(t, "uses", strings.Join(a.spec.Uses, " "), "names upper ref")
	put := func(table, k, v string) { _ = a.Put(&topology.Table{Name: table}, []byte(k), []byte(v)) }
	put("names", "k", "Kay")
	put("upper", "K", "UP")
	put("ref", "\x80\x00\x00\x00\x00\x00\x00\x08", "eight")
	a.must("k=v", "l=drop", "l=keep")
	equal(t, "output", a.sends(), "out k=v+Kay+UP+eight @1\nout l=keep+++ @3\n")
	if err := a.record(&record.Record{Value: []byte("keep")}); err != nil {
		t.Errorf("a null key: %v", err)
	}
	a.broken = errors.New("broken")
	if err := a.process("k", "v", 1); !errors.Is(err, a.broken) {
		t.Errorf("error is %v", err)
	}
}

type upperCodec struct{ weir.String }

func (upperCodec) Append(dst []byte, v string) ([]byte, error) {
	return append(dst, strings.ToUpper(v)...), nil
}
func (upperCodec) Name() string { return "upper" }

func TestStreamEndsTwice(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	var got []string
	s := weir.Filter(in.Stream(), "all", func(string) bool { return true })
	weir.Each(s, "one", func(_ weir.Context, v string) error { got = append(got, "one "+v); return nil })
	weir.Each(weir.Map(s, "m", strings.ToUpper), "two", func(_ weir.Context, v string) error { got = append(got, "two "+v); return nil })
	start(t, app, "one").must("k=v")
	start(t, app, "two").must("k=v")
	equal(t, "calls", strings.Join(got, ", "), "one v, two V")
}
