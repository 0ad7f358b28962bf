package hunt

import (
	"math/rand/v2"
	"testing"

	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/cluster"
	"github.com/weirstream/weir/sim/cluster/torture"
)

// TestSeed is one run.
func TestSeed(t *testing.T) {
	cluster.SkipUnlessSimulated(t)
	cluster.Run(t, draw(t, cluster.Seed()))
}

// draw makes the run of a seed.
func draw(t *testing.T, seed uint64) cluster.Config {
	rng := rand.New(rand.NewPCG(seed, 0xa991))
	guarantee := runtime.ExactlyOnce
	if rng.IntN(3) == 0 {
		guarantee = runtime.AtLeastOnce
	}
	cfg := torture.Config()
	cfg.Guarantee = guarantee
	cfg.Workers = []int{3, 3, 3, 2, 1, 4}[rng.IntN(6)]
	cfg.Brokers = []int{3, 3, 1}[rng.IntN(3)]
	cfg.Partitions = int32(1 + rng.IntN(4))
	t.Logf("torture, %s, %d workers, %d brokers, %d partitions", guarantee, cfg.Workers, cfg.Brokers, cfg.Partitions)
	return cfg
}
