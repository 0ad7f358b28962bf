package shop

import (
	"strconv"

	"github.com/weirstream/weir"
)

// Vouchers sends a customer a voucher for every third order: the number of
// the order.
func Vouchers(app *weir.App, orders, vouchers *weir.Topic[string, string]) {
	counts := &counter{of: make(map[string]int64)}
	weir.EachEvent(orders.Stream(), "vouchers", func(ctx weir.Context, o weir.Event[string, string]) error {
		n := counts.next(o.Key)
		if n%3 != 0 {
			return nil
		}
		return vouchers.Send(ctx, o.Key, strconv.FormatInt(n, 10))
	}, weir.Sends(vouchers))
}
