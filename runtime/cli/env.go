package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
)

// An Env is what a command works with: the application, the settings, and
// what is made from them.
type Env struct {
	App      *weir.App
	Settings Settings
	// Out is for results, one line each. Logs and progress go elsewhere.
	Out io.Writer
	Log *slog.Logger

	// storeSettings are the values of the settings of stores, more their
	// rows in the table.
	storeSettings map[string]string
	more          []setting

	screen  *screen
	extra   []*cobra.Command
	stores  map[string]StoreOpener
	connect func(ctx context.Context, e *Env) (runtime.Transport, error)
}

type envKey struct{}

// From returns the Env of a running command. It panics when the command is
// not one of New's.
func From(ctx context.Context) *Env {
	e, ok := ctx.Value(envKey{}).(*Env)
	if !ok {
		panic("cli: From wants the context of a command that was given to With")
	}
	return e
}

func newEnv(app *weir.App) *Env {
	return &Env{
		App:      app,
		Settings: DefaultSettings(),

		storeSettings: make(map[string]string),
		stores:        map[string]StoreOpener{"memory": openMemory, "pebble": openPebble},
		connect: func(_ context.Context, e *Env) (runtime.Transport, error) {
			return e.kafka()
		},
	}
}

// prepare completes the Env once the flags are known.
func (e *Env) prepare(cmd *cobra.Command, lookup func(string) (string, bool)) error {
	if err := readEnv(cmd.Flags(), e.settings(), &e.Settings, lookup); err != nil {
		return err
	}
	e.Out = cmd.OutOrStdout()
	e.screen = newScreen(cmd.ErrOrStderr())
	e.Log = newLogger(e.screen, &e.Settings)
	cmd.SetContext(context.WithValue(cmd.Context(), envKey{}, e))
	return nil
}

func newLogger(w io.Writer, s *Settings) *slog.Logger {
	opts := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Connect returns a connection to the brokers of the settings, which the
// caller closes. It does not wait for brokers.
func (e *Env) Connect(ctx context.Context) (runtime.Transport, error) { return e.connect(ctx, e) }

func (e *Env) kafka() (*kafka.Transport, error) {
	cfg := e.Settings.kafka()
	cfg.ClientID = e.App.Name()
	cfg.Logger = e.Log
	return kafka.New(cfg)
}

// Topology builds the application.
func (e *Env) Topology() (*topology.Topology, error) { return e.App.Build() }

// stateDir is the directory of local state.
func (e *Env) stateDir() string {
	if e.Settings.StateDir != "" {
		return e.Settings.StateDir
	}
	return filepath.Join(".weir", e.App.Name())
}

// A GroupAdmin knows about consumer groups. The Kafka transport is one.
type GroupAdmin interface {
	// GroupMembers describes the active members of a group, ordered; a
	// group that does not exist has none.
	GroupMembers(ctx context.Context, group string) ([]kafka.GroupMember, error)
	// GroupOffsets returns the committed offsets of a group.
	GroupOffsets(ctx context.Context, group string) (map[record.TopicPartition]int64, error)
	// DeleteGroup deletes a group with its offsets; deleting one that does
	// not exist is fine.
	DeleteGroup(ctx context.Context, group string) error
}

// Groups returns the part of a transport that knows about groups.
func Groups(tr runtime.Transport) (GroupAdmin, error) {
	g, ok := tr.(GroupAdmin)
	if !ok {
		return nil, fmt.Errorf("the transport %T cannot look at consumer groups", tr)
	}
	return g, nil
}
