package cluster

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/fault"
	"github.com/weirstream/weir/sim/simnet"
)

// Timeouts of the simulated workers: shorter than in production, so that more
// happens in a run.
const (
	// A rebalance is shorter than what is left of a session after a
	// heartbeat: in kfake, unlike in Kafka, sessions end while members wait
	// in JoinGroup, which is then never answered, and in SyncGroup, which
	// makes it miscount who has joined. See TestKfakeGroups.
	session       = 8 * time.Second
	heartbeat     = 2 * time.Second
	rebalance     = 5 * time.Second
	commitTimeout = 8 * time.Second
	txnTimeout    = 8 * time.Second
	reqTimeout    = 5 * time.Second
	stopTimeout   = 10 * time.Second
)

// Knobs are settings of the workers that no result may depend on. Each run
// draws its own.
type knobs struct {
	lanes             int
	commit, fetchWait time.Duration
	static            bool
	standbys          int
	// tombstones is how long brokers keep deletions.
	tombstones time.Duration
	// compression is that of what workers write: none mostly, as all codecs
	// do the same and a simulation pays for them.
	compression string
}

// upgraded are the settings of the version after.
func (k knobs) upgraded() knobs {
	k.lanes, k.commit = 3-k.lanes, 500*time.Millisecond
	return k
}

func (k knobs) String() string {
	return fmt.Sprintf("lanes=%d commit=%s fetch-wait=%s static=%t standbys=%d tombstones=%s compression=%s", k.lanes, k.commit, k.fetchWait, k.static, k.standbys, k.tombstones, k.compression)
}

func drawKnobs(rng *rand.Rand) knobs {
	return knobs{
		lanes:     1 + rng.IntN(2),
		commit:    []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second}[rng.IntN(3)],
		fetchWait: []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second}[rng.IntN(3)],
		static:    rng.IntN(4) == 0,
		standbys:  []int{0, 0, 1, 1, 2}[rng.IntN(5)],

		// Workers write positions again a few times in that time.
		tombstones:  []time.Duration{24 * time.Hour, 20 * time.Second, 8 * time.Second}[rng.IntN(3)],
		compression: []string{"none", "none", "none", "lz4", "snappy"}[rng.IntN(5)],
	}
}

// A world is one run.
type world struct {
	t     testing.TB
	cfg   Config
	rng   *rand.Rand // for what is drawn before the run
	knobs knobs
	start time.Time
	trace *trace
	h     *check.History
	net   *simnet.Network
	fake  *kfake.Cluster
	tap   *tap
	// producer sends the workload.
	producer *kgo.Client
	top      *topology.Topology
	nodes    []*node
	plan     fault.Plan
	// changelogIDs are the names of changelogs by ID. kfake's own goroutine
	// asks, which must not wait for mu: who holds that asks kfake.
	changelogIDs sync.Map
	// heard is when each member of the group last said something, by its ID.
	// Under no lock of ours either.
	heard sync.Map
	only  []int // numbers of the records that are sent; nil means all
	// compactions are those under way.
	compactions sync.WaitGroup
	// compacted is how far, for forget.
	compactedMu sync.Mutex
	compacted   []extent

	mu       sync.Mutex
	healed   bool
	injected map[fault.Kind]int
	points   map[string]int
	undo     []func() // what faults left behind
	sent     int

	inspect *inspector
}

func newWorld(t testing.TB, cfg Config) *world {
	w := &world{
		t: t, cfg: cfg, start: time.Now(), trace: newTrace(), h: &check.History{Events: make([]check.Event, 0, 1<<12)},
		rng:      rand.New(rand.NewPCG(cfg.Seed, 0x3e14)),
		injected: make(map[fault.Kind]int), points: make(map[string]int),
	}
	w.knobs = drawKnobs(rand.New(rand.NewPCG(cfg.Seed, 0x5e77)))
	switch {
	case cfg.Standbys > 0:
		w.knobs.standbys = cfg.Standbys
	case cfg.Standbys < 0:
		w.knobs.standbys = 0
	}
	top, err := cfg.App().Build()
	if err != nil {
		t.Fatal(err)
	}
	w.top = top
	w.inspect = newInspector(t)
	w.trace.at = w.look
	w.tap = newTap(w)
	w.net = simnet.New(simnet.Config{
		Seed: cfg.Seed, MinDelay: 200 * time.Microsecond, MaxDelay: time.Duration(1+w.rng.IntN(8)) * time.Millisecond,
		Tap: w.tap.see, Trace: w.trace.add,
	})
	return w
}

// brokers are the addresses of the brokers, which are their hosts.
func (w *world) brokers() []string {
	var addrs []string
	for i := range w.cfg.Brokers {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", 9092+i))
	}
	return addrs
}

func (w *world) broker(i int) string { return w.brokers()[i%w.cfg.Brokers] }

// startBrokers starts kfake with the external topics of the application.
func (w *world) startBrokers() error {
	var ports []int
	for i := range w.cfg.Brokers {
		ports = append(ports, 9092+i)
	}
	fake, err := kfake.NewCluster(kfake.Ports(ports...), kfake.ListenFn(w.net.Listen), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		return err
	}
	w.fake = fake
	w.watchTopics()
	w.watchMembers()
	for _, name := range sortedKeys(w.top.Topics) {
		if w.top.Topics[name].Kind != topology.External {
			continue
		}
		n := w.cfg.Partitions
		if own, ok := w.cfg.TopicPartitions[name]; ok {
			n = own
		}
		if err := fake.CreateTopic(name, n, map[string]string{"retention.ms": "-1"}); err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return nil
}

// client is a Kafka client of the test itself, on a host without faults.
func (w *world) client(host string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.brokers()...),
		kgo.Dialer(w.net.Dialer(host)),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.RequestTimeoutOverhead(reqTimeout),
	}, opts...)...)
}

// sleep waits in virtual time.
func sleep(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

// eventually waits until ok says so, for at most limit.
func eventually(limit time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(limit); !ok(); {
		if time.Now().After(deadline) {
			return false
		}
		sleep(250 * time.Millisecond)
	}
	return true
}
