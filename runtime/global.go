package runtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// globals keeps the global tables of a worker: each is the whole of its
// source topic, read before the first task starts and followed from then on.
type globals struct {
	cfg    *Config
	gen    store.Generation
	tables []*globalTable
	done   sync.WaitGroup
	// damaged hears of a table whose data was found damaged by a reader, or that
	// may have missed deletions: all tasks must be gone before it is rebuilt.
	damaged chan *damageError
}

// A damageError says that a global table must be rebuilt from its topic. It is
// not store.ErrCorrupt, by which a task rebuilds its own tables.
type damageError struct {
	table string
	err   error
}

func (e *damageError) Error() string {
	return fmt.Sprintf("global table %q is rebuilt from its topic: %v", e.table, e.err)
}

// report tells the session, once.
func (g *globals) report(e *damageError) {
	select {
	case g.damaged <- e:
	default:
	}
}

// A globalTable is one of them. All partitions share one space; the position
// in each is in the Inputs of the space's position.
type globalTable struct {
	table  *topology.Table
	space  store.Space
	reader store.Reader
	// next is the offset to read next in each partition: what lies before is
	// in the store.
	next   map[record.TopicPartition]int64
	target map[record.TopicPartition]int64
	// unsound names partitions that were cut off under the table, which may
	// hold rows that are gone. It is rebuilt at the next start.
	unsound map[record.TopicPartition]bool
	// topic is the identity of the source.
	topic store.LogID
	// kept is how long the source keeps deletions, in milliseconds, and whole
	// when the table last held all of a partition.
	kept  int64
	whole map[record.TopicPartition]int64
	now   int64 // when target was the end
}

// unsoundAt is the offset that stands in the position for an unsound
// partition: it lies before every log.
const unsoundAt = -1

func newGlobals(cfg *Config) *globals {
	return &globals{cfg: cfg, gen: store.Generation(nowMillis()), damaged: make(chan *damageError, 1)}
}

// start brings all global tables up to what their topics held when it was
// called, then follows them until ctx ends and done is. The table named
// rebuild, if any, is emptied first.
func (g *globals) start(ctx context.Context, topics map[string]TopicInfo, rebuild string) error {
	kept := tombstoneRetention(topics)
	for _, t := range g.cfg.Topology.Globals {
		gt, f, err := g.catchUp(ctx, t, topics[t.Source].Partitions, kept[t.Source], t.Name == rebuild)
		if damage := (*damageError)(nil); errors.As(err, &damage) {
			return fmt.Errorf("%w: %w", errRejoin, err)
		}
		if err != nil {
			return fmt.Errorf("global table %q: %w", t.Name, err)
		}
		g.tables = append(g.tables, gt)
		g.done.Go(func() {
			defer f.Close()
			g.followOn(ctx, gt, f)
		})
	}
	return nil
}

// catchUp brings one table up to date, and returns it with what follows it.
func (g *globals) catchUp(ctx context.Context, t *topology.Table, partitions int32, kept int64, rebuild bool) (*globalTable, Fetcher, error) {
	gt, err := g.open(ctx, t, partitions, kept, rebuild)
	if err != nil {
		return nil, nil, err
	}
	f, err := g.cfg.Transport.Fetcher(FetchConfig{FromLog: true, Idle: refreshOf(gt.kept)})
	if err != nil {
		return nil, nil, err
	}
	f.Set(gt.next)
	if err := g.follow(ctx, gt, f, gt.behind); err != nil {
		f.Close()
		return nil, nil, err
	}
	return gt, f, nil
}

func (g *globals) readers() map[string]store.Reader {
	rs := make(map[string]store.Reader)
	for _, t := range g.tables {
		rs[t.table.Name] = &guardedReader{t.reader, t.table.Name, g}
	}
	return rs
}

// A guardedReader reports damage instead of passing it on as the task's own.
type guardedReader struct {
	store.Reader

	table string
	g     *globals
}

