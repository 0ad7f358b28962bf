package runtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

func spaceOf(name string, id task.ID) store.Space {
	return store.Space{Table: name, Partition: id.Partition}
}

// open finds out what a task starts from. The order matters: only after the
// committed offsets are stable are the ends of the changelogs read, so that
// they cover every transaction which those offsets belong to.
func (s *session) open(ctx context.Context, e worker.Open) worker.Opened {
	ev := worker.Opened{Task: e.Task, Generation: e.Generation, Readers: s.globals.readers()}
	committed, err := s.group.Committed(ctx, e.Inputs)
	if err != nil {
		ev.Err = fmt.Errorf("task %s: reading committed offsets: %w", e.Task, err)
		return ev
	}
	Crash(s.cfg, "open.committed")
	logs := s.changelogs(e.Task, e.Stores)
	now := nowMillis() // before the ends: what is complete up to them was complete then
	ranges, err := s.cfg.Transport.Offsets(ctx, append(append([]record.TopicPartition(nil), e.Inputs...), logs...))
	if err != nil {
		ev.Err = fmt.Errorf("task %s: reading the ends of its logs: %w", e.Task, err)
		return ev
	}
	for _, tp := range e.Inputs {
		in := worker.Input{TP: tp, Committed: -1, Start: ranges[tp].Start, End: ranges[tp].End}
		if c, ok := committed[tp]; ok {
			in.Committed, in.Metadata = c.At, c.Metadata
		}
		ev.Inputs = append(ev.Inputs, in)
	}
	for i, name := range e.Stores {
		l, r, err := s.waitForSpace(ctx, spaceOf(name, e.Task), e.Generation, e.Rebuild)
		if err != nil {
			ev.Err = fmt.Errorf("task %s: opening %s: %w", e.Task, name, err)
			return ev
		}
		at := ranges[logs[i]]
		l.TP, l.ID, l.Start, l.End = logs[i], at.Topic, at.Start, at.End
		l.Now, l.TombstoneRetention = now, s.tombstones[logs[i].Topic]
		ev.Logs = append(ev.Logs, l)
		ev.Readers[name] = r
	}
	return ev
}

// changelogs are the partitions that hold the stores of a task.
func (s *session) changelogs(id task.ID, stores []string) []record.TopicPartition {
	logs := make([]record.TopicPartition, len(stores))
	for i, name := range stores {
		logs[i] = record.TopicPartition{Topic: topology.ChangelogTopic(s.cfg.Topology.App, name), Partition: id.Partition}
	}
	return logs
}

// waitForSpace opens one space, as soon as its store can be reached.
func (s *session) waitForSpace(ctx context.Context, sp store.Space, gen store.Generation, rebuild bool) (changelog.Log, store.Reader, error) {
	var wait backoff
	for {
		l, r, err := s.openSpace(sp, gen, rebuild)
		if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return l, r, err
		}
		s.log.Warn("the store cannot be reached; waiting for it", "space", sp.String(), "error", err)
		wait.sleep(ctx)
	}
}

// openSpace opens one space; a damaged one is emptied, to be rebuilt.
func (s *session) openSpace(sp store.Space, gen store.Generation, rebuild bool) (changelog.Log, store.Reader, error) {
	l := changelog.Log{Space: sp, Corrupt: rebuild}
	r, pos, err := s.cfg.Store.Open(sp, gen)
	Crash(s.cfg, "open.opened")
	if errors.Is(err, store.ErrCorrupt) {
		s.log.Warn("the store's data is damaged; rebuilding it from the changelog", "space", sp.String(), "error", err)
		l.Corrupt = true
		if err := s.cfg.Store.Drop(sp, gen); err != nil {
			return l, nil, err
		}
		r, pos, err = s.cfg.Store.Open(sp, gen)
	}
	l.Position = pos
	return l, r, err
}

// tombstoneRetention reads delete.retention.ms of compacted topics. Where nothing
// is compacted, deletions go with the beginning of the log, which readers notice.
func tombstoneRetention(infos map[string]TopicInfo) map[string]int64 {
	ms := make(map[string]int64)
	for name, info := range infos {
		if policy, ok := info.Config["cleanup.policy"]; ok && !strings.Contains(policy, "compact") {
			continue
		}
		if v, err := strconv.ParseInt(info.Config["delete.retention.ms"], 10, 64); err == nil {
			ms[name] = max(v, 1) // zero means at once
		}
	}
	return ms
}
