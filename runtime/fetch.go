package runtime

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/worker"
)

// A fetchLoop owns a lane's Fetcher: commands of the lane and polling happen
// on one goroutine, so that what is polled belongs to the session that was
// set last.
type fetchLoop struct {
	f        Fetcher
	post     func(context.Context, worker.Event) bool
	sessions map[record.TopicPartition]int64
	commands
}

// commands are what a goroutine that polls is to do between two polls.
type commands struct {
	mu   sync.Mutex
	list []func()
	wake context.CancelFunc // ends the poll that is under way
}

func newFetchLoop(f Fetcher, post func(context.Context, worker.Event) bool) *fetchLoop {
	return &fetchLoop{f: f, post: post, sessions: make(map[record.TopicPartition]int64)}
}

// command queues f for the loop and interrupts its poll.
func (l *commands) command(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, f)
	if l.wake != nil {
		l.wake()
	}
}

func (l *fetchLoop) set(session int64, at map[record.TopicPartition]int64) {
	at = maps.Clone(at)
	l.command(func() {
		for tp := range at {
			l.sessions[tp] = session
		}
		l.f.Set(at)
	})
}

func (l *fetchLoop) remove(parts []record.TopicPartition) {
	l.command(func() {
		for _, tp := range parts {
			delete(l.sessions, tp)
		}
		l.f.Remove(parts)
	})
}

func (l *fetchLoop) pause(parts []record.TopicPartition) {
	l.command(func() { l.f.Pause(parts) })
}

func (l *fetchLoop) resume(parts []record.TopicPartition) {
	l.command(func() { l.f.Resume(parts) })
}

// next runs the queued commands and returns the context of the next poll.
func (l *commands) next(ctx context.Context) (context.Context, context.CancelFunc) {
	for {
		l.mu.Lock()
		if len(l.list) == 0 {
			poll, cancel := context.WithCancel(ctx)
			l.wake = cancel
			l.mu.Unlock()
			return poll, cancel
		}
		list := l.list
		l.list = nil
		l.mu.Unlock()
		for _, f := range list {
			f()
		}
	}
}

// maxPoll bounds the records of one poll, so that a batch is soon handed on.
const maxPoll = 10000

// poll runs the queued commands, then polls until there is something, another
// command comes, or ctx ends.
func (l *commands) poll(ctx context.Context, f Fetcher) []Batch {
	poll, cancel := l.next(ctx)
	defer cancel()
	return f.Poll(poll, maxPoll)
}

// await has the goroutine do something, and waits until it did, has ended or ctx
// ends.
func (l *commands) await(ctx context.Context, ended <-chan struct{}, f func()) {
	done := make(chan struct{})
	l.command(func() {
		defer close(done)
		f()
	})
	select {
	case <-done:
	case <-ended:
	case <-ctx.Done():
	}
}

// run polls until ctx ends. The lane's mailbox is bounded, so a lane that is
// behind stops its fetching here.
func (l *fetchLoop) run(ctx context.Context) {
	defer l.f.Close()
	for ctx.Err() == nil {
		batches := l.poll(ctx, l.f)
		for i := range batches {
			b := &batches[i]
			session, ok := l.sessions[b.TP]
			if !ok {
				continue
			}
			if !l.post(ctx, fetched(b, session)) {
				return
			}
		}
	}
}

func fetched(b *Batch, session int64) worker.Event {
	switch {
	case errors.Is(b.Err, ErrOffsetOutOfRange):
		return worker.FetchFailed{TP: b.TP, Session: session}
	case b.Err != nil:
		return worker.FetchFailed{TP: b.TP, Session: session, Err: b.Err}
	}
	return worker.Fetched{TP: b.TP, Session: session, Records: b.Records, Next: b.Next}
}
