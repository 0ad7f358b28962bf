package torture

import (
	"testing"

	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/cluster"
	"github.com/weirstream/weir/sim/fault"
)

// TestExactlyOnce is the test for many seeds.
func TestExactlyOnce(t *testing.T) {
	cluster.Run(t, Config())
}

// TestAtLeastOnce is the same with the other guarantee.
func TestAtLeastOnce(t *testing.T) {
	cfg := Config()
	cfg.Guarantee = runtime.AtLeastOnce
	cluster.Run(t, cfg)
}

// TestCalm is the negative control: without faults nothing may be found.
func TestCalm(t *testing.T) {
	cfg := Config()
	cfg.Faults = []fault.Kind{}
	cluster.Run(t, cfg)
}
