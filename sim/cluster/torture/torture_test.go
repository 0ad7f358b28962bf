package torture

import (
	"testing"
	"time"

	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/cluster"
	"github.com/weirstream/weir/sim/fault"
)

// TestExactlyOnce is the test for many seeds.
func TestExactlyOnce(t *testing.T) {
	cluster.SkipUnlessSimulated(t)
	cluster.Run(t, Config())
}

// TestAtLeastOnce is the same with the other guarantee.
func TestAtLeastOnce(t *testing.T) {
	cluster.SkipUnlessSimulated(t)
	cfg := Config()
	cfg.Guarantee = runtime.AtLeastOnce
	cluster.Run(t, cfg)
}

// TestCalm is the negative control: without faults nothing may be found. It
// runs natively as well, for a moment.
func TestCalm(t *testing.T) {
	cfg := Config()
	cfg.Faults = []fault.Kind{}
	if !cluster.Simulated() {
		cfg.Duration, cfg.Records = 2*time.Second, 60
	}
	cluster.Run(t, cfg)
}
