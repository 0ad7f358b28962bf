package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/weirstream/weir/tools/devbroker"
)

// devFlags are the flags of `weir dev`.
type devFlags struct {
	broker    devbroker.Config
	log       string
	readyFile string
}

func newDev() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a development broker",
		Long: `Run a Kafka broker for development: one process, no Java, no Docker.

It listens on 127.0.0.1 only and keeps its data in a directory, so it can be
stopped and started again. Topics are created on request, never by being
mentioned. When clients can connect it prints "listening on 127.0.0.1:PORT".
SIGINT and SIGTERM shut it down cleanly and nothing is lost. SIGKILL keeps
all acknowledged records and offsets, but may tear a transaction in the middle of
its commit, abort open ones, and let a retried request write twice.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.broker.Port, "port", 9092, "port on 127.0.0.1; 0 takes a free one")
	fs.StringVar(&f.broker.Dir, "dir", ".weir-dev", `directory of the data; "" keeps it in memory`)
	fs.IntVar(&f.broker.Partitions, "partitions", 4, "partitions of topics that are created without a number")
	fs.BoolVar(&f.broker.Sync, "sync", false, "fsync every write: survives loss of power, slow")
	fs.DurationVar(&f.broker.CleanEvery, "clean-every", 0, "run compaction and retention this often; 0 is never. Compaction does not respect open transactions")
	fs.StringVar(&f.log, "log", "warn", "log to stderr: none, error, warn, info or debug")
	fs.StringVar(&f.readyFile, "ready-file", "", "write the address to this file when clients can connect; removed at the end")
	return cmd
}

func (f *devFlags) run(ctx context.Context, out, errOut io.Writer) error {
	log, err := newLog(errOut, f.log)
	if err != nil {
		return err
	}
	f.broker.Log = log
	b, err := devbroker.Start(f.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	if f.readyFile != "" {
		if err := writeReady(f.readyFile, b.Addr()); err != nil {
			return err
		}
		defer os.Remove(f.readyFile)
	}
	if _, err := fmt.Fprintf(out, "listening on %s\n", b.Addr()); err != nil {
		return fmt.Errorf("print the address: %w", err)
	}
	<-ctx.Done()
	return nil
}

func newLog(w io.Writer, level string) (*slog.Logger, error) {
	if level == "none" {
		return slog.New(slog.DiscardHandler), nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		return nil, fmt.Errorf("--log %q: choose none, error, warn, info or debug", level)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// writeReady makes the file appear with its content complete.
func writeReady(path, addr string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	_, err = tmp.WriteString(addr + "\n")
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}