// Get implements store.Reader.
func (r *guardedReader) Get(key, dst []byte) ([]byte, bool, error) {
	v, found, err := r.Reader.Get(key, dst)
	return v, found, r.report(err)
}

// Scan implements store.Reader.
func (r *guardedReader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for e, err := range r.Reader.Scan(from, to) {
			if !yield(e, r.report(err)) {
				return
			}
		}
	}
}

func (r *guardedReader) report(err error) error {
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	damage := damaged(r.table, err)
	r.g.report(damage)
	return damage
}

func damaged(table string, err error) *damageError {
	return &damageError{table, fmt.Errorf("the store's data is damaged: %w", err)}
}

// damage makes a damageError of what a store says that has met damage, or was
// begun anew, so that the table is opened again.
func (gt *globalTable) damage(err error) error {
	if errors.Is(err, store.ErrCorrupt) {
		return damaged(gt.table.Name, err)
	}
	return err
}

// open finds where to read on, or empties what does not fit the topic.
func (g *globals) open(ctx context.Context, t *topology.Table, partitions int32, kept int64, rebuild bool) (*globalTable, error) {
	gt := &globalTable{
		table: t, space: store.Space{Table: t.Name},
		next: make(map[record.TopicPartition]int64), target: make(map[record.TopicPartition]int64),
		unsound: make(map[record.TopicPartition]bool),
		kept:    kept, whole: make(map[record.TopicPartition]int64), now: nowMillis(),
	}
	var parts []record.TopicPartition
	for p := range partitions {
		parts = append(parts, record.TopicPartition{Topic: t.Source, Partition: p})
	}
	ranges, err := g.cfg.Transport.Offsets(ctx, parts)
	if err != nil {
		return nil, err
	}
	r, pos, err := g.cfg.Store.Open(gt.space, g.gen)
	damaged := errors.Is(err, store.ErrCorrupt)
	if err != nil && !damaged {
		return nil, err
	}
	at := make(map[record.TopicPartition]int64)
	for _, in := range pos.Inputs {
		at[record.TopicPartition{Topic: in.Topic, Partition: in.Partition}] = in.Offset
	}
	drop := damaged || rebuild
	for _, tp := range parts {
		off, had := at[tp]
		plan := changelog.NewPlan(changelog.Log{Space: gt.space, TP: tp, ID: ranges[tp].Topic, Start: ranges[tp].Start, End: ranges[tp].End,
			Position: store.Position{Log: pos.Log, Changelog: off, At: pos.At, Exists: had}, Now: gt.now, TombstoneRetention: kept})
		gt.topic = ranges[tp].Topic
		if plan.Drop {
			g.cfg.Logger.Warn("rebuilding a global table from its topic", "table", t.Name, "reason", plan.Reason)
		}
		drop = drop || plan.Drop
		gt.next[tp], gt.target[tp], gt.whole[tp] = plan.From, plan.To, plan.Since
	}
	if drop {
		for _, tp := range parts {
			gt.next[tp], gt.whole[tp] = ranges[tp].Start, gt.now
		}
		if err := g.cfg.Store.Drop(gt.space, g.gen); err != nil {
			return nil, gt.damage(err)
		}
		if r, _, err = g.cfg.Store.Open(gt.space, g.gen); err != nil {
			return nil, gt.damage(err)
		}
	}
	gt.reader = r
	for tp, next := range gt.next {
		gt.reached(gt.whole, tp, next)
	}
	return gt, nil
}

// advance notes how far a partition was read, and when the table last held all of
// it. It fails when that was so long before the read that deletions may be missing.
func (gt *globalTable) advance(next, whole map[record.TopicPartition]int64, tp record.TopicPartition, rd changelog.Read) error {
	was := max(whole[tp], rd.Before)
	if rd.Next > next[tp] && changelog.Forgotten(was, rd.At, gt.kept) {
		return &damageError{gt.table.Name, fmt.Errorf("it was last complete %d ms before it read on in %v, longer than deletions are kept there (%d ms): some may have been missed", rd.At-was, tp, gt.kept)}
	}
	next[tp], whole[tp] = rd.Next, max(was, rd.Whole)
	gt.reached(whole, tp, rd.Next)
	return nil
}

