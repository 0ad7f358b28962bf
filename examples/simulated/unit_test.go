package shop_test

import (
	"slices"
	"testing"

	"example.com/shop"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/sim"
)

// TestThirdOrder is the test that one would write first. It passes with the
// bug: nothing goes wrong in it.
func TestThirdOrder(t *testing.T) {
	app := weir.NewApp("shop")
	orders := weir.NewTopic[string, string](app, "orders")
	vouchers := weir.NewTopic[string, string](app, "vouchers")
	shop.Vouchers(app, orders, vouchers)
	s := sim.New(t, app)
	for _, customer := range []string{"ada", "bob", "ada", "ada", "bob"} {
		sim.Send(s, orders, customer, "a book")
	}
	s.Settle()
	var got []string
	for _, r := range sim.Read(s, vouchers) {
		got = append(got, r.Key+" "+r.Value)
	}
	if !slices.Equal(got, []string{"ada 3"}) {
		t.Errorf("vouchers: %q", got)
	}
}
