package standby_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// fold is what a space holds that has read a log up to an offset.
func (l *log) fold(to int64) map[string]string { return fold(l.records[l.start:to]) }

func fold(records []*record.Record) map[string]string {
	m := make(map[string]string)
	for _, r := range records {
		switch {
		case r == nil:
		case r.Value == nil:
			delete(m, string(r.Key))
		default:
			m[string(r.Key)] = string(r.Value)
		}
	}
	return m
}

// TestStandbysAgreeWithTheirLogs lets anything happen in any order: after every
// step, each space is the fold of its changelog at its position. In the end the
// standbys that are wanted have all of it.
func TestStandbysAgreeWithTheirLogs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		l := newLab(t, rapid.SampledFrom([]int{0, 1, 8}).Draw(rt, "batch bytes"))
		ids := []task.ID{{Sub: "alarms"}, {Sub: "words"}, {Sub: "words", Partition: 1}}
		active := make(map[task.ID]bool)
		pick := func() []task.ID {
			return slices.DeleteFunc(slices.Clone(ids), func(id task.ID) bool { return rapid.Bool().Draw(rt, "without "+id.String()) })
		}
		want := pick()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			anything(rt, l, ids, active, &want, pick)
			agree(rt, l)
		}
		l.disk.broken = nil
		l.step(standby.Restoring{})
		l.gen++
		l.step(standby.Wanted{Generation: l.gen, Tasks: want})
		settle(l)
		agree(rt, l)
		var kept []task.ID
		for _, in := range l.m.Standbys() {
			if !in.CaughtUp || in.State != standby.Following {
				rt.Fatalf("%s is %s, caught up %t: %v", in.Task, in.State, in.CaughtUp, in.Err)
			}
			for tp, next := range in.Next {
				if next != l.log(tp).end() {
					rt.Fatalf("%s is at %d of %d", tp, next, l.log(tp).end())
				}
			}
			kept = append(kept, in.Task)
		}
		want = slices.DeleteFunc(want, func(id task.ID) bool { return active[id] })
		if !slices.Equal(kept, want) {
			rt.Fatalf("standbys of %v, want %v", kept, want)
		}
	})
}

// TestStandbysMissNoDeletion lets compaction remove deletions while standbys
// follow, are cut off, lag and crash: in the end they hold what was never
// deleted, and nothing else.
func TestStandbysMissNoDeletion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		l := newLab(t, 0)
		l.now, l.retention = 1, 10
		id := task.ID{Sub: "words"}
		tp, sp := logsOf(id)[0], spacesOf(id)[0]
		active := make(map[task.ID]bool)
		want := []task.ID{id}
		l.gen++
		l.step(standby.Wanted{Generation: l.gen, Tasks: want})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch what := rapid.SampledFrom([]string{"time", "time", "compact", "produce", "look", "crash"}).Draw(rt, "step"); what {
			case "time":
				l.now += rapid.SampledFrom([]int64{1, 6, 11}).Draw(rt, "passes")
			case "compact":
				l.log(tp).compact(l.now, l.retention)
			case "produce":
				r := &record.Record{Key: []byte(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key"))}
				if rapid.Bool().Draw(rt, "put") {
					r.Value = fmt.Append(nil, l.log(tp).end())
				}
				l.log(tp).append(r)
			case "look":
				settleOnce(l, rapid.Int64Range(1, 3).Draw(rt, "offsets"))
			case "crash":
				now := l.now
				trouble(rt, l, id, "crash", active, want)
				l.now, l.retention = now, 10
			}
		}
		settle(l)
		if got, want := l.disk.content(sp), fold(l.log(tp).all); !maps.Equal(got, want) {
			rt.Fatalf("it holds %v, and what was never deleted is %v", got, want)
		}
	})
}

