package cluster

import (
	"context"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
)

// compact makes the brokers compact their logs, and returns when they have.
//
// It works round kfake, which lets the records of an open transaction displace
// committed ones: when it is aborted, both are gone. Kafka's cleaner stops at
// the first offset of an open transaction. kfake's cannot be told where to
// stop, so it runs at a moment at which no changelog has one. To look and to
// compact must be one step: it is done while kfake handles a request, when it
// handles no other.
func (w *world) compact() {
	w.compactions.Add(1)
	defer w.compactions.Done()
	var over, done atomic.Bool
	w.fake.ControlKey(-1, func(kmsg.Request) (kmsg.Response, error, bool) {
		if !over.Load() && w.transactions() {
			return nil, nil, false // at the next request
		}
		w.fake.DropControl()
		if !over.Load() && !done.Swap(true) {
			w.h.Add(check.Event{Kind: check.Compacted})
			w.fake.Compact()
		}
		return nil, nil, false
	})
	// Transactions end, by their timeout at the latest.
	if !eventually(3*txnTimeout, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), reqTimeout)
		defer cancel()
		_ = w.producer.Ping(ctx) // there need not be other requests
		return done.Load()
	}) {
		over.Store(true)
		w.trace.add("not compacted: there always was an open transaction")
	}
}

// transactions reports whether there is one that has written to a changelog
// and is open.
func (w *world) transactions() bool {
	for _, name := range sortedKeys(w.top.Topics) {
		if w.top.Topics[name].Kind != topology.Changelog {
			continue
		}
		for _, p := range w.fake.PartitionInfos(name) {
			if p.LastStableOffset < p.HighWatermark {
				return true
			}
		}
	}
	return false
}
