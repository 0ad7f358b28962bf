// Command benchstores prints, in one run, what each store can do and costs:
// the checks of its conformance suite with their crash points, microseconds of
// a get and a put, milliseconds of a commit, the restore of a large table
// beside a plain loop of consume and put over the same changelog, and the
// resident memory of the keyed count beside its bound.
//
//	go run -tags rocksdb ./tools/benchstores [--entries N] [--store memory,pebble,rocksdb,aerospike] [--write docs/stores.md]
//
// Each measurement runs in a process of its own; broker and fake server are
// processes of their own, too, and not counted. On a machine that does other
// work CPU time per record is the figure to compare. The command fails when a
// check fails, when memory exceeds its bound, and when a bulk restore is less
// than --least times as fast as the plain loop over the same changelog in the
// same run. The table is Markdown; --write puts it into a file, between two
// lines that mark its place.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

type options struct {
	stores  string
	entries int
	keys    int
	memory  int
	least   float64
	write   string
	suite   bool
	short   bool
	brokers string
	fake    string
	child   string
	store   string
	service string
}

func main() {
	var o options
	flag.StringVar(&o.stores, "store", strings.Join(kinds(), ","), "stores to measure")
	flag.IntVar(&o.entries, "entries", 5_000_000, "entries of the table that is restored, a tenth for stores that are not on local disk")
	flag.IntVar(&o.keys, "keys", 1_000_000, "keys of the keyed count whose memory is measured")
	flag.IntVar(&o.memory, "memory", 384, "memory setting of workers, MiB")
	flag.Float64Var(&o.least, "least", 2, "how many times as fast as the plain loop a bulk restore has to be; 0: as it comes")
	flag.StringVar(&o.write, "write", "", "file to put the table into, between the lines that mark its place")
	flag.BoolVar(&o.suite, "suite", true, "run the conformance suites")
	flag.BoolVar(&o.short, "short", false, "run the suites with fewer cases")
	flag.StringVar(&o.child, "child", "", "run one measurement and print it as JSON (internal)")
	flag.StringVar(&o.store, "of", "", "the store of the measurement (internal)")
	flag.StringVar(&o.brokers, "brokers", "", "the broker of the measurement (internal)")
	flag.StringVar(&o.fake, "aerospike", "", "the fake server of the measurement (internal)")
	flag.StringVar(&o.service, "service", "", "run the broker or the fake server (internal)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchstores:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch {
	case o.service != "":
		return serve(ctx, o.service)
	case o.child != "":
		f, err := measure(ctx, o)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	for _, s := range strings.Split(o.stores, ",") {
		if !slices.Contains(kinds(), s) {
			return fmt.Errorf("store %q is not in this build: use %s", s, strings.Join(kinds(), ", "))
		}
	}
	broker, stop, err := startService("broker")
	if err != nil {
		return err
	}
	defer stop()
	fake, stop, err := startService("aerospike")
	if err != nil {
		return err
	}
	defer stop()
	o.brokers, o.fake = broker, fake
	if err := loadTopics(ctx, o); err != nil {
		return err
	}
	return report(ctx, o)
}

// settings says what was measured.
func (o options) settings() string {
	suites := "in full"
	if o.short {
		suites = "with fewer cases (-short)"
	}
	if !o.suite {
		suites = "not run"
	}
	return fmt.Sprintf("%s/%s, %d CPUs; suites %s; 100,000 keys of 16 bytes, values of 100; put: one entry and its position in a batch of their own; commit: a batch of 1,000 entries; restore: %d entries of %d bytes, a tenth where there is no plain loop beside it; memory: keyed count, %d keys of 100 bytes, `--memory %dMiB`.",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), suites, o.entries, recordBytes, o.keys, o.memory)
}

// report measures everything and prints one table.
func report(ctx context.Context, o options) error {
	var rows []row
	var errs []error
	for _, s := range strings.Split(o.stores, ",") {
		r, err := measureStore(ctx, o, s)
		rows = append(rows, r)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
		}
	}
	out := o.settings() + "\n\n" + table(rows)
	fmt.Print(out)
	if err := errors.Join(errs...); err != nil || o.write == "" {
		return err // what has failed is no figure to publish
	}
	return writeBetween(o.write, out)
}

// measureStore fills a row; what was measured before an error stays.
func measureStore(ctx context.Context, o options, s string) (row, error) {
	r := row{store: s}
	if o.suite {
		var err error
		start := time.Now()
		if r.suite, err = runSuite(ctx, s, o.short); err != nil {
			return r, err
		}
		fmt.Fprintf(os.Stderr, "%s: its suites took %.0f s\n", s, time.Since(start).Seconds())
	}
	for _, m := range []struct {
		child string
		at    *figures
		local bool // needs a directory
	}{{"ops", &r.ops, false}, {"memory", &r.memory, false}, {"plain", &r.plain, true}, {"restore", &r.restore, false}} {
		if m.local && !plainLoop(s) {
			continue
		}
		var err error
		start := time.Now()
		if *m.at, err = inChild(ctx, o, m.child, s); err != nil {
			return r, fmt.Errorf("%s: %w", m.child, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s took %.0f s\n", s, m.child, time.Since(start).Seconds())
	}
	if r.memory.RSS > r.memory.Bound {
		return r, fmt.Errorf("the keyed count took %d MiB, its bound is %d MiB", r.memory.RSS>>20, r.memory.Bound>>20)
	}
	if plainLoop(s) && r.times() < o.least {
		return r, fmt.Errorf("a restore is %.1f times as fast as the plain loop over the same changelog, and not %.1f", r.times(), o.least)
	}
	return r, nil
}

// inChild runs a measurement in a process of its own.
func inChild(ctx context.Context, o options, child, s string) (f figures, err error) {
	exe, err := os.Executable()
	if err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, exe, "--child", child, "--of", s, "--brokers", o.brokers, "--aerospike", o.fake,
		"--entries", fmt.Sprint(o.entries), "--keys", fmt.Sprint(o.keys), "--memory", fmt.Sprint(o.memory))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(out, &f)
}
