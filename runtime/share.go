package runtime

import (
	"context"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
)

// Shares are the fetchers that the restores of a session share. Restores come
// in crowds, most of them read little, and each fetcher has connections of its
// own to all brokers. There are at most as many as there are processors, as a
// fetcher decodes; one is made when all others are in use.
type shares struct {
	mu   sync.Mutex
	list []*sharedFetcher
}

// A sharedFetcher is a Fetcher that some restores share. Its goroutine alone
// uses it, and hands what it reads to the share whose partition that is.
type sharedFetcher struct {
	f     Fetcher
	owner map[record.TopicPartition]*share // the goroutine's
	users int                              // under shares.mu
	commands
}

// restoreWait is how long a broker holds back what a restore asks for. A restore
// reads what is there; the next one shall not wait long behind it.
const restoreWait = 100 * time.Millisecond

// share returns a part in a fetcher, which close gives back.
func (s *session) share() (*share, error) {
	s.shares.mu.Lock()
	defer s.shares.mu.Unlock()
	var sf *sharedFetcher
	for _, other := range s.shares.list {
		if sf == nil || other.users < sf.users {
			sf = other
		}
	}
	if sf == nil || sf.users > 0 && len(s.shares.list) < min(maxRestores, goruntime.GOMAXPROCS(0)) {
		f, err := s.cfg.Transport.Fetcher(FetchConfig{FromLog: true, MaxBytes: s.budget.fetch, Wait: restoreWait})
		if err != nil {
			return nil, err
		}
		sf = &sharedFetcher{f: f, owner: make(map[record.TopicPartition]*share)}
		s.shares.list = append(s.shares.list, sf)
		s.services.Go(func() { sf.run(s.ctx) })
	}
	sf.users++
	return &share{
		sf: sf, parts: make(map[record.TopicPartition]struct{}), ready: make(chan struct{}, 1),
		release: func() {
			s.shares.mu.Lock()
			defer s.shares.mu.Unlock()
			sf.users--
		},
	}, nil
}

func (sf *sharedFetcher) run(ctx context.Context) {
	defer sf.f.Close()
	for ctx.Err() == nil {
		batches := sf.poll(ctx, sf.f)
		for i := range batches {
			if sh := sf.owner[batches[i].TP]; sh != nil {
				sh.put(batches[i])
			}
		}
	}
}

// A share is what one restore reads. It is for one goroutine.
type share struct {
	sf      *sharedFetcher
	release func()
	ready   chan struct{} // there is something to poll

	parts map[record.TopicPartition]struct{} // the goroutine's of sf

	mu     sync.Mutex
	queue  []Batch
	bytes  int
	paused bool // until the next poll
}

// shareBytes is how much a share holds before its partitions pause.
const shareBytes = 2 * restoreBatchBytes

func (sh *share) put(b Batch) {
	sh.mu.Lock()
	sh.queue = append(sh.queue, b)
	sh.bytes += sizeOf(&b)
	pause := !sh.paused && sh.bytes >= shareBytes
	sh.paused = sh.paused || pause
	sh.mu.Unlock()
	select {
	case sh.ready <- struct{}{}:
	default:
	}
	if pause {
		sh.sf.f.Pause(keys(sh.parts))
	}
}

func sizeOf(b *Batch) int {
	n := 0
	for i := range b.Records {
		n += len(b.Records[i].Key) + len(b.Records[i].Value)
	}
	return n
}

// poll waits for batches and returns all there are, or nothing when ctx ends.
func (sh *share) poll(ctx context.Context) []Batch {
	for {
		sh.mu.Lock()
		batches, paused := sh.queue, sh.paused
		sh.queue, sh.bytes, sh.paused = nil, 0, false
		sh.mu.Unlock()
		if paused {
			sh.sf.command(func() { sh.sf.f.Resume(keys(sh.parts)) })
		}
		if len(batches) > 0 {
			return batches
		}
		select {
		case <-sh.ready:
		case <-ctx.Done():
			return nil
		}
	}
}

// set starts reading partitions at the offsets given, or moves there. After it
// returns, poll returns nothing that was fetched for them before, unless ctx ended.
func (sh *share) set(ctx context.Context, at map[record.TopicPartition]int64) {
	sh.sf.await(ctx, nil, func() {
		paused := sh.drop(at)
		for tp := range at {
			sh.sf.owner[tp], sh.parts[tp] = sh, struct{}{}
		}
		sh.sf.f.Set(at)
		if paused {
			sh.sf.f.Resume(keys(sh.parts))
		}
	})
}

// drop forgets what is queued of some partitions, and that the share was paused.
func (sh *share) drop(at map[record.TopicPartition]int64) (paused bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	paused, sh.paused = sh.paused, false
	var keep []Batch
	sh.bytes = 0
	for i := range sh.queue {
		b := &sh.queue[i]
		if _, drop := at[b.TP]; !drop {
			keep = append(keep, *b)
			sh.bytes += sizeOf(b)
		}
	}
	sh.queue = keep
	return paused
}

// remove stops reading partitions. What was read of them may still come.
func (sh *share) remove(parts ...record.TopicPartition) {
	sh.sf.command(func() { sh.unfetch(parts) })
}

func (sh *share) unfetch(parts []record.TopicPartition) {
	for _, tp := range parts {
		if sh.sf.owner[tp] == sh {
			delete(sh.sf.owner, tp)
			sh.sf.f.Remove([]record.TopicPartition{tp})
		}
		delete(sh.parts, tp)
	}
}

// close gives the share back.
func (sh *share) close() {
	sh.sf.command(func() { sh.unfetch(keys(sh.parts)) })
	sh.release()
}
