package conformance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
)

// ApplicationCases returns the small applications of the suite.
func ApplicationCases() []ApplicationCase {
	return []ApplicationCase{countCase(), windowCase(), joinCase(), timerCase(), deadCase(), flightsCase()}
}

// epoch is the first event time of all inputs.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) int64 { return epoch.Add(d).UnixMilli() }

// encoded is a value by its default codec.
func encoded[T any](v T) string {
	c, err := weir.DefaultCodec[T]()
	if err != nil {
		panic(err)
	}
	b, err := c.Append(nil, v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func input(topic, key, value string, time int64) record.Record {
	return record.Record{Topic: topic, Key: []byte(key), Value: []byte(value), Time: time}
}

// phases makes the input of four phases.
func phases(of func(phase int) []record.Record) [][]record.Record {
	var all [][]record.Record
	for phase := range 4 {
		all = append(all, of(phase))
	}
	return all
}

// add appends a value of a key.
func add(m map[string][]string, key, value string) { m[key] = append(m[key], value) }

// countCase counts words and tells each count.
func countCase() ApplicationCase {
	return ApplicationCase{
		Name: "count", App: "counting", Topics: map[string]int32{"words": 3, "counted": 2},
		Build: func(name func(string) string) *weir.App {
			app := weir.NewApp(name("counting"))
			in := weir.NewTopic[string, string](app, name("words"))
			out := weir.NewTopic[string, int64](app, name("counted"))
			counts := weir.NewTable[string, int64](app, "counts")
			weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, ev weir.Event[string, string]) error {
				var n int64
				err := counts.Update(ctx, ev.Key, func(c int64) int64 { n = c + 1; return n })
				if err != nil {
					return err
				}
				return out.Send(ctx, ev.Key, n)
			}, weir.Uses(counts), weir.Sends(out))
			return app
		},
		Phases: phases(func(phase int) (rs []record.Record) {
			for i := range 150 {
				rs = append(rs, input("words", fmt.Sprint("word-", (i*i+phase)%23), "", at(time.Duration(phase*150+i)*time.Second)))
			}
			return rs
		}),
		Want: func(in []record.Record) Known {
			counts, told := make(map[string]string), make(map[string][]string)
			for _, r := range in {
				key := string(r.Key)
				counts[key] = encoded(int64(len(told[key]) + 1))
				add(told, key, counts[key])
			}
			return Known{Topics: map[string]map[string][]string{"counted": told}, Tables: map[string]map[string]string{"counts": counts}}
		},
	}
}

// windowCase counts by the minute and tells each window when it closes.
func windowCase() ApplicationCase {
	const size = time.Minute
	return ApplicationCase{
		Name: "windows", App: "minutes", Topics: map[string]int32{"ticks": 2, "closed": 2},
		Build: func(name func(string) string) *weir.App {
			app := weir.NewApp(name("minutes"))
			in := weir.NewTopic[string, string](app, name("ticks"))
			out := weir.NewTopic[string, int64](app, name("closed"))
			counts := weir.NewWindowedTable[string, int64](app, "counts", weir.Tumbling(size),
				weir.OnClose(func(ctx weir.Context, w weir.Window, key string, n int64) error {
					return out.Send(ctx, fmt.Sprint(key, "@", w.End.Sub(epoch)), n)
				}), weir.Sends(out))
			weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, ev weir.Event[string, string]) error {
				return counts.Update(ctx, ev.Key, func(n int64) int64 { return n + 1 })
			}, weir.Uses(counts))
			return app
		},
		Phases: phases(func(phase int) (rs []record.Record) {
			for i := range 120 {
				rs = append(rs, input("ticks", fmt.Sprint("key-", i%7), "", at(time.Duration(phase*120+i)*2*time.Second)))
			}
			return rs
		}),
		Want: func(in []record.Record) Known {
			// Windows close by the stream time of their partition.
			latest, counts := make(map[int32]int64), make(map[string]int64)
			ends, parts := make(map[string]int64), make(map[string]int32)
			for _, r := range in {
				p := record.Partition(r.Key, 2)
				latest[p] = max(latest[p], r.Time)
				end := r.Time - r.Time%size.Milliseconds() + size.Milliseconds()
				key := fmt.Sprint(string(r.Key), "@", time.UnixMilli(end).Sub(epoch))
				counts[key]++
				ends[key], parts[key] = end, p
			}
			told := make(map[string][]string)
			for key, n := range counts {
				if ends[key] <= latest[parts[key]] {
					add(told, key, encoded(n))
				}
			}
			return Known{Topics: map[string]map[string][]string{"closed": told}}
		},
	}
}

// joinCase brings orders to their customers by a repartition, and joins them
// with the customers' names, which come first.
func joinCase() ApplicationCase {
	return ApplicationCase{
		Name: "join", App: "orders", Topics: map[string]int32{"customers": 3, "purchases": 3, "named": 2}, Idempotent: true,
		Build: func(name func(string) string) *weir.App {
			app := weir.NewApp(name("orders"))
			customers := weir.NewTopic[string, string](app, name("customers"))
			orders := weir.NewTopic[string, string](app, name("purchases"))
			out := weir.NewTopic[string, string](app, name("named"))
			names := weir.NewTable[string, string](app, "names")
			weir.EachEvent(customers.Stream(), "know", func(ctx weir.Context, ev weir.Event[string, string]) error {
				return names.Set(ctx, ev.Key, ev.Value)
			}, weir.Uses(names))
			// An order's value is its customer and its number.
			byCustomer := weir.GroupBy(orders.Stream(), "by-customer", func(v string) string { return strings.Fields(v)[0] })
			named := weir.Join(byCustomer, "name", names, func(order, name string, found bool) (string, bool) {
				return fmt.Sprint(strings.Fields(order)[1], " for ", name, " ", found), true
			})
			weir.EachEvent(named, "tell", func(ctx weir.Context, ev weir.Event[string, string]) error {
				return out.Send(ctx, ev.Key, ev.Value)
			}, weir.Sends(out))
			return app
		},
		// While orders come, so do customers who order nothing.
		Phases: phases(func(phase int) (rs []record.Record) {
			who := "c"
			if phase%2 == 1 {
				who = fmt.Sprint("quiet", phase, "-")
			}
			for i := range 12 {
				rs = append(rs, input("customers", fmt.Sprint(who, i), fmt.Sprintf("name %d of customer %d", phase, i), at(time.Duration(phase)*time.Hour)))
			}
			for i := range 100 {
				if phase%2 == 1 {
					rs = append(rs, input("purchases", fmt.Sprint("o", phase, "-", i), fmt.Sprintf("c%d order-%d-%d", i%13, phase, i), at(time.Duration(phase)*time.Hour+time.Duration(i)*time.Second)))
				}
			}
			return rs
		}),
		Want: wantNamed,
	}
}

