package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/simdisk"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// sources are the topics that tasks read.
func (w *world) sources() map[string]bool {
	m := make(map[string]bool)
	for _, s := range w.top.Subs {
		for _, t := range s.Sources {
			m[t] = true
		}
	}
	return m
}

// lag is how many committed records the group has not committed.
func (w *world) lag() int64 {
	sources := w.sources()
	g := w.fake.GroupInfo(w.top.App)
	var lag int64
	for _, name := range sortedKeys(w.top.Topics) {
		if !sources[name] {
			continue
		}
		parts := w.fake.PartitionInfos(name)
		if len(parts) == 0 {
			return 1 // not made yet
		}
		for _, p := range parts {
			var at int64
			if g != nil {
				at = g.Commits[name][p.Partition].Offset
			}
			lag += max(p.HighWatermark-max(at, p.LogStartOffset), 0)
		}
	}
	return lag
}

// describe adds topics, partitions, offsets and all committed records to the
// history.
func (w *world) describe(ctx context.Context) error {
	changelogs := make(map[string]string)
	for _, s := range w.top.Subs {
		for _, name := range s.Stores() {
			changelogs[topology.ChangelogTopic(w.top.App, name)] = name
		}
	}
	inputs := make(map[string]bool)
	for _, in := range w.cfg.Sources {
		inputs[in] = true
	}
	sends := make(map[string]bool)
	for _, s := range w.top.Subs {
		for _, t := range s.Sends {
			sends[t] = true
		}
	}
	ends := make(map[check.TP]int64)
	starts := make(map[check.TP]int64)
	for _, name := range sortedKeys(w.top.Topics) {
		e := check.Event{Kind: check.TopicIs, Topic: name, Role: check.Output, Table: changelogs[name]}
		switch {
		case w.top.Topics[name].Kind == topology.Changelog:
			e.Role = check.Changelog
		case w.top.Topics[name].Kind == topology.Repartition:
			e.Role = check.Repartition
		case !sends[name]:
			e.Role = check.Source
		}
		w.h.Add(e)
		for _, p := range w.fake.PartitionInfos(name) {
			tp := check.TP{Topic: name, Partition: p.Partition}
			starts[tp], ends[tp] = p.LogStartOffset, p.LastStableOffset
			w.h.Add(check.Event{Kind: check.LogIs, Topic: name, Partition: p.Partition, Start: p.LogStartOffset, Stable: p.LastStableOffset, End: p.HighWatermark})
		}
	}
	if g := w.fake.GroupInfo(w.top.App); g != nil {
		for _, topic := range sortedKeys(g.Commits) {
			for _, p := range sortedKeys(g.Commits[topic]) {
				c := g.Commits[topic][p]
				w.h.Add(check.Event{Kind: check.OffsetIs, Topic: topic, Partition: p, End: c.Offset, Note: c.Metadata})
			}
		}
	}
	return w.readAll(ctx, starts, ends)
}

// readAll reads the committed records of all partitions.
func (w *world) readAll(ctx context.Context, starts, ends map[check.TP]int64) error {
	at := make(map[string]map[int32]kgo.Offset)
	left := 0
	for tp, end := range ends {
		if starts[tp] >= end {
			continue
		}
		if at[tp.Topic] == nil {
			at[tp.Topic] = make(map[int32]kgo.Offset)
		}
		at[tp.Topic][tp.Partition] = kgo.NewOffset().At(starts[tp])
		left++
	}
	if left == 0 {
		return nil
	}
	cl, err := w.client("reader", kgo.ConsumePartitions(at), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer cl.Close()
	done := make(map[check.TP]bool)
	var records []check.Record
	for left > 0 {
		fs := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("reading the logs: not read to their end: %s: %w", strings.Join(w.unread(starts, ends, done), ", "), err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			tp := check.TP{Topic: r.Topic, Partition: r.Partition}
			if !r.Attrs.IsControl() && r.Offset < ends[tp] {
				records = append(records, recordOf(r))
			}
			if r.Offset+1 >= ends[tp] && !done[tp] {
				done[tp] = true
				left--
			}
		})
	}
	slices.SortFunc(records, func(a, b check.Record) int {
		return cmp.Or(a.TP.Compare(b.TP), cmp.Compare(a.Offset, b.Offset))
	})
	for i := range records {
		w.h.Add(check.Event{Kind: check.Log, Record: &records[i]})
	}
	return nil
}

