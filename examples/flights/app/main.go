//go:build !wasip1

// Package app is the flights example as a command, so that a program which
// has more stores than the usual ones can run it; see Main.
package app

import (
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/examples/flights/traffic"
	"github.com/weirstream/weir/runtime/cli"
)

// A Store is a kind of store beside the usual ones.
type Store struct {
	Name string
	Open cli.StoreOpener
	// Settings are what an operator can tell it.
	Settings []store.Setting
	// Prepare, when set, gets ready what the workers of one demo share, such
	// as a server. It returns what to add to their environment, and what to
	// call at the end.
	Prepare func() (env []string, stop func(), err error)
}

// An application is the app with what its commands need.
type application struct {
	*traffic.App

	// prepare holds what stores need before a demo, by name.
	prepare map[string]func() (env []string, stop func(), err error)
}

// Main runs the command of the example and does not return.
func Main(stores ...Store) {
	a := &application{App: traffic.New("")}
	opts := []cli.Option{cli.With(a.loadCommand(), a.verifyCommand(), a.demoCommand())}
	a.prepare = make(map[string]func() ([]string, func(), error))
	for _, s := range stores {
		opts = append(opts, cli.WithStore(s.Name, s.Open, s.Settings...))
		a.prepare[s.Name] = s.Prepare
	}
	cli.Main(a.App.App, opts...)
}
