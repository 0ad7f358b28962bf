package sim_test

import (
	"fmt"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/sim"
)

// In a test, t is the *testing.T.
func Example() {
	app := weir.NewApp("shop")
	orders := weir.NewTopic[string, int64](app, "orders")
	totals := weir.NewTable[string, int64](app, "totals")
	weir.EachEvent(orders.Stream(), "add-up", func(ctx weir.Context, o weir.Event[string, int64]) error {
		return totals.Update(ctx, o.Key, func(sum int64) int64 { return sum + o.Value })
	}, weir.Uses(totals))

	s := sim.New(t, app, sim.Workers(2))
	sim.Send(s, orders, "ada", 3)
	sim.Send(s, orders, "bob", 5)
	s.Advance(time.Second)
	s.Crash(0)
	sim.Send(s, orders, "ada", 4)
	s.Settle()

	ada, _ := sim.Lookup(s, totals, "ada")
	bob, _ := sim.Lookup(s, totals, "bob")
	fmt.Println("ada", ada, "bob", bob)
	// Output: ada 7 bob 5
}

// t stands for the *testing.T that an Example does not have.
var t example

type example struct{}

func (example) Helper() {}

func (example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
