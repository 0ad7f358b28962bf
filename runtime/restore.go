package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/worker"
)

// A RestoreProgress describes the restore of one space.
type RestoreProgress struct {
	Space store.Space
	// From, At and To are changelog offsets: where it began, where it is,
	// where it ends.
	From, At, To int64
	// Records applied so far.
	Records int64
	Elapsed time.Duration
	Done    bool
	// Reason says why the space is rebuilt from the start, if it is.
	Reason string
}

// restoreBatchBytes is how much a restore applies at once.
const restoreBatchBytes = 4 << 20

// restore brings the spaces of a task up to date, each on its own. Running tasks
// are not held up: restores have fetchers of their own.
func (s *session) restore(ctx context.Context, e worker.Restore) worker.Restored {
	ev := worker.Restored{Task: e.Task, Generation: e.Generation}
	select {
	case s.restores <- struct{}{}:
		defer func() { <-s.restores }()
	case <-ctx.Done():
		ev.Err = ctx.Err()
		return ev
	}
	rs := &restorer{
		s: s, gen: e.Generation, start: time.Now(), loads: s.budget.load / max(len(e.Plans), 1),
		spaces: make(map[record.TopicPartition]*restoring), anew: make(map[record.TopicPartition]bool),
	}
	defer rs.abort()
	for _, p := range e.Plans {
		if err := rs.begin(p); err != nil {
			ev.Err = fmt.Errorf("task %s: restoring %s: %w", e.Task, p.Space, err)
			break
		}
	}
	if ev.Err == nil {
		if err := rs.run(ctx); err != nil {
			ev.Err = fmt.Errorf("task %s: restoring: %w", e.Task, err)
		}
	}
	if worker.Mends(ev.Err) {
		s.log.Warn("the store failed during a restore; the task opens again", "task", e.Task.String(), "error", ev.Err)
		new(backoff).sleep(ctx)
	}
	return ev
}

// A restorer restores the spaces of one task.
type restorer struct {
	s      *session
	gen    store.Generation
	start  time.Time
	spaces map[record.TopicPartition]*restoring
	// anew are the partitions that were set to another offset since the last
	// poll: what else that brought of them is of the old one.
	anew  map[record.TopicPartition]bool
	batch store.Batch
	bytes int
	loads int // bytes that one load may hold
}

type restoring struct {
	plan changelog.Plan
	*changelog.Restore
	load store.Loader // nil when the space is filled by batches
}

func (rs *restorer) begin(p changelog.Plan) error {
	r := &restoring{plan: p, Restore: changelog.NewRestore(p)}
	if p.Drop {
		rs.s.log.Warn("rebuilding a space from its changelog", "space", p.Space.String(), "reason", p.Reason)
	}
	bulk, ok := store.BulkLoaderFor(rs.s.cfg.Store, p.Space)
	var err error
	switch {
	case ok && p.Fresh && r.Remaining() >= bulkRecords:
		r.load, err = bulk.Load(p.Space, rs.gen, rs.loads)
	case p.Drop:
		err = rs.s.cfg.Store.Drop(p.Space, rs.gen)
	}
	if err != nil {
		return err
	}
	if p.Drop {
		Crash(rs.s.cfg, "restore.dropped")
	}
	rs.report(r)
	if !r.Done() {
		rs.spaces[p.TP] = r
	}
	return nil
}

// readOf is what a batch of a changelog has brought.
func readOf(b *Batch) changelog.Read {
	ms := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.UnixMilli()
	}
	return changelog.Read{Records: b.Records, Next: b.Next, At: ms(b.Read), Before: ms(b.Before), Whole: ms(b.Whole)}
}

// abort gives up the loads that are not complete.
func (rs *restorer) abort() {
	for _, r := range rs.spaces {
		if r.load != nil {
			r.load.Abort()
		}
	}
}

func (rs *restorer) report(r *restoring) {
	if f := rs.s.cfg.OnRestore; f != nil {
		f(RestoreProgress{Space: r.plan.Space, From: r.plan.From, At: r.Next(), To: r.plan.To, Records: r.Records(),
			Elapsed: time.Since(rs.start), Done: r.Done(), Reason: r.plan.Reason})
	}
}

