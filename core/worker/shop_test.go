package worker_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// shop is the part of the application that has everything at once: a
// repartition, a table, a windowed table, timers and outputs of all of them.
//
//	sales ─router─▶ by-item ─teller─▶ receipts
//	                          ├ sold          how often an item was sold
//	                          ├ sold-hourly   the same by window; closed: ─▶ hours
//	                          └ reminder      "remind:T" rings at T:     ─▶ reminders
var shopOutputs = []string{"by-item", "receipts", "hours", "reminders"}

func (a *testApp) addShop(g *topology.Graph) {
	for _, name := range []string{"sales", "receipts", "hours", "reminders"} {
		g.Topics = append(g.Topics, topology.Topic{Name: name})
	}
	g.Topics = append(g.Topics, topology.Topic{Name: "by-item", Kind: topology.Repartition, From: "sales"})
	g.Tables = append(g.Tables,
		topology.Table{Name: "sold"},
		topology.Table{Name: "sold-hourly", Window: &topology.Window{Size: 100, Grace: 50}, OnClose: a.closeHour, CloseSends: []string{"hours"}},
	)
	g.Timers = append(g.Timers, topology.Timer{Name: "reminder", Fire: a.remind, Uses: []string{"sold"}, Sends: []string{"reminders"}})
	g.Agents = append(g.Agents,
		topology.Agent{
			Name: "router", Source: "sales", Sends: []string{"by-item"},
			New: func() topology.Processor { return process(a.route) },
		},
		topology.Agent{
			Name: "teller", Source: "by-item", Uses: []string{"sold", "sold-hourly"}, Sends: []string{"receipts"}, Sets: []string{"reminder"},
			New: func() topology.Processor { return process(a.tell) },
		},
	)
}

// route sends "item" or "item,remind:T" on under its item.
func (a *testApp) route(ctx topology.Context, r *record.Record) error {
	item, order, _ := strings.Cut(string(r.Value), ",")
	return ctx.Send("by-item", topology.Output{Partition: -1, Key: []byte(item), Value: []byte(order), Time: r.Time})
}

func (a *testApp) tell(ctx topology.Context, r *record.Record) error {
	n, err := a.increment(ctx, "sold", r.Key)
	if err != nil {
		return err
	}
	start, open, err := ctx.Window(a.tables["sold-hourly"], r.Time)
	if err != nil {
		return err
	}
	if open {
		if _, err := a.increment(ctx, "sold-hourly", topology.WindowKey(start, r.Key)); err != nil {
			return err
		}
	}
	if at, ok := strings.CutPrefix(string(r.Value), "remind:"); ok {
		when, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return err
		}
		if err := ctx.SetTimer(a.timers["reminder"], r.Key, when); err != nil {
			return err
		}
	}
	return ctx.Send("receipts", topology.Output{Partition: -1, Key: r.Key, Value: []byte(n), Time: r.Time})
}

func (a *testApp) closeHour(ctx topology.Context, start int64, key, value []byte) error {
	return ctx.Send("hours", topology.Output{Partition: -1, Key: key, Value: fmt.Appendf(nil, "[%d,%d)=%s", start, start+100, value), Time: start})
}

func (a *testApp) remind(ctx topology.Context, key []byte) error {
	n, _, err := ctx.Get(a.tables["sold"], key, nil)
	if err != nil {
		return err
	}
	return ctx.Send("reminders", topology.Output{Partition: -1, Key: key, Value: n, Time: ctx.Record().Time})
}
