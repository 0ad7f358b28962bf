// Package shop is an application with a bug, to show how the simulator finds
// it. See README.md.
package shop

import "github.com/weirstream/weir"

// New declares the application. It is called once for each worker process.
func New() *weir.App {
	app := weir.NewApp("shop")
	orders := weir.NewTopic[string, string](app, "orders")
	vouchers := weir.NewTopic[string, string](app, "vouchers")
	Vouchers(app, orders, vouchers)
	return app
}
