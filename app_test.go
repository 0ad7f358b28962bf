package weir_test

import (
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/topology"
)

// Every mistake of one application, as Build reports it.
func TestMistakes(t *testing.T) {
	t.Parallel()
	datadriven.RunTest(t, "testdata/mistakes", func(t *testing.T, d *datadriven.TestData) string {
		app, ok := map[string]*weir.App{"wrong": wrongApp(), "empty": weir.NewApp("empty")}[d.Cmd]
		if !ok {
			d.Fatalf(t, "unknown application %q", d.Cmd)
		}
		top, err := app.Build()
		if err == nil || top != nil {
			t.Fatal("Build found nothing")
		}
		return err.Error() + "\n"
	})
}

func wrongApp() *weir.App {
	app, other := weir.NewApp("wrong"), weir.NewApp("other")
	in := weir.NewTopic[string, point](app, "in", weir.Partitions(0))
	weir.NewTopic[int, point](app, "in")
	funcs := weir.NewTopic[func(), chan int](app, "funcs")
	weir.NewTopic[string, string](app, "codec", weir.KeyCodec(weir.Signed[int]{}), weir.ValueCodec[string](nil))
	foreign := weir.NewTopic[string, string](other, "foreign")
	table := weir.NewTable[string, int](app, "table", weir.Default("text"), weir.Grace(time.Second), weir.Uses(), weir.OnError(weir.Skip()))
	weir.NewTable[string, int](app, "table")
	foreignTable := weir.NewTable[string, int](other, "foreign-table")
	windowed := weir.NewWindowedTable[string, int](app, "windowed", weir.Tumbling(1500*time.Microsecond), weir.Grace(-time.Second),
		weir.Retain(-time.Hour), weir.OnClose(func(weir.Context, weir.Window, int, int) error { return nil }))
	never := weir.NewWindowedTable[string, int](app, "never", weir.Tumbling(0))
	timer := weir.NewTimer[string](app, "table", nil)
	weir.NewGlobalTable(app, foreign)
	weir.NewGlobalTable[string, string](app, nil)

	ok := func(weir.Context, point) error { return nil }
	weir.Each(in.Stream(), "uses", ok, weir.Uses(table, foreignTable, nil, (*weir.Table[string, int])(nil), windowed, never),
		weir.Sends(foreign, (*weir.Topic[string, int])(nil)), weir.Sets(timer, nil))
	weir.Each(in.Stream(), "uses", nil, weir.OnError(weir.Retry(-1, time.Second, time.Millisecond).Then(weir.Retry(1, 0, 0))))
	weir.Each(funcs.Stream(), "loops", func(weir.Context, chan int) error { return nil }, weir.OnError(weir.DeadLetter("funcs")))
	weir.Each(weir.Map[string, point, int](in.Stream(), "nil-map", nil), "mapped", func(weir.Context, int) error { return nil })
	weir.Each(weir.Join(in.Stream(), "foreign", foreignTable, func(p point, _ int, _ bool) (point, bool) { return p, true }), "joined", ok)
	weir.Forward(in.Stream(), "forward", (*weir.Topic[string, point])(nil))
	weir.Each(weir.JoinGlobal[string, point, string, int, point](in.Stream(), "lookup", nil, nil, nil), "looked-up", ok)
	weir.Each(weir.Join[string, point, int, point](in.Stream(), "lookup", nil, nil), "looked-at", ok)
	weir.GroupBy(in.Stream(), "uses", func(p point) int { return p.X }, weir.Partitions(-1))
	return app
}

// Declarations without what they need do not panic, whatever is missing.
func TestDeclareNil(t *testing.T) {
	t.Parallel()
	topic := weir.NewTopic[string, string](nil, "topic")
	table := weir.NewTable[string, string](nil, "table")
	weir.NewWindowedTable[string, string](nil, "windowed", weir.Tumbling(time.Second))
	weir.NewTimer[string](nil, "timer", nil)
	weir.NewGlobalTable[string, string](nil, nil)
	var nilTopic *weir.Topic[string, string]
	var nilStream *weir.Stream[string, string]
	for _, s := range []*weir.Stream[string, string]{nilStream, nilTopic.Stream(), topic.Stream()} {
		s = weir.Filter(s, "f", nil)
		s = weir.Map(s, "m", func(v string) string { return v })
		s = weir.Join(s, "j", table, func(v, _ string, _ bool) (string, bool) { return v, true })
		s = weir.Join[string, string, string, string](s, "j", nil, nil)
		s = weir.JoinGlobal[string, string, string, string, string](s, "j", nil, nil, nil)
		s = weir.GroupBy[string, string, string](s, "g", nil)
		weir.Each(s, "each", nil)
		weir.Loop(s, "loop", nil)
		weir.EachEvent(s, "event", nil)
		weir.Forward(s, "forward", nil)
	}
	weir.Each(nilStream, "each", nil)
	weir.Loop(nilStream, "loop", nil)
	weir.EachEvent(nilStream, "event", nil)
	weir.Forward(nilStream, "forward", topic)
	weir.GroupBy(nilStream, "group", func(v string) string { return v })
	weir.FlatMap[string, string, string](nil, "flat", nil)

	// Whatever hangs on something that belongs to an application is reported
	// there.
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	weir.Forward(in.Stream(), "forward", nil)
	_, err := app.Build()
	if err == nil {
		t.Error("a forward to nothing was accepted")
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app", weir.OnError(weir.DeadLetter("dead")))
	in := weir.NewTopic[string, string](app, "in")
	fn := func(weir.Context, string) error { return nil }
	weir.Each(in.Stream(), "inherits", fn)
	weir.Each(in.Stream(), "skips", fn, weir.OnError(weir.Retry(5, time.Millisecond, time.Second).Then(weir.Skip())))
	weir.Each(in.Stream(), "stops", fn, weir.OnError(weir.Stop()))
	plain := weir.NewApp("plain")
	weir.Each(weir.NewTopic[string, string](plain, "in").Stream(), "default", fn)

	agents := append(app.Graph().Agents, plain.Graph().Agents...)
	for i, want := range []string{"dead-letter to dead", "5 retries from 1ms to 1s, then skip", "stop", "4 retries from 50ms to 1s, then stop"} {
		equal(t, agents[i].Name, agents[i].Policy.String(), want)
	}
	top, err := app.Build()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "dead letters", top.Topics["dead"].KeyType, "bytes")
}

