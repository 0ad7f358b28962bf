// Package chaos runs the torture application of the simulator on real brokers,
// kills workers and brokers, cuts networks, and has the history of it all
// checked by the simulator's checkers.
package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/integration/broker"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/cluster"
	"github.com/weirstream/weir/sim/cluster/torture"
)

// Timeouts of the workers: short, so that much happens.
const (
	session        = 6 * time.Second
	rebalance      = 15 * time.Second
	txnTimeout     = 10 * time.Second
	requestTimeout = 5 * time.Second
	patience       = 2 * time.Minute
	partitions     = 4
)

// A Config says what to run.
type Config struct {
	// Cluster is what can be hurt. Nil uses Brokers, and kills workers only.
	Cluster *broker.Cluster
	Brokers []string
	// Loopback refuses to dial anything but 127.0.0.1.
	Loopback bool
	// Dir keeps logs, state and the history. Required.
	Dir string
	// For is how long there are faults, or longer until each kind of them has
	// happened; default 1 minute.
	For time.Duration
	// Workers; default 2.
	Workers int
	// Rate is input records a second; default 50.
	Rate int
	// Pause is the longest time between two faults; default 10 s.
	Pause time.Duration
	// Down is the longest time that a broker is hurt, from half a second;
	// default 15 s.
	Down time.Duration
	// Seed of the faults and the input.
	Seed uint64
	// Out receives one line for each fault; nil discards them.
	Out io.Writer
}

// A Result is what happened.
type Result struct {
	Faults Faults
	// Rebalances counts bursts of assignments with a second of rest before.
	Rebalances int
	// Ended is how many workers ended by themselves.
	Ended   int
	Records int // of the input, while there were faults
	// Skipped are the lines of broker.Cluster.SkippedMarkers: with one of them
	// violations may be Kafka's.
	Skipped    []string
	Events     int
	Violations []check.Violation
}

func (r *Result) String() string {
	text := fmt.Sprintf("chaos: %v rebalances=%d records=%d ended=%d violations=%d",
		r.Faults, r.Rebalances, r.Records, r.Ended, len(r.Violations))
	if len(r.Skipped) > 0 {
		text += fmt.Sprintf(" skipped-markers=%d", len(r.Skipped))
	}
	return text
}

// Wrong says what is wrong with the result, violations apart: workers that
// ended by themselves, and whatever makes a run without violations worth
// nothing, as are no input and, of the kinds that had to happen, one that did
// not.
func (r *Result) Wrong(kinds []Kind) []string {
	var all []string
	if r.Ended > 0 {
		all = append(all, fmt.Sprintf("%d workers ended by themselves, which none should", r.Ended))
	}
	if r.Records == 0 {
		all = append(all, "nothing was checked: no record of the input was sent")
	}
	for _, k := range r.Faults.Missing(kinds) {
		all = append(all, fmt.Sprintf("a kind of fault never happened: %s=0", k))
	}
	return all
}

// A run is one run.
type run struct {
	Result
	hurter
	cfg     Config
	kinds   []Kind // of faults
	brokers []string
	h       *check.History
	top     *topology.Topology
	c       cluster.Config
	adm     *kadm.Client
	workers []*process
	ended   int

	mu       sync.Mutex
	assigned time.Time
}

func (c *Config) defaults() {
	c.Workers = cmp.Or(c.Workers, 2)
	c.Rate = cmp.Or(c.Rate, 50)
	c.For = cmp.Or(c.For, time.Minute)
	c.Pause = cmp.Or(c.Pause, 10*time.Second)
	c.Down = cmp.Or(c.Down, 15*time.Second)
	if c.Out == nil {
		c.Out = io.Discard
	}
}

// Run runs everything once.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	cfg.defaults()
	r := &run{cfg: cfg, h: &check.History{}, c: torture.Config(), brokers: cfg.Brokers, kinds: Kinds(0)}
	r.Faults = make(Faults)
	r.hurter = hurter{cluster: cfg.Cluster, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), most: cfg.Down, notef: r.notef, faults: r.Faults}
	inner := cfg.Brokers
	if cfg.Cluster != nil {
		r.brokers, inner, r.kinds = cfg.Cluster.Brokers(), cfg.Cluster.Inner(), Kinds(len(cfg.Cluster.Nodes))
	}
	opts := []kgo.Opt{kgo.SeedBrokers(inner...), kgo.RecordRetries(1000), kgo.ProducerLinger(0)}
	if cfg.Loopback {
		opts = append(opts, kgo.Dialer(broker.Loopback))
	}
	var err error
	if r.top, err = torture.New(nil).Build(); err != nil {
		return nil, err
	}
	if r.cl, err = kgo.NewClient(opts...); err != nil {
		return nil, err
	}
	defer r.cl.Close()
	r.adm = kadm.NewClient(r.cl)
	defer r.killAll()
	err = errors.Join(r.live(ctx), r.save(), r.skipped())
	return &r.Result, err
}