// reached notes that the table holds all that a partition held when it was opened.
func (gt *globalTable) reached(whole map[record.TopicPartition]int64, tp record.TopicPartition, next int64) {
	if next >= gt.target[tp] {
		whole[tp] = max(whole[tp], gt.now)
	}
}

// behind reports whether the table has not reached its target.
func (gt *globalTable) behind() bool {
	for tp, to := range gt.target {
		if gt.next[tp] < to {
			return true
		}
	}
	return false
}

// follow reads while on says so. After an error gt.next is where the store
// is, and the fetcher has to be set there before it is polled again; after a
// damageError the table has to be rebuilt.
func (g *globals) follow(ctx context.Context, gt *globalTable, f Fetcher, on func() bool) error {
	var batch store.Batch
	for on() {
		if err := ctx.Err(); err != nil {
			return err
		}
		batches := f.Poll(ctx, 0)
		if len(batches) == 0 {
			continue
		}
		next, whole := maps.Clone(gt.next), maps.Clone(gt.whole)
		p := batch.Part(gt.space, g.gen)
		for i := range batches {
			b := &batches[i]
			if b.Err != nil {
				return b.Err
			}
			if err := gt.advance(next, whole, b.TP, readOf(b)); err != nil {
				return err
			}
			for i := range b.Records {
				if r := &b.Records[i]; r.Value == nil {
					p.Delete(r.Key)
				} else {
					p.Put(r.Key, r.Value)
				}
			}
		}
		p.Position = gt.position(next, whole)
		if err := g.cfg.Store.Apply(&batch); err != nil {
			return gt.damage(err)
		}
		gt.next, gt.whole = next, whole
		batch.Reset()
	}
	return nil
}

// position describes a table that has read up to next, and last held all of its
// partitions when whole says.
func (gt *globalTable) position(next, whole map[record.TopicPartition]int64) store.Position {
	pos := store.Position{Log: gt.topic, StreamTime: record.NoTime, At: slices.Min(slices.Collect(maps.Values(whole))), Exists: true}
	for p := range int32(len(next)) {
		tp := record.TopicPartition{Topic: gt.table.Source, Partition: p}
		in := store.InputOffset{Topic: tp.Topic, Partition: p, Offset: next[tp]}
		if gt.unsound[tp] {
			in.Offset = unsoundAt
		}
		pos.Inputs = append(pos.Inputs, in)
	}
	return pos
}

// followOn follows for as long as the worker runs. A topic that was cut off
// under it is read anew, without emptying the table under its readers: rows
// that vanished meanwhile are removed at the next start.
func (g *globals) followOn(ctx context.Context, gt *globalTable, f Fetcher) {
	var wait backoff
	for ctx.Err() == nil {
		polls := 0
		err := g.follow(ctx, gt, f, func() bool {
			if polls++; polls > 1 {
				wait = backoff{} // it reads again
			}
			return true
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		if damage := (*damageError)(nil); errors.As(err, &damage) {
			g.report(damage)
			return
		}
		g.cfg.Logger.Warn("following a global table failed; trying again", "table", gt.table.Name, "error", err)
		wait.sleep(ctx)
		now := nowMillis()
		if ranges, err := g.cfg.Transport.Offsets(ctx, keys(gt.next)); err == nil {
			for tp, r := range ranges {
				if gt.next[tp] < r.Start || gt.next[tp] > r.End || r.Topic != gt.topic {
					gt.next[tp], gt.unsound[tp], gt.whole[tp] = r.Start, true, now
				}
			}
			for _, r := range ranges {
				gt.topic = r.Topic
			}
		}
		f.Set(maps.Clone(gt.next))
	}
}

func keys[V any](m map[record.TopicPartition]V) []record.TopicPartition {
	ks := make([]record.TopicPartition, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	return ks
}
