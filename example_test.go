package weir_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/topology"
)

type flight struct {
	Carrier string
	Delay   int
}

type stats struct{ Count, Delay int }

func (s stats) Add(delay int) stats { return stats{s.Count + 1, s.Delay + delay} }

// An application counts flights by carrier. Building it shows what it is made
// of; runtime/cli runs it, package sim tests it.
func ExampleNewApp() {
	app := weir.NewApp("flights")
	flights := weir.NewTopic[string, flight](app, "flights")
	delays := weir.NewTable[string, stats](app, "delays")

	byCarrier := weir.GroupBy(flights.Stream(), "by-carrier", func(f flight) string { return f.Carrier })
	weir.Each(byCarrier, "delays", func(ctx weir.Context, f flight) error {
		return delays.Update(ctx, f.Carrier, func(s stats) stats { return s.Add(f.Delay) })
	}, weir.Uses(delays))

	topo, err := app.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	drawing, _ := topo.Render(topology.Text)
	fmt.Print(drawing)
	// Output:
	// application flights
	//
	// sub-topology flights
	//   source flights (external, string to json)
	//   agent by-carrier reads flights
	//     steps group-by by-carrier
	//     sends flights-by-carrier-repartition
	//     on error 4 retries from 50ms to 1s, then stop
	//   sink flights-by-carrier-repartition (repartition, string to json, partitions of flights)
	//
	// sub-topology flights-by-carrier-repartition
	//   source flights-by-carrier-repartition (repartition, string to json, partitions of flights)
	//   agent delays reads flights-by-carrier-repartition
	//     uses delays
	//     on error 4 retries from 50ms to 1s, then stop
	//   table delays (string to json), changelog flights-delays-changelog
}

// Build reports every mistake at once.
func ExampleApp_Build() {
	app := weir.NewApp("flights")
	flights := weir.NewTopic[string, flight](app, "flights")
	weir.NewTable[string, func()](app, "handlers")
	weir.Each(flights.Stream(), "delays", func(weir.Context, flight) error { return nil },
		weir.OnError(weir.DeadLetter("flights")))

	_, err := app.Build()
	var mistakes *topology.Error
	if errors.As(err, &mistakes) {
		for _, p := range mistakes.Problems {
			fmt.Println(p.Where, "|", p.What)
		}
	}
	// Output:
	// table "handlers" | has no codec for its values: func() cannot be encoded
	// agent "delays" | sends dead letters to topic "flights", which it reads: a bad record would go round for ever
	// table "handlers" | is not used by any agent
}

// A loop takes batches and keeps a variable between them.
func ExampleLoop() {
	app := weir.NewApp("flights")
	flights := weir.NewTopic[string, flight](app, "flights")
	summaries := weir.NewTopic[string, stats](app, "summaries")

	weir.Loop(flights.Stream(), "summarize", func(ctx weir.Context, in *weir.Inbox[string, flight]) error {
		batches := 0
		for batch := range in.Take(100, time.Second) {
			var s stats
			for _, ev := range batch {
				s = s.Add(ev.Value.Delay)
			}
			batches++
			if err := summaries.Send(ctx, fmt.Sprint("batch-", batches), s); err != nil {
				return err
			}
		}
		return nil
	}, weir.Sends(summaries), weir.OnError(weir.Retry(5, 100*time.Millisecond, 10*time.Second).Then(weir.DeadLetter("flights-dead"))))

	topo, err := app.Build()
	fmt.Println(err, topo.External())
	// Output: <nil> [flights flights-dead summaries]
}

// A windowed table counts by the hour and sends what it has when an hour is
// over.
func ExampleNewWindowedTable() {
	app := weir.NewApp("flights")
	flights := weir.NewTopic[string, flight](app, "flights")
	hours := weir.NewTopic[string, stats](app, "hours")
	hourly := weir.NewWindowedTable[string, stats](app, "hourly", weir.Tumbling(time.Hour),
		weir.Grace(10*time.Minute), weir.Late("late-flights"),
		weir.OnClose(func(ctx weir.Context, w weir.Window, carrier string, s stats) error {
			return hours.Send(ctx, carrier, s, weir.At(w.End))
		}), weir.Sends(hours))
	weir.Each(flights.Stream(), "hourly", func(ctx weir.Context, f flight) error {
		return hourly.Update(ctx, f.Carrier, func(s stats) stats { return s.Add(f.Delay) })
	}, weir.Uses(hourly))

	_, err := app.Build()
	fmt.Println(err)
	// Output: <nil>
}

// A timer notices keys that have gone quiet.
func ExampleNewTimer() {
	app := weir.NewApp("flights")
	flights := weir.NewTopic[string, flight](app, "flights")
	quiet := weir.NewTopic[string, string](app, "quiet")
	timer := weir.NewTimer(app, "silence", func(ctx weir.Context, origin string) error {
		return quiet.Send(ctx, origin, "nothing for an hour")
	}, weir.Sends(quiet))
	weir.EachEvent(flights.Stream(), "watch", func(ctx weir.Context, ev weir.Event[string, flight]) error {
		return timer.Set(ctx, ev.Key, ev.Time.Add(time.Hour))
	}, weir.Sets(timer))

	_, err := app.Build()
	fmt.Println(err)
	// Output: <nil>
}

// A stream is joined with a global table, by any key.
func ExampleJoinGlobal() {
	type Airport struct{ City string }
	app := weir.NewApp("flights")
	flights := weir.NewTopic[string, flight](app, "flights")
	airports := weir.NewGlobalTable(app, weir.NewTopic[string, Airport](app, "airports"))
	cities := weir.JoinGlobal(flights.Stream(), "city", airports, func(f flight) string { return f.Carrier },
		func(_ flight, a Airport, found bool) (string, bool) { return a.City, found })
	weir.Forward(cities, "cities", weir.NewTopic[string, string](app, "cities"))

	_, err := app.Build()
	fmt.Println(err)
	// Output: <nil>
}