// skipped notes where Kafka left transactions open.
func (r *run) skipped() (err error) {
	if r.cfg.Cluster != nil {
		r.Skipped, err = r.cfg.Cluster.SkippedMarkers()
	}
	return err
}

// save writes the history, for weir check.
func (r *run) save() error {
	f, err := os.Create(filepath.Join(r.cfg.Dir, "history.jsonl"))
	if err != nil {
		return err
	}
	return errors.Join(r.h.Write(f), f.Close())
}

func (r *run) sayf(format string, args ...any) { fmt.Fprintf(r.cfg.Out, format+"\n", args...) }

// assignment counts rebalances.
func (r *run) assignment() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.assigned) > time.Second {
		r.Rebalances++
	}
	r.assigned = time.Now()
}

func (r *run) live(ctx context.Context) error {
	if err := r.createTopics(ctx); err != nil {
		return err
	}
	if err := r.send(ctx, r.c.Before); err != nil {
		return err
	}
	for i := range r.cfg.Workers {
		name := fmt.Sprintf("w%d", i)
		p := &process{r: r, name: name, dir: filepath.Join(r.cfg.Dir, name)}
		r.workers = append(r.workers, p)
		if err := p.start(); err != nil {
			return err
		}
	}
	faults, stop := context.WithCancel(ctx)
	defer stop()
	loaded := make(chan error, 1)
	go func() { loaded <- r.load(faults, ctx) }()
	err := r.hurt(ctx)
	stop()
	if err = errors.Join(err, <-loaded); err != nil {
		return err
	}
	return r.finish(ctx)
}

// load sends input while there are faults.
func (r *run) load(until, ctx context.Context) error {
	rng := rand.New(rand.NewPCG(r.cfg.Seed, 2))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; {
		var batch []cluster.Input
		for range r.cfg.Rate {
			batch = append(batch, r.c.Load(rng, i))
			i++
		}
		if err := r.send(ctx, batch); err != nil {
			return err
		}
		r.Records += len(batch)
		select {
		case <-tick.C:
		case <-until.Done():
			return ctx.Err()
		}
	}
}

// send writes inputs until they are acknowledged, some perhaps twice: what is
// in the log counts.
func (r *run) send(ctx context.Context, inputs []cluster.Input) error {
	for len(inputs) > 0 {
		var rs []*kgo.Record
		for _, in := range inputs {
			rs = append(rs, &kgo.Record{Topic: in.Topic, Key: in.Key, Value: in.Value, Timestamp: time.UnixMilli(in.Time)})
		}
		inputs = nil
		for _, res := range r.cl.ProduceSync(ctx, rs...) {
			if res.Err == nil {
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			inputs = append(inputs, cluster.Input{Topic: res.Record.Topic, Key: res.Record.Key, Value: res.Record.Value, Time: res.Record.Timestamp.UnixMilli()})
		}
	}
	return nil
}

func (r *run) createTopics(ctx context.Context) error {
	forever := "-1"
	var created []string
	for name, t := range r.top.Topics {
		if t.Kind != topology.External {
			continue
		}
		n := int32(partitions)
		if own, ok := r.c.TopicPartitions[name]; ok {
			n = own
		}
		// Event time is old: nothing may be deleted by age.
		res, err := r.adm.CreateTopic(ctx, n, -1, map[string]*string{"retention.ms": &forever}, name)
		if err = errors.Join(err, res.Err); err != nil {
			return fmt.Errorf("creating topic %s: %w", name, err)
		}
		created = append(created, name)
	}
	return r.known(ctx, created)
}

// known waits until every broker knows the topics, which the controller has
// created: a worker whose topics are missing explains that and ends.
func (r *run) known(ctx context.Context, names []string) error {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	for _, b := range r.cl.SeedBrokers() {
		for {
			resp, err := b.Request(ctx, req)
			if err == nil && !slices.ContainsFunc(resp.(*kmsg.MetadataResponse).Topics, func(t kmsg.MetadataResponseTopic) bool { return t.ErrorCode != 0 }) {
				break
			}
			if !pause(ctx, 50*time.Millisecond) {
				return errors.Join(errors.New("the brokers do not know the new topics"), err)
			}
		}
	}
	return nil
}

// killAll ends what a run that failed leaves behind.
func (r *run) killAll() {
	for _, p := range r.workers {
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill()
		}
	}
}

// pause waits; it reports whether there is time left.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
