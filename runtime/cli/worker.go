package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "Run the application as one worker of its group",
		Long: `Run the application as one worker of its consumer group.

Start as many as you like, each with a state directory of its own; the tasks
are divided among them. SIGINT and SIGTERM stop a worker in an orderly way: it
finishes and commits what it has, and leaves the group. A second signal ends it
at once, which is safe: so is SIGKILL.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return From(cmd.Context()).work(cmd.Context())
		},
	}
}

// work runs a worker until ctx ends.
func (e *Env) work(ctx context.Context) error {
	t, err := e.Topology()
	if err != nil {
		return err
	}
	if _, err := e.chooseStores(); err != nil {
		return err
	}
	if s := &e.Settings; s.storeMemory() > s.Memory/4*3 {
		return fmt.Errorf("--store-memory of %d bytes leaves too little of --memory, %d bytes in all: raise that, or give stores three quarters of it at most", s.StoreMemory, s.Memory)
	}
	if err := e.makeStateDir(); err != nil {
		return err
	}
	var unlock func()
	err = e.whenUnlocked(ctx, func() (err error) {
		unlock, err = lockDir(e.stateDir())
		return err
	})
	if err != nil {
		return err
	}
	defer unlock()
	if e.Settings.Instance == "" {
		if e.Settings.Instance, err = instanceName(e.stateDir()); err != nil {
			return err
		}
	}
	var st store.Store
	var offHeap int
	err = e.whenUnlocked(ctx, func() (err error) {
		st, offHeap, err = e.openStore()
		return err
	})
	if err != nil {
		return err
	}
	defer e.closing("store", st.Close)
	tr, err := e.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.closing("connection", tr.Close)

	cfg := e.Settings.worker()
	cfg.Topology, cfg.Transport, cfg.Store, cfg.Logger = t, tr, st, e.Log
	m := newMonitor(e, tr, st)
	cfg.OnRestore = m.restored
	e.limitMemory(offHeap)
	w, err := runtime.New(cfg)
	if err != nil {
		return err
	}
	e.Log.Info("worker starts", "app", e.App.Name(), "instance", cfg.Instance, "guarantee", cfg.Guarantee.String(),
		"store", e.Settings.Store, "state_dir", e.stateDir(), "brokers", e.Settings.Brokers)
	stop := m.start(ctx, w)
	err = w.Run(ctx)
	stop()
	if err == nil {
		e.Log.Info("worker stopped")
	}
	return err
}

// limitMemory holds the Go heap to the settings. Tables in memory are as large
// as they are: with a limit below that the process would only collect garbage.
func (e *Env) limitMemory(offHeap int) {
	if p, err := e.chooseStores(); err == nil && !slices.Contains(p.kinds(), "memory") {
		runtime.LimitMemory(e.Settings.Memory, offHeap)
	}
}

// closing closes something and logs what goes wrong.
func (e *Env) closing(what string, f func() error) {
	if err := f(); err != nil {
		e.Log.Error("closing the "+what+" failed", "error", err)
	}
}
