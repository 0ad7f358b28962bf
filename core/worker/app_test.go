package worker_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// testApp is the application that all scripts run. Each of its agents shows
// one thing; testdata/README.md describes it for readers of the scripts.
type testApp struct {
	topo *topology.Topology
	// failures counts the attempts of records that fail a number of times.
	failures map[string]int
	tables   map[string]*topology.Table
	timers   map[string]*topology.Timer
}

const appName = "app"

func newTestApp(t testing.TB) *testApp {
	a := &testApp{failures: make(map[string]int), tables: make(map[string]*topology.Table), timers: make(map[string]*topology.Timer)}
	g := topology.Graph{App: appName}
	for _, name := range []string{
		"words", "skips", "flaky", "letters", "dead", "totals", "orders", "payments",
		"clicks", "groups", "trips", "visits", "closed", "late", "rooms", "alarms", "rings", "cities",
	} {
		g.Topics = append(g.Topics, topology.Topic{Name: name})
	}
	for _, name := range []string{"counts", "skip-counts", "flaky-counts", "letter-counts", "trail", "batches", "rung", "secret"} {
		g.Tables = append(g.Tables, topology.Table{Name: name})
	}
	g.Tables = append(g.Tables,
		topology.Table{Name: "city", Source: "cities"},
		topology.Table{Name: "hourly", Window: &topology.Window{Size: 100, Grace: 50}, Late: "late", OnClose: a.closed,
			CloseUses: []string{"hourly"}, CloseSends: []string{"closed"}, Policy: topology.Policy{Final: topology.Skip}},
		topology.Table{Name: "trips-hourly", Window: &topology.Window{Size: 100}, Late: "late"},
		topology.Table{Name: "rooms-hourly", Window: &topology.Window{Size: 100, Retain: 200}},
	)
	g.Timers = []topology.Timer{{Name: "bell", Fire: a.ring, Uses: []string{"rung"}, Sends: []string{"rings"}}}
	agent := func(name, source, table string, p topology.Policy) {
		g.Agents = append(g.Agents, topology.Agent{
			Name: name, Source: source, Uses: []string{table, "city"}, Sends: []string{"totals"}, Policy: p,
			New: func() topology.Processor {
				return process(func(ctx topology.Context, r *record.Record) error { return a.count(ctx, table, r) })
			},
		})
	}
	agent("counter", "words", "counts", topology.Policy{})
	agent("skipper", "skips", "skip-counts", topology.Policy{Final: topology.Skip})
	agent("retrier", "flaky", "flaky-counts", topology.Policy{Retries: 2, Backoff: 100 * time.Millisecond, MaxBackoff: 150 * time.Millisecond})
	agent("burier", "letters", "letter-counts", topology.Policy{Retries: 1, Final: topology.DeadLetter, Topic: "dead"})
	for _, source := range []string{"orders", "payments"} {
		g.Agents = append(g.Agents, topology.Agent{
			Name: source, Source: source, Uses: []string{"trail"},
			New: func() topology.Processor { return process(a.follow) },
		})
	}
	windowed := func(name, source, table string) {
		g.Agents = append(g.Agents, topology.Agent{
			Name: name, Source: source, Uses: []string{table},
			New: func() topology.Processor {
				return process(func(ctx topology.Context, r *record.Record) error { return a.visit(ctx, table, r) })
			},
		})
	}
	windowed("visitor", "visits", "hourly")
	windowed("guard", "rooms", "rooms-hourly")
	g.Agents = append(g.Agents,
		topology.Agent{Name: "hoarder", Source: "secret-owner", Uses: []string{"secret"}, New: func() topology.Processor { return process(a.follow) }},
		topology.Agent{Name: "alarmer", Source: "alarms", Uses: []string{"rung"}, Sends: []string{"rings"}, Sets: []string{"bell"},
			New: func() topology.Processor { return process(a.alarm) }},
		topology.Agent{Name: "batcher", Source: "clicks", Uses: []string{"batches"}, Sends: []string{"groups"},
			Policy: topology.Policy{Retries: 1, Backoff: 100 * time.Millisecond},
			New:    func() topology.Processor { return &batcher{app: a} }},
	)
	g.Agents = append(g.Agents, topology.Agent{Name: "traveller", Source: "trips", Uses: []string{"trips-hourly"}, New: func() topology.Processor {
		return &traveller{batcher{app: a}}
	}})
	g.Topics = append(g.Topics, topology.Topic{Name: "secret-owner"})
	a.addShop(&g)
	topo, err := topology.Build(g)
	if err != nil {
		t.Fatal(err)
	}
	a.topo = topo
	for name, table := range topo.Tables {
		a.tables[name] = table
	}
	for _, s := range topo.Subs {
		for _, tm := range s.Timers {
			a.timers[tm.Name] = tm
		}
	}
	return a
}

