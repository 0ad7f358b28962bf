package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/weirstream/weir/runtime"
)

// tableEntryBytes is what an entry of the keyed count takes in the memory
// store, which holds the whole table: its key, and a tree's nodes around it.
// Without a limit the Go heap grows to twice of what is live.
const tableEntryBytes = 2 * (100 + 8 + 150)

// measureMemory runs the keyed count over all keys and reads the peak of the
// process's memory.
func measureMemory(ctx context.Context, o options) (f figures, err error) {
	s, remove, err := openStore(o)
	if err != nil {
		return f, err
	}
	defer remove()
	done := make(chan struct{})
	var mu sync.Mutex
	at := make(map[int32]int64)
	ended := false
	m := newMeter()
	err = work(ctx, o, countApp(fmt.Sprintf("memory-%d", os.Getpid()), memoryInput), s, done, func(c *runtime.Config) {
		c.OnHistory = func(ev runtime.HistoryEvent) {
			if ev.Result.Outcome != runtime.Committed {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, e := range ev.Round.Epochs {
				for _, in := range e.Offsets {
					at[in.Partition] = in.Offset
				}
			}
			sum := int64(0)
			for _, n := range at {
				sum += n
			}
			if sum >= int64(o.keys) && !ended {
				ended = true
				close(done)
			}
		}
	})
	if err != nil {
		return f, err
	}
	f = m.read(o.keys, 0)
	f.Bound = int64(o.memory)<<20 + runtime.MemoryOverhead
	if o.store == "memory" {
		f.Bound += int64(o.keys) * tableEntryBytes
	}
	f.RSS, err = maxRSS()
	return f, err
}
