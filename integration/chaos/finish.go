package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/stores/pebble"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// finish waits until the application has caught up, stops it, completes the
// history and has it checked. Where Kafka left transactions open there may be
// nothing to wait for.
func (r *run) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	if err := r.skipped(); err != nil {
		return err
	}
	patience, aborted := patience, 6*txnTimeout
	if len(r.Skipped) > 0 {
		patience, aborted = patience/4, 2*txnTimeout
	}
	r.h.Add(check.Event{Kind: check.Healed})
	healed := time.Now()
	for {
		for _, p := range r.workers {
			if err := p.died(); err != nil {
				return err
			}
		}
		done, left, err := r.caught(ctx)
		if err == nil && done {
			r.h.Add(check.Event{Kind: check.Caught, Took: time.Since(healed).Milliseconds()})
			break
		}
		if time.Since(healed) > patience {
			r.notef("left over: %s (%v)", left, err)
			break
		}
		if !pause(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
	}
	if err := r.group(ctx); err != nil {
		return err
	}
	for _, p := range r.workers {
		p.stop(patience)
	}
	if err := errors.Join(r.describe(ctx, aborted), r.dump()); err != nil {
		return err
	}
	r.Events, r.Ended = len(r.h.Events), r.ended
	r.Violations = check.All(r.h, check.Subject{
		Exactly: true, Model: r.c.Model, Receipts: r.c.Receipts, Dead: r.c.Dead, Sources: r.c.Sources, Once: r.c.Once,
		Within: patience.Milliseconds(),
	})
	return nil
}