// wantNamed: orders of one customer come from several partitions, in no order
// among each other, so each is told apart.
func wantNamed(in []record.Record) Known {
	names, told := make(map[string]string), make(map[string][]string)
	for _, r := range in {
		if r.Topic == "customers" {
			names[string(r.Key)] = string(r.Value)
			continue
		}
		order := strings.Fields(string(r.Value))
		name, found := names[order[0]]
		add(told, order[0], fmt.Sprint(order[1], " for ", name, " ", found))
	}
	for key := range told {
		slices.Sort(told[key])
	}
	return Known{Topics: map[string]map[string][]string{"named": told}, Tables: map[string]map[string]string{"names": maps.Clone(names)}}
}

// timerCase notices keys that were quiet for a minute.
func timerCase() ApplicationCase {
	return ApplicationCase{
		Name: "timers", App: "silence", Topics: map[string]int32{"signals": 2, "quiet": 2}, Idempotent: true,
		Build: func(name func(string) string) *weir.App {
			app := weir.NewApp(name("silence"))
			in := weir.NewTopic[string, string](app, name("signals"))
			out := weir.NewTopic[string, string](app, name("quiet"))
			timer := weir.NewTimer(app, "quiet", func(ctx weir.Context, key string) error {
				return out.Send(ctx, key, "quiet")
			}, weir.Sends(out))
			weir.EachEvent(in.Stream(), "watch", func(ctx weir.Context, ev weir.Event[string, string]) error {
				return timer.Set(ctx, ev.Key, ev.Time.Add(time.Minute))
			}, weir.Sets(timer))
			return app
		},
		// Keys signal a few times within seconds and never again; the next
		// phase comes an hour later, with other keys.
		Phases: phases(func(phase int) (rs []record.Record) {
			for i := range 90 {
				rs = append(rs, input("signals", fmt.Sprint("key-", phase, "-", i%30), "", at(time.Duration(phase)*time.Hour+time.Duration(i)*100*time.Millisecond)))
			}
			return rs
		}),
		Want: func(in []record.Record) Known {
			last, latest := make(map[string]int64), make(map[int32]int64)
			for _, r := range in {
				last[string(r.Key)] = r.Time
				p := record.Partition(r.Key, 2)
				latest[p] = max(latest[p], r.Time)
			}
			told := make(map[string][]string)
			for key, t := range last {
				if latest[record.Partition([]byte(key), 2)] >= t+time.Minute.Milliseconds() {
					add(told, key, "quiet")
				}
			}
			return Known{Topics: map[string]map[string][]string{"quiet": told}}
		},
	}
}

// deadCase sends what it cannot handle to a topic of dead letters.
func deadCase() ApplicationCase {
	return ApplicationCase{
		Name: "dead-letters", App: "picky", Topics: map[string]int32{"offers": 2, "taken": 2, "dead": 2}, Idempotent: true,
		Build: func(name func(string) string) *weir.App {
			app := weir.NewApp(name("picky"))
			in := weir.NewTopic[string, string](app, name("offers"))
			out := weir.NewTopic[string, string](app, name("taken"))
			last := weir.NewTable[string, string](app, "last")
			weir.EachEvent(in.Stream(), "take", func(ctx weir.Context, ev weir.Event[string, string]) error {
				if err := out.Send(ctx, ev.Key, ev.Value); err != nil {
					return err
				}
				if err := last.Set(ctx, ev.Key, ev.Value); err != nil {
					return err
				}
				if strings.HasPrefix(ev.Value, "bad") {
					return errors.New("not this one") // and nothing of the above stays
				}
				return nil
			}, weir.Uses(last), weir.Sends(out), weir.OnError(weir.DeadLetter(name("dead"))))
			return app
		},
		Phases: phases(func(phase int) (rs []record.Record) {
			for i := range 80 {
				value := fmt.Sprint("good-", phase, "-", i)
				if i%5 == 3 {
					value = "bad" + value
				}
				rs = append(rs, input("offers", fmt.Sprint("key-", i%11), value, at(time.Duration(phase*80+i)*time.Second)))
			}
			return rs
		}),
		Want: func(in []record.Record) Known {
			taken, dead, last := make(map[string][]string), make(map[string][]string), make(map[string]string)
			for _, r := range in {
				key, value := string(r.Key), string(r.Value)
				if strings.HasPrefix(value, "bad") {
					add(dead, key, value)
					continue
				}
				add(taken, key, value)
				last[key] = value
			}
			return Known{
				Topics: map[string]map[string][]string{"taken": taken, "dead": dead},
				Tables: map[string]map[string]string{"last": last},
			}
		},
	}
}
