package cluster

import (
	"context"
	"strings"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
)

// A following is what a node says of one changelog that it follows.
type following struct {
	node string
	tp   record.TopicPartition
	next int64
	done bool
}

// followings asks all nodes for their standbys.
func (w *world) followings() []following {
	ends := make(map[record.TopicPartition]int64)
	var all []following
	for _, n := range w.nodes {
		w.mu.Lock()
		p := n.cur
		w.mu.Unlock()
		if p == nil || p.worker == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		infos := p.worker.Status(ctx).Standbys
		cancel()
		for _, in := range infos {
			for _, name := range w.top.Sub(in.Task.Sub).Stores() {
				tp := record.TopicPartition{Topic: topology.ChangelogTopic(w.top.App, name), Partition: in.Task.Partition}
				if _, ok := ends[tp]; !ok {
					ends[tp] = w.stableEnd(tp)
				}
				f := following{node: n.name, tp: tp, next: in.Next[tp]}
				f.done = in.State == standby.Following && in.CaughtUp && f.next >= ends[tp]
				all = append(all, f)
			}
		}
	}
	return all
}

func (w *world) stableEnd(tp record.TopicPartition) int64 {
	for _, p := range w.fake.PartitionInfos(tp.Topic) {
		if p.Partition == tp.Partition {
			return p.LastStableOffset
		}
	}
	return 0
}

// followed reports whether every task with state has its standbys, and all of
// them have caught up.
func (w *world) followed() bool {
	want := 0
	for _, sub := range w.top.Subs {
		for _, name := range sub.Stores() {
			want += len(w.fake.PartitionInfos(topology.ChangelogTopic(w.top.App, name))) * min(w.knobs.standbys, len(w.nodes)-1)
		}
	}
	for _, f := range w.followings() {
		if !f.done {
			return false
		}
		want--
	}
	return want == 0
}

// follow waits for the standbys and adds what they are at to the history.
func (w *world) follow() {
	if w.knobs.standbys == 0 {
		return
	}
	ok := eventually(w.cfg.Patience, w.followed)
	fs := w.followings()
	for _, f := range fs {
		table := strings.TrimSuffix(strings.TrimPrefix(f.tp.Topic, w.top.App+"-"), "-changelog")
		w.h.Add(check.Event{Kind: check.Following, Worker: f.node, Table: table, Partition: f.tp.Partition, Reached: f.next, To: w.stableEnd(f.tp), Done: f.done})
	}
	if !ok && len(fs) == 0 {
		w.h.Add(check.Event{Kind: check.Following, Worker: "nobody", Note: "there are no standbys at all"})
	}
}