type process func(ctx topology.Context, r *record.Record) error

func (p process) Process(ctx topology.Context, r *record.Record) error { return p(ctx, r) }

var errBoom = errors.New("boom")

// count counts a key in a table and sends the count on. What the value says
// happens after that: the count must not survive a failure.
func (a *testApp) count(ctx topology.Context, table string, r *record.Record) error {
	n, err := a.increment(ctx, table, r.Key)
	if err != nil {
		return err
	}
	if err := ctx.Send("totals", topology.Output{Partition: -1, Key: r.Key, Value: []byte(n), Time: r.Time}); err != nil {
		return err
	}
	return a.misbehave(ctx, r)
}

func (a *testApp) misbehave(ctx topology.Context, r *record.Record) error {
	v := string(r.Value)
	switch {
	case v == "boom":
		return errBoom
	case v == "panic":
		panic("out of cheese")
	case v == "undeclared":
		return ctx.Put(a.tables["secret"], r.Key, r.Value)
	case v == "nowhere":
		return ctx.Send("totals", topology.Output{Partition: 99, Key: r.Key})
	case v == "unannounced":
		return ctx.Send("rings", topology.Output{Partition: -1, Key: r.Key})
	case v == "nil":
		return ctx.Put(a.tables["counts"], r.Key, nil)
	case v == "delete":
		return ctx.Delete(a.tables["counts"], r.Key)
	case v == "city":
		c, found, err := ctx.Get(a.tables["city"], r.Key, nil)
		if err != nil {
			return err
		}
		return ctx.Send("totals", topology.Output{Partition: -1, Key: r.Key, Value: fmt.Appendf(nil, "%s,%t", c, found)})
	case strings.HasPrefix(v, "fail"):
		id := fmt.Sprintf("%s@%d", r.TP(), r.Offset)
		limit, _ := strconv.Atoi(v[len("fail"):])
		if a.failures[id]++; a.failures[id] <= limit {
			return fmt.Errorf("attempt %d: %w", a.failures[id], errBoom)
		}
	}
	return nil
}

func (a *testApp) increment(ctx topology.Context, table string, key []byte) (string, error) {
	v, _, err := ctx.Get(a.tables[table], key, nil)
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(string(v))
	next := strconv.Itoa(n + 1)
	return next, ctx.Put(a.tables[table], key, []byte(next))
}

// follow appends where a record came from to the entry of its key.
func (a *testApp) follow(ctx topology.Context, r *record.Record) error {
	v, _, err := ctx.Get(a.tables["trail"], r.Key, nil)
	if err != nil {
		return err
	}
	if len(v) > 0 {
		v = append(v, ' ')
	}
	return ctx.Put(a.tables["trail"], r.Key, fmt.Appendf(v, "%s@%d", r.Topic, r.Time))
}

// visit counts a key in the window of the record's time, twice if asked.
func (a *testApp) visit(ctx topology.Context, table string, r *record.Record) error {
	times := 1
	if string(r.Value) == "twice" {
		times = 2
	}
	for range times {
		start, open, err := ctx.Window(a.tables[table], r.Time)
		if err != nil || !open {
			if err != nil || times == 1 {
				return err
			}
			continue
		}
		if _, err := a.increment(ctx, table, topology.WindowKey(start, r.Key)); err != nil {
			return err
		}
	}
	return a.misbehave(ctx, r)
}

