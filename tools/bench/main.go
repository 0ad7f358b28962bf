package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/weirstream/weir/tools/devbroker"
)

type options struct {
	brokers string
	records int
	stores  string
	repeat  int
	child   string
	dev     string
}

func main() {
	var o options
	flag.StringVar(&o.brokers, "brokers", "", "brokers, host:port; empty starts the development broker")
	flag.IntVar(&o.records, "records", 1_000_000, "records in each topic")
	flag.StringVar(&o.stores, "store", "memory,pebble", "stores to measure")
	flag.IntVar(&o.repeat, "repeat", 3, "runs of each case; the median is printed")
	flag.StringVar(&o.child, "case", "", "run one case and print its figures as JSON (internal)")
	flag.StringVar(&o.dev, "dev", "", "run the development broker in this directory (internal)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch {
	case o.dev != "":
		return runBroker(ctx, o.dev)
	case o.child != "":
		f, err := measure(ctx, o)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	if o.brokers == "" {
		stop, err := startBroker(ctx, &o)
		if err != nil {
			return err
		}
		defer stop()
	}
	return compare(ctx, o)
}

// compare measures all cases and prints the table.
func compare(ctx context.Context, o options) error {
	cleanup, err := load(ctx, o)
	if err != nil {
		return err
	}
	defer cleanup()
	fmt.Printf("%d records, 8-byte key, 100-byte value, %d partitions; %s/%s, %d CPUs; median of %d\n\n",
		o.records, partitions, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.repeat)
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tkeys\trecords/s\tCPU µs/record\trate : raw\tCPU : raw\tcommits\tMiB RSS\t")
	raw := make(map[int]figures)
	for _, c := range cases(strings.Split(o.stores, ",")) {
		f, err := median(ctx, o, c)
		if err != nil {
			return fmt.Errorf("case %s: %w", c, err)
		}
		if c.kind == rawConsume {
			raw[c.keys] = f
		}
		base := raw[c.keys]
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.1f\t%d\t%.0f\t\n", c.title(), c.keys, f.rate(), f.cpu(),
			f.rate()/base.rate(), f.cpu()/base.cpu(), f.Commits, float64(f.RSS)/(1<<20))
	}
	return w.Flush()
}

// median runs a case several times in processes of its own.
func median(ctx context.Context, o options, c benchCase) (figures, error) {
	exe, err := os.Executable()
	if err != nil {
		return figures{}, err
	}
	var all []figures
	for range o.repeat {
		cmd := exec.CommandContext(ctx, exe, "--case", c.String(), "--brokers", o.brokers, "--records", fmt.Sprint(o.records))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return figures{}, err
		}
		var f figures
		if err := json.Unmarshal(out, &f); err != nil {
			return figures{}, fmt.Errorf("its output %q: %w", out, err)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b figures) int {
		switch {
		case a.cpu() < b.cpu():
			return -1
		case a.cpu() > b.cpu():
			return 1
		}
		return 0
	})
	return all[len(all)/2], nil
}

// figures are what one case measured.
type figures struct {
	Records int           `json:"records"`
	Wall    time.Duration `json:"wall"`
	CPU     time.Duration `json:"cpu"`
	Commits int           `json:"commits"`
	RSS     int64         `json:"rss"`
}

func (f figures) rate() float64 { return float64(f.Records) / f.Wall.Seconds() }
func (f figures) cpu() float64 {
	return float64(f.CPU.Nanoseconds()) / 1000 / float64(f.Records)
}

// runBroker is the child process with the development broker.
func runBroker(ctx context.Context, dir string) error {
	b, err := devbroker.Start(devbroker.Config{Dir: dir, Partitions: partitions})
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println(b.Addr())
	go func() { // the parent's end closes our standard input
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	<-ctx.Done()
	return nil
}

// startBroker runs the development broker as a process of its own.
func startBroker(ctx context.Context, o *options) (func(), error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "weir-bench")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, "--dev", dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("the development broker did not start: %w", err)
	}
	o.brokers = strings.TrimSpace(line)
	return stop, nil
}
