package runtime

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// A purger deletes what was consumed from repartition topics, which nobody
// else reads and which have no retention of their own.
type purger struct {
	cfg      *Config
	internal map[string]bool
	mu       sync.Mutex
	before   map[record.TopicPartition]int64
}

func newPurger(cfg *Config) *purger {
	p := &purger{cfg: cfg, internal: make(map[string]bool), before: make(map[record.TopicPartition]int64)}
	for _, t := range cfg.Topology.Topics {
		if t.Kind == topology.Repartition {
			p.internal[t.Name] = true
		}
	}
	return p
}

// consumed notes the input offsets of a committed round.
func (p *purger) consumed(r *worker.Round) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range r.Epochs {
		for _, in := range e.Offsets {
			if p.internal[in.Topic] && in.Offset > 0 {
				p.before[record.TopicPartition{Topic: in.Topic, Partition: in.Partition}] = in.Offset
			}
		}
	}
}

// again notes offsets whose deletion failed, unless newer ones are known.
func (p *purger) again(before map[record.TopicPartition]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for tp, at := range before {
		p.before[tp] = max(p.before[tp], at)
	}
}

func (p *purger) run(ctx context.Context) {
	if len(p.internal) == 0 {
		return
	}
	tick := time.NewTicker(p.cfg.PurgeInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		before := maps.Clone(p.before)
		clear(p.before)
		p.mu.Unlock()
		if len(before) == 0 {
			continue
		}
		if err := p.cfg.Transport.DeleteRecords(ctx, before); err != nil && ctx.Err() == nil {
			p.again(before)
			p.cfg.Logger.Warn("deleting consumed repartition records failed; trying again later", "error", err)
		}
	}
}
