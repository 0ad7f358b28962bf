package devbroker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config of a broker. The zero value is one on a free port with its data in
// memory.
type Config struct {
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Dir holds the data and is created when missing. One broker can use it
	// at a time. Empty keeps the data in memory.
	Dir string
	// Partitions of a topic that is created without a number; 0 means 4.
	Partitions int
	// Sync calls fsync for every write.
	Sync bool
	// CleanEvery is how often compaction and retention run; 0 is never. See
	// the package documentation before using it.
	CleanEvery time.Duration
	// Log gets what the broker has to say; nil discards it.
	Log *slog.Logger
}

const defaultPartitions = 4

// never is far enough for a ticker that must not tick.
const never = 20 * 365 * 24 * time.Hour

func (c Config) validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d: choose one from 1 to 65535, or 0 for a free one", c.Port))
	}
	if c.Partitions < 0 {
		errs = append(errs, fmt.Errorf("partitions %d: choose at least 1, or 0 for the default of %d", c.Partitions, defaultPartitions))
	}
	if c.CleanEvery < 0 {
		errs = append(errs, fmt.Errorf("clean every %s: choose a positive duration, or 0 for never", c.CleanEvery))
	}
	return errors.Join(errs...)
}

// A Broker is running until it is closed.
type Broker struct {
	cluster   *kfake.Cluster
	attendant *attendant
	lock      *dirLock
	addr      string
}

// Start starts a broker. When it returns, clients can connect.
func Start(cfg Config) (*Broker, error) { return start(cfg, net.Listen) }

// start listens and dials in the way that is given: tests have a network in
// virtual time.
func start(cfg Config, listen listenFunc, dial ...kgo.Opt) (*Broker, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("development broker: %w", err)
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = defaultPartitions
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.CleanEvery == 0 {
		cfg.CleanEvery = never
	}
	b := &Broker{}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("development broker: %w", err)
		}
		lock, err := lockDir(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("development broker: %w", err)
		}
		b.lock = lock
	}
	b.attendant = newAttendant(cfg.Log)
	cluster, err := kfake.NewCluster(append(cfg.options(), kfake.ListenFn(b.attendant.watch(listen)))...)
	if err != nil {
		b.lock.release()
		return nil, fmt.Errorf("development broker: %w", err)
	}
	b.cluster = cluster
	b.addr = cluster.ListenAddrs()[0]
	if err := b.attendant.attend(append(dial, kgo.SeedBrokers(b.addr))...); err != nil {
		b.Close()
		return nil, fmt.Errorf("development broker: %w", err)
	}
	return b, nil
}

func (c Config) options() []kfake.Opt {
	opts := []kfake.Opt{
		kfake.Ports(c.Port), // one port is one broker
		kfake.ClusterID("weir-dev"),
		kfake.DefaultNumPartitions(c.Partitions),
		kfake.WithLogger(logger{c.Log}),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms": strconv.FormatInt(max(c.CleanEvery.Milliseconds(), 1), 10),
		}),
	}
	if c.Dir != "" {
		opts = append(opts, kfake.DataDir(c.Dir))
	}
	if c.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	return opts
}

// Addr is the address that clients connect to, "127.0.0.1:port".
func (b *Broker) Addr() string { return b.addr }

// Close saves the state that is kept in memory and stops the broker. It may
// be called once.
func (b *Broker) Close() {
	b.attendant.close()
	b.cluster.Close()
	b.lock.release()
}