func (rs *restorer) run(ctx context.Context) error {
	if len(rs.spaces) == 0 {
		return nil
	}
	rs.s.restoring(1)
	defer rs.s.restoring(-1)
	f, err := rs.s.share()
	if err != nil {
		return err
	}
	defer f.close()
	at := make(map[record.TopicPartition]int64)
	for tp, r := range rs.spaces {
		at[tp] = r.Next()
	}
	f.set(ctx, at)
	for len(rs.spaces) > 0 {
		batches := f.poll(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		clear(rs.anew)
		for i := range batches {
			if rs.anew[batches[i].TP] {
				continue
			}
			if err := rs.add(ctx, f, &batches[i]); err != nil {
				return err
			}
		}
		if err := rs.apply(f); err != nil {
			return err
		}
	}
	return nil
}

// add takes one batch of changelog records.
func (rs *restorer) add(ctx context.Context, f *share, b *Batch) error {
	r := rs.spaces[b.TP]
	if r == nil {
		return nil
	}
	if errors.Is(b.Err, ErrOffsetOutOfRange) {
		return rs.again(ctx, f, r)
	}
	if b.Err != nil {
		return b.Err
	}
	rd := readOf(b)
	if r.TooLate(rd) {
		rs.s.log.Warn("a restore was slower than deletions are kept and begins anew; if that happens again and again, raise delete.retention.ms of its changelog",
			"space", r.plan.Space.String(), "changelog", r.plan.TP.Topic, "delete.retention.ms", r.plan.TombstoneRetention)
		return rs.again(ctx, f, r)
	}
	if r.load != nil {
		return r.Load(r.load, rd)
	}
	r.Add(rs.batch.Part(r.plan.Space, rs.gen), rd)
	rs.bytes += sizeOf(b)
	if rs.bytes >= restoreBatchBytes {
		return rs.write()
	}
	return nil
}

// again plans a space once more: its log moved under the restore (retention), or
// the restore did not read it for so long that deletions may be gone from it.
func (rs *restorer) again(ctx context.Context, f *share, r *restoring) error {
	if err := rs.write(); err != nil {
		return err
	}
	tp := r.plan.TP
	now := nowMillis()
	ranges, err := rs.s.cfg.Transport.Offsets(ctx, []record.TopicPartition{tp})
	if err != nil {
		return err
	}
	l := changelog.Log{
		Space: r.plan.Space, TP: tp, ID: ranges[tp].Topic, Start: ranges[tp].Start, End: ranges[tp].End,
		Now: now, TombstoneRetention: r.plan.TombstoneRetention,
	}
	if r.load != nil {
		r.load.Abort() // the space is empty, as it was
	} else {
		l.Position = r.Position()
	}
	p := changelog.NewPlan(l)
	delete(rs.spaces, tp)
	rs.anew[tp] = true
	if err := rs.begin(p); err != nil {
		return err
	}
	if r := rs.spaces[tp]; r != nil {
		f.set(ctx, map[record.TopicPartition]int64{tp: r.Next()})
	}
	return nil
}

func (rs *restorer) write() error {
	if rs.batch.Empty() {
		return nil
	}
	Crash(rs.s.cfg, "restore.apply")
	err := rs.s.cfg.Store.Apply(&rs.batch)
	Crash(rs.s.cfg, "restore.applied")
	rs.batch.Reset()
	rs.bytes = 0
	return err
}

// apply writes what was read and lets spaces go that are complete.
func (rs *restorer) apply(f *share) error {
	if err := rs.write(); err != nil {
		return err
	}
	for tp, r := range rs.spaces {
		if r.Done() && r.load != nil {
			if err := rs.complete(r); err != nil {
				return err
			}
		}
		rs.report(r)
		if r.Done() {
			delete(rs.spaces, tp)
			f.remove(tp)
		}
	}
	return nil
}

// complete makes a load visible.
func (rs *restorer) complete(r *restoring) error {
	Crash(rs.s.cfg, "restore.apply")
	err := r.load.Commit(r.Position())
	Crash(rs.s.cfg, "restore.applied")
	return err
}