// unread describes the partitions that are not done.
func (w *world) unread(starts, ends map[check.TP]int64, done map[check.TP]bool) (s []string) {
	for _, tp := range slices.SortedFunc(maps.Keys(ends), check.TP.Compare) {
		if done[tp] || starts[tp] >= ends[tp] {
			continue
		}
		now := "is gone"
		if p := w.fake.PartitionInfo(tp.Topic, tp.Partition); p != nil {
			now = fmt.Sprintf("now starts at %d and is stable to %d", p.LogStartOffset, p.LastStableOffset)
		}
		s = append(s, fmt.Sprintf("%s from %d to %d, which %s", tp, starts[tp], ends[tp], now))
	}
	return s
}

func recordOf(r *kgo.Record) check.Record {
	rec := check.Record{TP: check.TP{Topic: r.Topic, Partition: r.Partition}, Offset: r.Offset, Time: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		if h.Key == check.RoundHeader {
			rec.Round = check.RoundOf(h.Value)
		}
	}
	return rec
}

// globalsRead reports whether each global table on each worker has read its
// topic.
func (w *world) globalsRead() bool {
	for _, n := range w.nodes {
		w.mu.Lock()
		p := n.cur
		w.mu.Unlock()
		if p == nil || p.disk == nil {
			return len(w.top.Globals) == 0
		}
		for _, t := range w.top.Globals {
			pos, ok := p.disk.Position(store.Space{Table: t.Name})
			if !ok {
				return false
			}
			next := make(map[int32]int64)
			for _, in := range pos.Inputs {
				next[in.Partition] = in.Offset
			}
			for _, part := range w.fake.PartitionInfos(t.Source) {
				if next[part.Partition] < part.LastStableOffset {
					return false
				}
			}
		}
	}
	return true
}

// dumpGlobals adds what a store holds of global tables to the history.
func (w *world) dumpGlobals(n *node, s *simdisk.Store, gen store.Generation) error {
	for _, t := range w.top.Globals {
		r, pos, err := s.Open(store.Space{Table: t.Name}, gen)
		if errors.Is(err, store.ErrCorrupt) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: global table %s: %w", n.name, t.Name, err)
		}
		w.h.HeldGlobal(n.name, t.Name, t.Source, r, pos)
	}
	return nil
}

// dump adds what the disks hold to the history.
func (w *world) dump() error {
	for _, n := range w.nodes {
		n.disk.SetGate(nil)
		s, err := simdisk.Open(n.disk)
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		if err := w.dumpGlobals(n, s, store.Generation(time.Now().UnixMilli())); err != nil {
			return err
		}
		for _, sub := range w.top.Subs {
			for _, name := range sub.Stores() {
				for _, info := range w.fake.PartitionInfos(topology.ChangelogTopic(w.top.App, name)) {
					sp := store.Space{Table: name, Partition: info.Partition}
					r, pos, err := s.Open(sp, store.Generation(time.Now().UnixMilli()))
					if errors.Is(err, store.ErrCorrupt) {
						continue
					}
					if err != nil {
						return fmt.Errorf("%s: %w", n.name, err)
					}
					w.h.HeldBy(n.name, sp, r, pos)
				}
			}
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// group adds the state of the group to the history.
func (w *world) group() {
	e := check.Event{Kind: check.GroupIs, Note: "absent"}
	if g := w.fake.GroupInfo(w.top.App); g != nil {
		e.Note = g.State
		e.Members = make(map[string][]check.TP)
		for _, m := range g.Members {
			parts := []check.TP{}
			for _, topic := range sortedKeys(m.Assignment) {
				for _, p := range m.Assignment[topic] {
					parts = append(parts, check.TP{Topic: topic, Partition: p})
				}
			}
			e.Members[m.ClientID] = parts
		}
	}
	w.h.Add(e)
}
