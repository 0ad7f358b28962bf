package hunt

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/cluster"
	"github.com/weirstream/weir/sim/cluster/torture"
	"github.com/weirstream/weir/sim/fault"
	"github.com/weirstream/weir/sim/generate"
)

// TestSeed is one run.
func TestSeed(t *testing.T) {
	cluster.SkipUnlessSimulated(t)
	cluster.Run(t, draw(t, cluster.Seed()))
}

// draw makes the run of a seed.
func draw(t *testing.T, seed uint64) cluster.Config {
	rng := rand.New(rand.NewPCG(seed, 0xa991))
	var cfg cluster.Config
	var what string
	if rng.IntN(2) == 0 {
		cfg, what = torture.Config(), "torture"
		cfg.Partitions = int32(1 + rng.IntN(4))
	} else {
		p := generate.Plans().Example(int(rng.Uint32() >> 1))
		cfg, what = generated(p), "generated: "+p.String()
	}
	if rng.IntN(3) == 0 {
		cfg.Guarantee = runtime.AtLeastOnce
	}
	cfg.Workers = []int{3, 3, 3, 2, 1, 4}[rng.IntN(6)]
	cfg.Brokers = []int{3, 3, 1}[rng.IntN(3)]
	t.Logf("%s, %s, %d workers, %d brokers, %d partitions", what, cfg.Guarantee, cfg.Workers, cfg.Brokers, cfg.Partitions)
	return cfg
}

// TestGenerated runs a few drawn applications natively, without faults.
func TestGenerated(t *testing.T) {
	if cluster.Simulated() {
		t.Skip("TestSeed is for the simulator")
	}
	t.Parallel()
	cfg := generated(generate.Plan{
		Partitions: 2, Sources: 2, Batch: 3, Retain: -1,
		Features: []generate.Feature{generate.Counting, generate.Deleting, generate.Grouping, generate.Windowing, generate.Timing, generate.Failing, generate.Batching, generate.Joining},
	})
	cfg.Faults, cfg.Duration, cfg.Records = []fault.Kind{}, time.Second, 60
	cluster.Run(t, cfg)
}
