package main

import (
	"sync"

	"github.com/weirstream/weir/runtime"
)

// progress follows the committed input offsets until all records are done.
type progress struct {
	mu      sync.Mutex
	want    int64
	at      map[int32]int64
	commits int
	ended   bool
	done    chan struct{}
}

func (p *progress) note(ev runtime.HistoryEvent) {
	if ev.Result.Outcome != runtime.Committed {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commits++
	for _, e := range ev.Round.Epochs {
		for _, in := range e.Offsets {
			p.at[in.Partition] = in.Offset
		}
	}
	sum := int64(0)
	for _, at := range p.at {
		sum += at
	}
	if sum >= p.want && !p.ended {
		p.ended = true
		close(p.done)
	}
}
