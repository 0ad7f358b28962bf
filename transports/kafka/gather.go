package kafka

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/weirstream/weir/core/record"
)

// A gatherer asks the brokers about partitions, for many at once. A worker opens
// all its tasks at the same time: questions that come while one is under way are
// gathered, and asked together when it is answered, so that every answer is
// younger than its question.
type gatherer[A any] struct {
	ask func(context.Context, []record.TopicPartition) (A, error)

	mu   sync.Mutex
	busy bool
	next *question[A] // being gathered; nil when nobody asks
}

// A question is one for many.
type question[A any] struct {
	parts  map[record.TopicPartition]struct{}
	done   chan struct{}
	answer A // when done
	err    error
}

// get waits for an answer about some partitions that is younger than the call.
// The question itself goes on until life ends, as others may wait for it.
func (g *gatherer[A]) get(ctx, life context.Context, parts []record.TopicPartition) (A, error) {
	g.mu.Lock()
	if g.next == nil {
		g.next = &question[A]{parts: make(map[record.TopicPartition]struct{}), done: make(chan struct{})}
	}
	mine := g.next
	for _, tp := range parts {
		mine.parts[tp] = struct{}{}
	}
	if !g.busy {
		g.busy = true
		go g.answer(life)
	}
	g.mu.Unlock()
	select {
	case <-mine.done:
		return mine.answer, mine.err
	case <-ctx.Done():
		var none A
		return none, context.Cause(ctx)
	}
}

// answer asks until nobody waits.
func (g *gatherer[A]) answer(life context.Context) {
	for {
		g.mu.Lock()
		q := g.next
		g.next = nil
		g.busy = q != nil
		g.mu.Unlock()
		if q == nil {
			return
		}
		q.answer, q.err = g.ask(life, slices.SortedFunc(maps.Keys(q.parts), record.TopicPartition.Compare))
		close(q.done)
	}
}