// sources are the topics that tasks read.
func (r *run) sources() []string {
	var all []string
	for _, s := range r.top.Subs {
		all = append(all, s.Sources...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// caught reports whether all input is committed and the group is at rest.
// Offsets that markers take count as done only when no record is among them,
// which a worker's commit passes by itself.
func (r *run) caught(ctx context.Context) (bool, string, error) {
	sources := r.sources()
	offsets, err := r.adm.FetchOffsets(ctx, r.top.App)
	if err != nil {
		return false, "", err
	}
	starts, err := r.adm.ListStartOffsets(ctx, sources...)
	if err != nil {
		return false, "", err
	}
	ends, err := r.adm.ListEndOffsets(ctx, sources...)
	if err != nil {
		return false, "", err
	}
	left := ""
	at := make(map[string]map[int32]kgo.Offset)
	stop := make(map[check.TP]int64)
	ends.Each(func(e kadm.ListedOffset) {
		from := int64(0)
		if s, ok := starts.Lookup(e.Topic, e.Partition); ok {
			from = s.Offset
		}
		if o, ok := offsets.Lookup(e.Topic, e.Partition); ok {
			from = max(from, o.At)
		}
		if from < e.Offset {
			left += fmt.Sprintf("%s/%d at %d of %d; ", e.Topic, e.Partition, from, e.Offset)
			if at[e.Topic] == nil {
				at[e.Topic] = make(map[int32]kgo.Offset)
			}
			at[e.Topic][e.Partition] = kgo.NewOffset().At(from)
			stop[check.TP{Topic: e.Topic, Partition: e.Partition}] = e.Offset
		}
	})
	if left != "" {
		records, err := r.read(ctx, at, stop)
		if err != nil || len(records) > 0 {
			return false, left, err
		}
	}
	g, err := r.adm.DescribeGroups(ctx, r.top.App)
	if err != nil {
		return false, left, err
	}
	d := g[r.top.App]
	return d.State == "Stable" && len(d.Members) == len(r.workers), left, d.Err
}

// group adds the state of the group to the history.
func (r *run) group(ctx context.Context) error {
	g, err := r.adm.DescribeGroups(ctx, r.top.App)
	if err != nil {
		return err
	}
	d := g[r.top.App]
	e := check.Event{Kind: check.GroupIs, Note: d.State, Members: make(map[string][]check.TP)}
	for _, m := range d.Members {
		parts := []check.TP{}
		if c, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range c.Topics {
				for _, p := range t.Partitions {
					parts = append(parts, check.TP{Topic: t.Topic, Partition: p})
				}
			}
		}
		e.Members[m.ClientID] = parts
	}
	r.h.Add(e)
	return nil
}

// role is what a topic is to the application.
func (r *run) role(name string) (role, table string) {
	role = check.Source
	for _, s := range r.top.Subs {
		for _, t := range s.Stores() {
			if topology.ChangelogTopic(r.top.App, t) == name {
				return check.Changelog, t
			}
		}
		if slices.Contains(s.Sends, name) {
			role = check.Output
		}
	}
	switch r.top.Topics[name].Kind {
	case topology.Changelog:
		role = check.Changelog
	case topology.Repartition:
		role = check.Repartition
	}
	return role, ""
}

// describe adds topics, partitions, offsets and committed records. What a
// killed worker left open is first aborted by its timeout, which is given time.
func (r *run) describe(ctx context.Context, aborted time.Duration) error {
	var names []string
	for name := range r.top.Topics {
		names = append(names, name)
		role, table := r.role(name)
		r.h.Add(check.Event{Kind: check.TopicIs, Topic: name, Role: role, Table: table})
	}
	var starts, stable, ends kadm.ListedOffsets
	for began := time.Now(); ; {
		var e1, e2, e3 error
		starts, e1 = r.adm.ListStartOffsets(ctx, names...)
		stable, e2 = r.adm.ListCommittedOffsets(ctx, names...)
		ends, e3 = r.adm.ListEndOffsets(ctx, names...)
		if err := errors.Join(e1, e2, e3); err != nil {
			return err
		}
		open := false
		ends.Each(func(e kadm.ListedOffset) {
			s, ok := stable.Lookup(e.Topic, e.Partition)
			open = open || !ok || s.Offset != e.Offset
		})
		if !open || time.Since(began) > aborted {
			break
		}
		if !pause(ctx, 250*time.Millisecond) {
			return ctx.Err()
		}
	}
	at, stop := make(map[string]map[int32]kgo.Offset), make(map[check.TP]int64)
	ends.Each(func(e kadm.ListedOffset) {
		a, _ := starts.Lookup(e.Topic, e.Partition)
		s, _ := stable.Lookup(e.Topic, e.Partition)
		r.h.Add(check.Event{Kind: check.LogIs, Topic: e.Topic, Partition: e.Partition, Start: a.Offset, Stable: s.Offset, End: e.Offset})
		if a.Offset < s.Offset {
			if at[e.Topic] == nil {
				at[e.Topic] = make(map[int32]kgo.Offset)
			}
			at[e.Topic][e.Partition] = kgo.NewOffset().At(a.Offset)
			stop[check.TP{Topic: e.Topic, Partition: e.Partition}] = s.Offset
		}
	})
	offsets, err := r.adm.FetchOffsets(ctx, r.top.App)
	if err != nil {
		return err
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		r.h.Add(check.Event{Kind: check.OffsetIs, Topic: o.Topic, Partition: o.Partition, End: o.At, Note: o.Metadata})
	})
	records, err := r.read(ctx, at, stop)
	for i := range records {
		r.h.Add(check.Event{Kind: check.Log, Record: &records[i]})
	}
	return err
}

// read returns the committed records from some offsets up to others.
func (r *run) read(ctx context.Context, at map[string]map[int32]kgo.Offset, stop map[check.TP]int64) ([]check.Record, error) {
	opts := append(r.cl.Opts(), kgo.ConsumePartitions(at), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var records []check.Record
	left := make(map[check.TP]int64, len(stop))
	for tp, end := range stop {
		left[tp] = end
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return records, fmt.Errorf("reading the logs: %d partitions are not read to their end: %w", len(left), ctx.Err())
		}
		fs.EachRecord(func(k *kgo.Record) {
			tp := check.TP{Topic: k.Topic, Partition: k.Partition}
			if !k.Attrs.IsControl() && k.Offset < stop[tp] {
				records = append(records, recordOf(k))
			}
			if k.Offset+1 >= stop[tp] {
				delete(left, tp)
			}
		})
	}
	slices.SortFunc(records, func(a, b check.Record) int {
		return cmp.Or(a.TP.Compare(b.TP), cmp.Compare(a.Offset, b.Offset))
	})
	return records, nil
}

func recordOf(k *kgo.Record) check.Record {
	rec := check.Record{TP: check.TP{Topic: k.Topic, Partition: k.Partition}, Offset: k.Offset, Time: k.Timestamp.UnixMilli(), Key: k.Key, Value: k.Value}
	for _, h := range k.Headers {
		if h.Key == check.RoundHeader {
			rec.Round = check.RoundOf(h.Value)
		}
	}
	return rec
}

// dump adds what the workers' stores hold to the history.
func (r *run) dump() error {
	for _, p := range r.workers {
		if err := r.dumpOne(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (r *run) dumpOne(p *process) (err error) {
	s, err := pebble.Open(pebble.Config{Dir: filepath.Join(p.dir, "pebble")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, sub := range r.top.Subs {
		for _, name := range sub.Stores() {
			for n := range int32(partitions) {
				sp := store.Space{Table: name, Partition: n}
				rd, pos, err := s.Open(sp, store.Generation(time.Now().UnixMilli()))
				if errors.Is(err, store.ErrCorrupt) {
					continue
				}
				if err != nil {
					return err
				}
				r.h.HeldBy(p.name, sp, rd, pos)
			}
		}
	}
	return nil
}
