package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// ReadTopic calls got with every committed record of a topic, partition by
// partition, up to the ends that the partitions have when it begins. It works
// while others write; where a transaction is open below the end it waits for
// its outcome. The record is valid during the call.
func ReadTopic(ctx context.Context, tr runtime.Transport, topic string, got func(r *record.Record) error) error {
	infos, err := tr.Topics(ctx, topic)
	if err != nil {
		return err
	}
	info, ok := infos[topic]
	if !ok {
		return fmt.Errorf("topic %q does not exist: create it with `topics create`, or start a worker, which makes internal topics", topic)
	}
	parts := make([]record.TopicPartition, info.Partitions)
	for i := range parts {
		parts[i] = record.TopicPartition{Topic: topic, Partition: int32(i)}
	}
	ranges, err := tr.Offsets(ctx, parts)
	if err != nil {
		return err
	}
	for _, tp := range parts {
		if err := ReadPartition(ctx, tr, tp, ranges[tp], got); err != nil {
			return fmt.Errorf("reading %s: %w", tp, err)
		}
	}
	return nil
}

// ReadPartition calls got with the committed records of a part of one
// partition, like ReadTopic. That it has all is told from positions: markers
// and compacted records are never seen. Each partition has a fetcher of its
// own, because one that is set anew waits for what it asked for before.
func ReadPartition(ctx context.Context, tr runtime.Transport, tp record.TopicPartition, r runtime.LogRange, got func(r *record.Record) error) error {
	if r.Start >= r.End {
		return nil
	}
	f, err := tr.Fetcher(runtime.FetchConfig{FromLog: true})
	if err != nil {
		return err
	}
	defer f.Close()
	f.Set(map[record.TopicPartition]int64{tp: r.Start})
	for next := r.Start; next < r.End; {
		for _, b := range f.Poll(ctx, 0) {
			if err := deliver(&b, r.End, got); err != nil {
				return err
			}
			next = max(next, b.Next)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands the records of a batch on that are before the end.
func deliver(b *runtime.Batch, end int64, got func(*record.Record) error) error {
	if errors.Is(b.Err, runtime.ErrOffsetOutOfRange) {
		return fmt.Errorf("%w: it was deleted while it was read; try again", b.Err)
	}
	if b.Err != nil {
		return b.Err
	}
	for i := range b.Records {
		if b.Records[i].Offset >= end {
			break
		}
		if err := got(&b.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

// An entry is one entry of a table as bytes; its key is the storage key.
type entry struct{ key, value []byte }

// fold calls got with the entries that a changelog amounts to, partition by
// partition, in byte order of their storage keys.
func fold(ctx context.Context, tr runtime.Transport, topic string, want func(storageKey []byte) bool, got func(partition int32, en entry) error) error {
	state := make(map[string][]byte)
	at := int32(0)
	flush := func() error {
		for _, key := range slices.Sorted(maps.Keys(state)) {
			if err := got(at, entry{[]byte(key), state[key]}); err != nil {
				return err
			}
		}
		clear(state)
		return nil
	}
	err := ReadTopic(ctx, tr, topic, func(r *record.Record) error {
		if r.Partition != at {
			if err := flush(); err != nil {
				return err
			}
			at = r.Partition
		}
		switch {
		case !want(r.Key):
		case r.Value == nil:
			delete(state, string(r.Key))
		default:
			state[string(r.Key)] = slices.Clone(r.Value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
