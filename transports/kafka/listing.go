package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

// Listings ask for the offsets of topics. A worker opens all its tasks at once,
// and brokers are asked for whole topics: questions that come while one is
// under way are gathered, and asked together when it is answered, so that every
// answer is younger than its question.
type listings struct {
	ask func(context.Context, []string) (offsetList, error)

	mu   sync.Mutex
	busy bool
	next *listing // being gathered; nil when nobody asks
}

// A listing is one question for many.
type listing struct {
	topics map[string]struct{}
	done   chan struct{}
	list   offsetList // when done
	err    error
}

// An offsetList has the starts and ends of all partitions of some topics.
type offsetList struct {
	ids map[string]store.LogID
	// unsettled are topics that were made or made anew meanwhile, or that some
	// brokers do not know yet.
	unsettled    map[string]bool
	starts, ends kadm.ListedOffsets
}

// get waits for an answer about some topics that is younger than the call. The
// question itself goes on until life ends, as others may wait for it.
func (l *listings) get(ctx, life context.Context, topics []string) (offsetList, error) {
	l.mu.Lock()
	if l.next == nil {
		l.next = &listing{topics: make(map[string]struct{}), done: make(chan struct{})}
	}
	mine := l.next
	for _, t := range topics {
		mine.topics[t] = struct{}{}
	}
	if !l.busy {
		l.busy = true
		go l.answer(life)
	}
	l.mu.Unlock()
	select {
	case <-mine.done:
		return mine.list, mine.err
	case <-ctx.Done():
		return offsetList{}, context.Cause(ctx)
	}
}

// answer asks until nobody waits.
func (l *listings) answer(life context.Context) {
	for {
		l.mu.Lock()
		q := l.next
		l.next = nil
		l.busy = q != nil
		l.mu.Unlock()
		if q == nil {
			return
		}
		q.list, q.err = l.ask(life, slices.Sorted(maps.Keys(q.topics)))
		close(q.done)
	}
}

// of picks some partitions.
func (o offsetList) of(parts []record.TopicPartition) (map[record.TopicPartition]runtime.LogRange, error) {
	ranges := make(map[record.TopicPartition]runtime.LogRange, len(parts))
	for _, tp := range parts {
		start, ok := o.starts.Lookup(tp.Topic, tp.Partition)
		end, ok2 := o.ends.Lookup(tp.Topic, tp.Partition)
		switch err := errors.Join(start.Err, end.Err); {
		case o.unsettled[tp.Topic]:
			return nil, errRecreatedMeanwhile
		case !ok || !ok2:
			return nil, &permanentError{fmt.Errorf("%v does not exist: %w", tp, kerr.UnknownTopicOrPartition)}
		case err != nil:
			return nil, fmt.Errorf("%v: %w", tp, err)
		}
		ranges[tp] = runtime.LogRange{Start: start.Offset, End: end.Offset, Topic: o.ids[tp.Topic]}
	}
	return ranges, nil
}
