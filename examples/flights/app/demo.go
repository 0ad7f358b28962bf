//go:build !wasip1

package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/examples/flights/traffic"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/runtime/cli"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	file, airports string
	kills, workers int
	seed           uint64
	store          string
	broker         string
	session        time.Duration
	patience       time.Duration
	keep, replace  bool
}

func (a *application) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Do all of it: broker, load, workers, kills, verify",
		Long: `Start the development broker in a temporary directory, load the flights, run
workers as processes of their own, kill some of them in the middle of their
work, show the results, verify them and clean up. The last line says how it
went; the exit status is 0 only if every result is right.

With --brokers the demo uses brokers that run already. It refuses topics that
exist there, unless --replace says that they may be deleted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), cli.From(cmd.Context()), o, ownBroker(cmd.Flags()))
		},
	}
	addFiles(cmd, &o.file, &o.airports)
	fs := cmd.Flags()
	fs.IntVar(&o.kills, "kills", 0, "how many times to kill a worker with SIGKILL while it works")
	fs.IntVar(&o.workers, "workers", 1, "worker processes")
	fs.Uint64Var(&o.seed, "seed", 0, "seed of the kills; 0 takes a random one, which is printed")
	fs.StringVar(&o.store, "store", "pebble", "store of the workers")
	fs.StringVar(&o.broker, "broker-command", "", "built command weir, for the development broker (default: build ./tools/weir)")
	fs.DurationVar(&o.session, "worker-session", 6*time.Second, "session timeout of the workers: how soon tasks of a killed one move")
	fs.DurationVar(&o.patience, "patience", 5*time.Minute, "how long the whole demo may take")
	fs.BoolVar(&o.keep, "keep", false, "keep the temporary directory")
	fs.BoolVar(&o.replace, "replace", false, "with --brokers, delete the topics and the group of an earlier run first")
	return cmd
}

// ownBroker reports whether no brokers were named.
func ownBroker(fs *pflag.FlagSet) bool {
	return !fs.Changed("brokers") && os.Getenv("WEIR_BROKERS") == ""
}

func (o *demoOptions) validate() error {
	var errs []error
	if o.workers < 1 {
		errs = append(errs, errors.New("--workers must be at least 1"))
	}
	if o.kills < 0 {
		errs = append(errs, errors.New("--kills must not be negative"))
	}
	return errors.Join(errs...)
}

// A demo is one run.
type demo struct {
	a    *application
	e    *cli.Env
	o    demoOptions
	own  bool
	dir  string
	rand *rand.Rand
	t    *topology.Topology
	x    *traffic.Expectation
	tr   runtime.Transport
	crew *crew
	// env is added to the environment of the workers.
	env []string
}

// demo does everything and cleans up; what went wrong stays to be looked at.
func (a *application) demo(ctx context.Context, e *cli.Env, o demoOptions, own bool) error {
	if err := o.validate(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return err
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	ctx, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	d := &demo{a: a, e: e, o: o, own: own, dir: dir, rand: rand.New(rand.NewPCG(o.seed, 0))}
	c, err := d.run(ctx)
	e.ProgressDonef("")
	if err != nil {
		return fmt.Errorf("%w\nlogs and state are in %s", err, dir)
	}
	if !o.keep {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(e.Out, "demo: records=%d kills=%d workers=%d checked=%d mismatches=%d\n",
		d.x.Flights, d.crew.kills, o.workers, c.checked, c.mismatches)
	return err
}

// run starts the broker and connects to it.
func (d *demo) run(ctx context.Context) (*comparison, error) {
	var err error
	if d.t, err = d.e.Topology(); err != nil {
		return nil, err
	}
	if d.own {
		b, err := startBroker(ctx, d.o.broker, d.dir)
		if err != nil {
			return nil, err
		}
		defer b.stop()
		d.e.Settings.Brokers = []string{b.addr}
		d.sayf("development broker on %s, in %s", b.addr, d.dir)
	}
	if d.tr, err = d.e.Connect(ctx); err != nil {
		return nil, err
	}
	defer closing(d.e, d.tr)
	if prepare := d.a.prepare[d.o.store]; prepare != nil {
		env, stop, err := prepare()
		if err != nil {
			return nil, fmt.Errorf("preparing the %s store: %w", d.o.store, err)
		}
		defer stop()
		d.env = env
	}
	if !d.own {
		if err := d.makeRoom(ctx); err != nil {
			return nil, err
		}
	}
	c, err := d.play(ctx)
	if err == nil && !d.own {
		err = d.deleteAll(ctx)
	}
	return c, err
}

// play is the demo once there is a broker.
func (d *demo) play(ctx context.Context) (*comparison, error) {
	var err error
	if d.x, err = traffic.Expect(d.o.file, d.o.airports); err != nil {
		return nil, err
	}
	l := &loader{a: d.a, e: d.e, tr: d.tr}
	if err := l.topics(ctx); err != nil {
		return nil, err
	}
	if err := l.airports(ctx, d.o.airports); err != nil {
		return nil, err
	}
	if d.crew, err = newCrew(d); err != nil {
		return nil, err
	}
	defer d.crew.killAll()
	if err := d.process(ctx, l); err != nil {
		return nil, err
	}
	c, err := compareAll(ctx, d.e, d.tr, d.x)
	if err != nil {
		return nil, err
	}
	if err := d.crew.stop(ctx); err != nil {
		return nil, err
	}
	if err := d.summary(ctx); err != nil {
		return nil, err
	}
	if c.mismatches > 0 {
		c.print(d.e.Out)
		return nil, fmt.Errorf("%d of %d values differ (records=%d kills=%d workers=%d seed=%d)",
			c.mismatches, c.checked, d.x.Flights, d.crew.kills, d.o.workers, d.o.seed)
	}
	return c, nil
}

// process loads and works until all is done. Without kills everything is
// loaded before the workers start, which shows how fast they are; with kills
// both happen at once, so that there is always work left when one dies.
func (d *demo) process(ctx context.Context, l *loader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.crew.failed = cancel
	var loading sync.WaitGroup
	defer loading.Wait()
	if d.o.kills == 0 {
		if err := l.flights(ctx, d.o.file); err != nil {
			return err
		}
		d.sayf("starting %d workers", d.o.workers)
		if err := d.crew.start(); err != nil {
			return err
		}
	} else {
		d.sayf("%d workers, %d kills while the flights are loaded, seed %d", d.o.workers, d.o.kills, d.o.seed)
		if err := d.crew.start(); err != nil {
			return err
		}
		k := newKiller(d)
		l.gate = k.gate
		loading.Go(func() {
			if err := l.flights(ctx, d.o.file); err != nil {
				cancel(err)
			}
		})
		if err := k.run(ctx); err != nil {
			return cause(ctx, err)
		}
		loading.Wait()
	}
	return cause(ctx, d.watch(ctx))
}

// cause is why the context ended, where that is the reason of an error.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// watch shows how the work goes until it is done.
func (d *demo) watch(ctx context.Context) error {
	start := time.Now()
	first, last := int64(-1), start
	for done := 0; done < 2; {
		b, err := look(ctx, d.t, d.tr)
		if err != nil {
			return err
		}
		if first < 0 {
			first = b.processed
		}
		// The workers need a moment before they begin.
		if b.processed == first {
			start = time.Now()
		}
		if d.behind(b) || b.internal > emptyTail {
			last = time.Now()
			done = 0
		} else if ok, err := b.drained(ctx, d.tr); err != nil {
			return err
		} else if done++; !ok {
			done = 0
		}
		d.e.Progressf("processed %d of %d flights, %.0f/s, lag %d", b.processed, d.x.Flights,
			float64(b.processed-first)/max(time.Since(start).Seconds(), 0.001), b.lag())
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	n, took := d.x.Flights-first, last.Sub(start).Seconds()
	d.e.ProgressDonef("processed the last %d flights in %.1f s: %.0f/s from the first commit to the last", n, took, float64(n)/max(took, 0.001))
	return nil
}

// behind reports whether flights are left, loaded or not.
func (d *demo) behind(b *backlog) bool { return b.remaining > 0 || b.processed < d.x.Flights }

// pause waits, or returns the error of the context.
func pause(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sayf writes a line for people.
func (d *demo) sayf(format string, args ...any) { d.e.ProgressDonef(format, args...) }

// makeRoom sees to it that nothing is left of an earlier run.
func (d *demo) makeRoom(ctx context.Context) error {
	if d.o.replace {
		return d.deleteAll(ctx)
	}
	infos, err := d.tr.Topics(ctx)
	if err != nil {
		return err
	}
	for name := range infos {
		if d.t.Topics[name] != nil {
			return fmt.Errorf("topic %q exists already: delete it, or let --replace delete all topics and the group of this application", name)
		}
	}
	return nil
}

// deleteAll deletes the topics and the group.
func (d *demo) deleteAll(ctx context.Context) error {
	groups, err := cli.Groups(d.tr)
	if err != nil {
		return err
	}
	if err := groups.DeleteGroup(ctx, d.t.App); err != nil {
		return err
	}
	for name := range d.t.Topics {
		if err := d.tr.DeleteTopic(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// logPath is where a child process logs to.
func (d *demo) logPath(name string) string { return filepath.Join(d.dir, name+".log") }