// anything lets one thing happen.
func anything(rt *rapid.T, l *lab, ids []task.ID, active map[task.ID]bool, want *[]task.ID, pick func() []task.ID) {
	id := rapid.SampledFrom(ids).Draw(rt, "task")
	switch what := rapid.SampledFrom([]string{
		"produce", "produce", "open", "open", "fetch", "fetch", "poll", "want", "take", "left", "drop", "truncate", "restoring", "break", "crash",
	}).Draw(rt, "what"); what {
	case "produce":
		g := l.log(rapid.SampledFrom(logsOf(id)).Draw(rt, "log"))
		r := &record.Record{Key: []byte(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key"))}
		if v := rapid.IntRange(0, 9).Draw(rt, "value"); v > 2 {
			r.Value = fmt.Append(nil, v)
		} else if v == 2 {
			r = nil // a marker
		}
		g.append(r)
	case "open":
		if _, ok := l.opens[id]; ok {
			l.open(id)
		}
	case "drop":
		if _, ok := l.drops[id]; ok {
			l.drop(id)
		}
	case "fetch":
		l.fetch(rapid.SampledFrom(logsOf(id)).Draw(rt, "log"), rapid.Int64Range(1, 4).Draw(rt, "offsets"))
	case "poll":
		l.poll(2)
	case "want":
		*want = pick()
		l.gen++
		l.step(standby.Wanted{Generation: l.gen, Tasks: *want})
	case "take":
		if active[id] {
			return
		}
		l.step(standby.Take{Tasks: []task.ID{id}})
		active[id] = true
		l.gen++
		for _, sp := range spacesOf(id) {
			if _, err := l.disk.open(sp, l.gen); err != nil {
				rt.Fatalf("the task cannot open %s: %v", sp, err)
			}
		}
	case "left":
		if active[id] {
			delete(active, id)
			l.gen++
			l.step(standby.Left{Generation: l.gen, Tasks: []task.ID{id}})
		}
	default:
		trouble(rt, l, id, what, active, *want)
	}
}

func trouble(rt *rapid.T, l *lab, id task.ID, what string, active map[task.ID]bool, want []task.ID) {
	switch what {
	case "truncate":
		g := l.log(rapid.SampledFrom(logsOf(id)).Draw(rt, "log"))
		// Only what is superseded goes, as in a compacted topic.
		if len(g.fold(g.end())) == 0 {
			g.start = g.end()
		}
	case "restoring":
		l.step(standby.Restoring{On: rapid.Bool().Draw(rt, "on")})
	case "break":
		l.disk.broken = nil
		if rapid.Bool().Draw(rt, "broken") {
			l.disk.broken = errors.New("disk full")
		}
	case "crash":
		l.disk.crash()
		fresh := newLab(l.t, 0)
		fresh.logs, fresh.disk, fresh.gen = l.logs, l.disk, l.gen+1
		*l = *fresh
		clear(active)
		l.step(standby.Wanted{Generation: l.gen, Tasks: want})
	}
}

// settle answers everything until nothing is left to be read.
func settle(l *lab) {
	for range 100 {
		settleOnce(l, 3)
	}
}

func settleOnce(l *lab, offsets int64) {
	for _, id := range slices.SortedFunc(maps.Keys(l.opens), task.ID.Compare) {
		l.open(id)
	}
	for _, id := range slices.SortedFunc(maps.Keys(l.drops), task.ID.Compare) {
		l.drop(id)
	}
	l.poll(offsets)
}

func logsOf(id task.ID) []record.TopicPartition {
	var tps []record.TopicPartition
	for _, sp := range spacesOf(id) {
		tps = append(tps, record.TopicPartition{Topic: "app-" + sp.Table + "-changelog", Partition: sp.Partition})
	}
	return tps
}

func spacesOf(id task.ID) []store.Space {
	var sps []store.Space
	for _, name := range testTopology().Sub(id.Sub).Stores() {
		sps = append(sps, store.Space{Table: name, Partition: id.Partition})
	}
	return sps
}

// agree fails unless each space is the fold of its log at its position.
func agree(rt *rapid.T, l *lab) {
	for sp, s := range l.disk.spaces {
		g := l.log(record.TopicPartition{Topic: "app-" + sp.Table + "-changelog", Partition: sp.Partition})
		if want := g.fold(max(s.pos.Changelog, g.start)); s.pos.Changelog >= g.start && !maps.Equal(s.data, want) {
			rt.Fatalf("%s holds %v at %d, its changelog says %v", sp, s.data, s.pos.Changelog, want)
		}
	}
}