func (a *testApp) closed(ctx topology.Context, start int64, key, value []byte) error {
	if err := ctx.Send("closed", topology.Output{Partition: -1, Key: key, Value: fmt.Appendf(nil, "[%d,%d)=%s", start, start+100, value), Time: start}); err != nil {
		return err
	}
	if string(key) == "cursed" {
		return errBoom
	}
	return nil
}

// alarm sets, cancels or ignores: "set 100", "cancel", "tick".
func (a *testApp) alarm(ctx topology.Context, r *record.Record) error {
	verb, arg, _ := strings.Cut(string(r.Value), ":")
	switch verb {
	case "set":
		at, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return err
		}
		return ctx.SetTimer(a.timers["bell"], r.Key, at)
	case "cancel":
		return ctx.CancelTimer(a.timers["bell"], r.Key)
	}
	return a.misbehave(ctx, r)
}

// ring counts and announces. The timer of key "again" sets itself once more, that
// of "killer" cancels the one of "victim".
func (a *testApp) ring(ctx topology.Context, key []byte) error {
	n, err := a.increment(ctx, "rung", key)
	if err != nil {
		return err
	}
	at := ctx.Record().Time
	if string(key) == "again" && n == "1" {
		if err := ctx.SetTimer(a.timers["bell"], key, at+100); err != nil {
			return err
		}
	}
	if string(key) == "killer" {
		if err := ctx.CancelTimer(a.timers["bell"], []byte("victim")); err != nil {
			return err
		}
	}
	return ctx.Send("rings", topology.Output{Partition: -1, Key: key, Value: fmt.Appendf(nil, "%d at stream time %d", at, ctx.StreamTime()), Time: at})
}

// A traveller counts three records at a time, each in the window of its own
// time.
type traveller struct{ batcher }

func (b *traveller) Process(ctx topology.Context, r *record.Record) error {
	if len(b.held) == 0 {
		b.due = ctx.Now() + 1000
	}
	b.held = append(b.held, r)
	if len(b.held) < 3 {
		return nil
	}
	return b.Flush(ctx)
}

func (b *traveller) Flush(ctx topology.Context) error {
	batch := slices.Clone(b.held)
	b.held = nil
	for _, r := range batch {
		times := 1
		if string(r.Value) == "twice" {
			times = 2
		}
		for range times {
			start, open, err := ctx.Window(b.app.tables["trips-hourly"], r.Time)
			if err != nil {
				return err
			}
			if !open {
				continue
			}
			if _, err := b.app.increment(ctx, "trips-hourly", topology.WindowKey(start, r.Key)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A batcher takes three records at a time, or what there is after a second.
type batcher struct {
	app  *testApp
	held []*record.Record
	due  int64
}

func (b *batcher) Process(ctx topology.Context, r *record.Record) error {
	if len(b.held) == 0 {
		b.due = ctx.Now() + 1000
	}
	b.held = append(b.held, r)
	if len(b.held) < 3 && string(r.Key) != "alone" {
		return nil
	}
	return b.Flush(ctx)
}

func (b *batcher) Held() int  { return len(b.held) }
func (b *batcher) Due() int64 { return b.due }
func (b *batcher) Close()     { b.held = nil }

func (b *batcher) Flush(ctx topology.Context) error {
	batch := slices.Clone(b.held)
	b.held = nil
	var keys []string
	for _, r := range batch {
		keys = append(keys, string(r.Key))
		if _, err := b.app.increment(ctx, "batches", r.Key); err != nil {
			return err
		}
		if err := b.app.misbehave(ctx, r); err != nil {
			return err
		}
	}
	return ctx.Send("groups", topology.Output{Partition: 0, Value: []byte(strings.Join(keys, "+"))})
}
