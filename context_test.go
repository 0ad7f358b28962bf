package weir_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"context"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

func each(t *testing.T, opts []weir.AgentOption, fn func(ctx weir.Context, v string) error) *agent {
	t.Helper()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	weir.Each(in.Stream(), "agent", fn, opts...)
	return start(t, app, "agent")
}

func TestContext(t *testing.T) {
	t.Parallel()
	called := false
	a := each(t, nil, func(ctx weir.Context, v string) error {
		called = true
		equal(t, "key", weir.Key[string](ctx), "k")
		equal(t, "offset", ctx.Record().Offset, 42)
		equal(t, "header", string(ctx.Header("h")), "last")
		equal(t, "missing header", ctx.Header("x") == nil, true)
		equal(t, "null", ctx.Null(), true)
		equal(t, "value", v, "")
		equal(t, "time", ctx.Time(), time.UnixMilli(1500).UTC())
		equal(t, "now", ctx.Now(), time.UnixMilli(9000).UTC())
		equal(t, "stream time", ctx.StreamTime(), time.UnixMilli(1500).UTC())
		equal(t, "names", ctx.Agent()+" "+ctx.Task(), "agent sub/3")
		equal(t, "partition", ctx.Partition(), 3)
		equal(t, "random", ctx.Rand().Uint64(), 1)
		equal(t, "random", ctx.Rand().Uint64(), 2)
		equal(t, "err", ctx.Err(), nil)
		ctx.Logger().Info("hello")
		return nil
	})
	var log bytes.Buffer
	a.Context = context.WithValue(t.Context(), topology.LoggerKey, slog.New(slog.NewTextHandler(&log, nil)))
	a.now = 9000
	err := a.record(&record.Record{Key: []byte("k"), Time: 1500, Headers: []record.Header{
		{Key: "h", Value: []byte("first")}, {Key: "h", Value: []byte("last")},
	}})
	if err != nil || !called {
		t.Fatal(called, err)
	}
	if got := log.String(); !strings.Contains(got, "msg=hello agent=agent task=sub/3") {
		t.Errorf("log is %q", got)
	}
}

func TestKeyOfAnotherType(t *testing.T) {
	t.Parallel()
	a := each(t, nil, func(ctx weir.Context, _ string) error { weir.Key[int](ctx); return nil })
	defer func() {
		err, _ := recover().(error)
		if err == nil || !strings.Contains(err.Error(), `agent "agent" asked for a key of type int`) {
			t.Errorf("panic is %v", err)
		}
	}()
	_ = a.process("k", "v", 1)
	t.Error("no panic")
}

// A context that outlives its call is useless, not harmful.
func TestContextIsInactiveAfterwards(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	table := weir.NewTable[string, string](app, "table")
	windowed := weir.NewWindowedTable[string, string](app, "windowed", weir.Tumbling(time.Second))
	timer := weir.NewTimer(app, "timer", func(weir.Context, string) error { return nil })
	var kept weir.Context
	weir.Each(in.Stream(), "agent", func(ctx weir.Context, _ string) error { kept = ctx; return nil },
		weir.Uses(table, windowed), weir.Sets(timer), weir.Sends(in))
	start(t, app, "agent").must("k=v")

	_, getErr := table.Get(kept, "k")
	var scanErr error
	for _, err := range table.All(kept) {
		scanErr = err
	}
	for what, err := range map[string]error{
		"err": kept.Err(), "get": getErr, "scan": scanErr,
		"set":    table.Set(kept, "k", "v"),
		"update": table.Update(kept, "k", func(v string) string { return v }),
		"delete": table.Delete(kept, "k"),
		"window": windowed.Set(kept, "k", "v"),
		"send":   in.Send(kept, "k", "v"),
		"timer":  timer.Set(kept, "k", time.Now()),
		"cancel": timer.Cancel(kept, "k"),
	} {
		if !errors.Is(err, topology.ErrInactive) {
			t.Errorf("%s: error is %v", what, err)
		}
	}
	if d, ok := kept.Deadline(); ok || !d.IsZero() || kept.Done() != nil || kept.Value("x") != nil || !kept.Now().IsZero() || kept.Task() != "" {
		t.Error("something of the context is left")
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[string, string](app, "in")
	weir.Each(in.Stream(), "agent", func(ctx weir.Context, v string) error {
		return errors.Join(
			in.Send(ctx, "a", v),
			in.SendNull(ctx, "b"),
			in.Send(ctx, "", "", weir.At(time.UnixMilli(77)), weir.ToPartition(5), weir.WithHeader("h", []byte("1")), weir.WithHeader("i", nil)),
			in.Send(ctx, "c", "plain"),
		)
	}, weir.Sends(in))
	a := start(t, app, "agent")
	a.must("k=v")
	equal(t, "output", a.sends(), "in a=v @1\nin b=null @1\nin = @77\nin c=plain @1\n")
	equal(t, "partitions", [2]int32{a.sent[0].Partition, a.sent[2].Partition}, [2]int32{-1, 5})
	equal(t, "headers", len(a.sent[2].Headers), 2)
	equal(t, "headers of the next", len(a.sent[3].Headers), 0)
	if a.sent[2].Value == nil || a.sent[2].Key == nil {
		t.Error("empty became null")
	}
}

func TestTimer(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("app")
	in := weir.NewTopic[int, string](app, "in", weir.KeyCodec(decimal{}))
	table := weir.NewTable[int, string](app, "table", weir.KeyCodec(decimal{}))
	timer := weir.NewTimer(app, "timer", func(ctx weir.Context, k int) error {
		equal(t, "key", weir.Key[int](ctx), k)
		return table.Set(ctx, k, ctx.Time().Format(time.TimeOnly))
	}, weir.KeyCodec(decimal{}), weir.Uses(table), weir.Sends(in), weir.OnError(weir.Skip()))
	weir.Each(in.Stream(), "agent", func(ctx weir.Context, v string) error {
		if v == "cancel" {
			return timer.Cancel(ctx, weir.Key[int](ctx))
		}
		return timer.Set(ctx, weir.Key[int](ctx), ctx.Time().Add(time.Minute))
	}, weir.Sets(timer))

	a := start(t, app, "agent")
	a.must("1=set", "2=set", "1=cancel")
	equal(t, "timers", len(a.timers), 1)
	equal(t, "time", a.timers["timer/2"], 60_002)

	spec := app.Graph().Timers[0]
	equal(t, "policy", spec.Policy.Final, topology.Skip)
	equal(t, "uses and sends", spec.Uses[0]+" "+spec.Sends[0], "table in")
	a.rec = &record.Record{Key: []byte("2"), Time: 60_002}
	if err := spec.Fire(a.fake, []byte("2")); err != nil {
		t.Fatal(err)
	}
	equal(t, "value", string(*a.tables["table"]["2"]), "00:01:00")
	if err := spec.Fire(a.fake, []byte("xx")); !errors.Is(err, weir.ErrDecode) {
		t.Errorf("error is %v", err)
	}
}
