package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weirstream/weir/integration/broker"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/cluster/torture"
	"github.com/weirstream/weir/stores/pebble"
	"github.com/weirstream/weir/transports/kafka"
)

// workerVariable tells a process that it is a worker, and how.
const workerVariable = "WEIR_CHAOS_WORKER"

// An order is what a worker is told.
type order struct {
	Brokers  []string `json:"brokers"`
	Dir      string   `json:"dir"`
	Instance string   `json:"instance"`
	Life     string   `json:"life"` // names this life in the history
	Loopback bool     `json:"loopback"`
}

// Worker runs a worker and does not return, when this process was started to
// be one. It is the first thing that main, or TestMain, calls.
func Worker() {
	text := os.Getenv(workerVariable)
	if text == "" {
		return
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.work()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// work runs until SIGTERM. Every event is in the parent's hands before what
// comes after it happens.
func (o *order) work() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	h := forwarder(os.NewFile(3, "events"), os.NewFile(4, "numbers"))
	top, err := torture.New(nil).Build()
	if err != nil {
		return err
	}
	disk, err := pebble.Open(pebble.Config{Dir: filepath.Join(o.Dir, "pebble"), MemoryBytes: 8 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("life", o.Life)
	cfg := kafka.Config{Brokers: o.Brokers, ClientID: o.Life, Logger: log, TransactionTimeout: txnTimeout, RequestTimeout: requestTimeout}
	if o.Loopback {
		cfg.Dialer = broker.Loopback
	}
	tr, err := kafka.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tr.Close()) }()
	s := check.Store(disk, o.Life, h)
	w, err := runtime.New(runtime.Config{
		Topology: top, Transport: check.Transport(tr, o.Life, h), Store: s, Instance: o.Instance,
		Lanes: 2, CommitInterval: 200 * time.Millisecond, CommitTimeout: 20 * time.Second,
		Session: session, Rebalance: rebalance, ShutdownTimeout: 20 * time.Second, MemoryBytes: 32 << 20,
		Logger: log, OnRestore: check.Restores(o.Life, h),
	})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// forwarder is a history whose events go to the parent, who numbers them.
func forwarder(events, numbers *os.File) *check.History {
	out, in := json.NewEncoder(events), json.NewDecoder(bufio.NewReader(numbers))
	return &check.History{Forward: func(e check.Event) int64 {
		var n int64
		if err := errors.Join(out.Encode(&e), in.Decode(&n)); err != nil {
			// The parent is gone, and with it the reason to go on.
			fmt.Fprintln(os.Stderr, "the history cannot be recorded:", err)
			os.Exit(2)
		}
		return n
	}}
}
