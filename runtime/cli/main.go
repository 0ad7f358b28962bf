package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

// Main runs the command of an application with the arguments of the process
// and ends the process: with status 0 on success, 1 on failure. SIGINT and
// SIGTERM stop what runs in an orderly way, a second one at once.
func Main(app *weir.App, opts ...Option) {
	os.Exit(run(app, opts, os.Args[1:]))
}

func run(app *weir.App, opts []Option, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the default is back: the next one kills.
	context.AfterFunc(ctx, stop)
	cmd := New(app, opts...)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Name(), err)
		return 1
	}
	return 0
}

// An Option changes the command of an application.
type Option func(e *Env)

// With adds commands of the application's own. Their functions get at the
// application and its settings with From(cmd.Context()). They must not have a
// PersistentPreRun of their own, which would replace the one that reads the
// settings.
func With(cmds ...*cobra.Command) Option {
	return func(e *Env) { e.extra = append(e.extra, cmds...) }
}

// WithStore adds a kind of store, for --store and weir.Store, with settings
// of its own for the command worker: each is the flag --NAME and the variable
// WEIR_NAME, and comes to the opener in StoreConfig.Settings.
func WithStore(name string, open StoreOpener, settings ...store.Setting) Option {
	return func(e *Env) {
		e.stores[name] = open
		for _, s := range settings {
			e.storeSettings[s.Name] = s.Default
			e.more = append(e.more, e.settingOf(s))
		}
	}
}

// WithTransport replaces the connection to Kafka, for tests and for brokers
// that want something special of a client.
func WithTransport(open func(ctx context.Context, e *Env) (runtime.Transport, error)) Option {
	return func(e *Env) { e.connect = open }
}

// New returns the command of an application without running it.
func New(app *weir.App, opts ...Option) *cobra.Command {
	e := newEnv(app)
	for _, o := range opts {
		o(e)
	}
	root := &cobra.Command{
		Use:           app.Name(),
		Short:         "Run and look after the application " + app.Name(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return e.prepare(cmd, os.LookupEnv)
		},
	}
	bind(root.PersistentFlags(), e.settings(), &e.Settings, everywhere)
	root.AddCommand(workerCommand(), topologyCommand(), topicsCommand(), tableCommand(), sendCommand(), resetCommand())
	root.AddCommand(e.extra...)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "worker" {
			bind(cmd.Flags(), e.settings(), &e.Settings, workerOnly)
		}
	}
	return root
}
