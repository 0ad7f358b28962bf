package hunt

import (
	"encoding/json"
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
	r := draw(cluster.Seed())
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("run: %s", b)
	cluster.Run(t, r.config(t))
}

// A scenario is what runs, as data.
type scenario struct {
	// App is torture or generated.
	App string `json:"app"`
	// Made says what a generated application is made of.
	Made        *generate.Plan `json:"made,omitempty"`
	AtLeastOnce bool           `json:"atLeastOnce,omitempty"`
	Workers     int            `json:"workers"`
	Brokers     int            `json:"brokers"`
	Partitions  int32          `json:"partitions"`
}

// draw draws the scenario of a seed.
func draw(seed uint64) scenario {
	rng := rand.New(rand.NewPCG(seed, 0xa991))
	r := scenario{
		App:         "torture",
		AtLeastOnce: rng.IntN(3) == 0,
		Workers:     []int{3, 3, 3, 2, 1, 4}[rng.IntN(6)],
		Brokers:     []int{3, 3, 1}[rng.IntN(3)],
		Partitions:  int32(1 + rng.IntN(4)),
	}
	if rng.IntN(2) == 0 {
		p := generate.Plans().Example(int(rng.Uint32() >> 1))
		r.App, r.Made, r.Partitions = "generated", &p, int32(p.Partitions)
	}
	return r
}

// config is the run of a scenario.
func (r scenario) config(t *testing.T) cluster.Config {
	var cfg cluster.Config
	switch {
	case r.App == "torture":
		cfg = torture.Config()
	case r.App == "generated" && r.Made != nil:
		cfg = generated(*r.Made)
	default:
		t.Fatalf("there is no application %q", r.App)
	}
	if r.AtLeastOnce {
		cfg.Guarantee = runtime.AtLeastOnce
	}
	cfg.Workers, cfg.Brokers, cfg.Partitions = r.Workers, r.Brokers, r.Partitions
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