// Building twice gives the same and leaves the application as it was.
func TestBuildTwice(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, point](app, "in")
	table := weir.NewTable[int, int](app, "table")
	weir.Each(weir.GroupBy(in.Stream(), "by-x", func(p point) int { return p.X }), "count",
		func(ctx weir.Context, p point) error { return table.Set(ctx, p.X, 1) }, weir.Uses(table), weir.OnError(weir.DeadLetter("dead")))
	render := func() string {
		top, err := app.Build()
		if err != nil {
			t.Fatal(err)
		}
		s, err := top.Render(topology.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	equal(t, "second rendering", render(), render())
	equal(t, "name", app.Name(), "app")
}

func TestInfo(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, point](app, "in", weir.Partitions(3))
	nums := weir.NewTopic[int, []byte](app, "nums")
	ref := weir.NewGlobalTable(app, in)
	hourly := weir.NewWindowedTable[carrier, int](app, "hourly", weir.Tumbling(time.Hour))
	weir.Each(in.Stream(), "agent", func(weir.Context, point) error { return nil },
		weir.Uses(ref, hourly), weir.Sends(nums), weir.OnError(weir.DeadLetter("dead")))

	topics := app.Topics()
	names := func(n int, name func(int) string) (all []string) {
		for i := range n {
			all = append(all, name(i))
		}
		return all
	}
	if got := names(len(topics), func(i int) string { return topics[i].Name }); !slices.Equal(got, []string{"in", "nums", "dead"}) {
		t.Fatalf("topics are %v", got)
	}
	equal(t, "partitions", topics[0].Partitions, 3)
	encoded := func(what string, fn func(string) ([]byte, error), in, want string) {
		t.Helper()
		b, err := fn(in)
		if err != nil {
			t.Errorf("%s %s: %v", what, in, err)
		}
		equal(t, what+" "+in, text(b), want)
	}
	encoded("key", topics[0].EncodeKeyJSON, `"k"`, "k")
	encoded("key", topics[0].EncodeKeyJSON, `k`, "k")
	encoded("key", topics[0].EncodeKeyJSON, `12`, "12")
	encoded("key", topics[0].EncodeKeyJSON, `null`, "null")
	encoded("value", topics[0].EncodeValueJSON, ` {"Y": 2}`, `{"X":0,"Y":2}`)
	encoded("value", topics[0].EncodeValueJSON, `null`, "null")
	encoded("key", topics[1].EncodeKeyJSON, `1`, "\x80\x00\x00\x00\x00\x00\x00\x01")
	encoded("value", topics[1].EncodeValueJSON, `"aGk="`, "hi")
	encoded("value", topics[1].EncodeValueJSON, `raw bytes`, "raw bytes")
	if _, err := topics[1].EncodeKeyJSON("x"); err == nil {
		t.Error("x was taken for an integer")
	}
	v, err := topics[0].DecodeValue([]byte(`{"X":5}`))
	equal(t, "decoded", v, any(point{X: 5}))
	if v, _ = topics[0].DecodeValue(nil); err != nil || v != nil {
		t.Errorf("null was decoded as %v, %v", v, err)
	}
	k, _ := topics[1].DecodeKey([]byte("\x80\x00\x00\x00\x00\x00\x00\x01"))
	equal(t, "decoded", k, any(1))

	tables := app.Tables()
	if got := names(len(tables), func(i int) string { return tables[i].Log }); !slices.Equal(got, []string{"in", "app-hourly-changelog"}) {
		t.Fatalf("logs are %v", got)
	}
	start, rest, windowed := tables[1].Split(topology.WindowKey(3600_000, []byte("AA")))
	equal(t, "windowed", windowed, true)
	equal(t, "start", start, 3600_000)
	k, err = tables[1].DecodeKey(rest)
	if err != nil || k != any(carrier("AA")) {
		t.Errorf("key is %v, %v", k, err)
	}
	encoded("key", tables[1].EncodeKeyJSON, "AA", "AA")
	if _, rest, windowed = tables[0].Split([]byte("12345678k")); windowed || string(rest) != "12345678k" {
		t.Error("the key of a plain table was split")
	}
	if n, err := tables[1].DecodeValue([]byte("bad")); err == nil {
		t.Errorf("bad bytes gave %v", n)
	}
}

func TestTopicCodecs(t *testing.T) {
	t.Parallel()
	in := weir.NewTopic[int, point](weir.NewApp("app"), "in")
	k, err := in.EncodeKey(1)
	if err != nil {
		t.Fatal(err)
	}
	v, err := in.EncodeValue(point{X: 2})
	if err != nil {
		t.Fatal(err)
	}
	key, err := in.DecodeKey(k)
	equal(t, "key", key, 1)
	equal(t, "error", err, nil)
	value, err := in.DecodeValue(v)
	equal(t, "value", value, point{X: 2})
	equal(t, "error", err, nil)
	equal(t, "name", in.Name(), "in")
	if zero, err := in.DecodeValue(nil); err != nil || zero != (point{}) {
		t.Errorf("null gives %v, %v", zero, err)
	}
}
