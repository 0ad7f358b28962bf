package conformance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

// A moment is when a worker may crash.
type moment uint8

const (
	beforeCommit moment = iota // a round is about to be sent
	afterCommit                // it was committed, and the worker does not know
	beforeApply                // it was committed, and its batch is not in the store
	afterApply                 // the batch is in the store, and nothing after it was done
	moments
)

var errCrashed = errors.New("conformance: the worker has crashed")

// An actor is a worker that can crash: from one moment on nothing that it
// does reaches its transport or its store any more, as if its process were
// gone.
type actor struct {
	a        *stage
	instance string
	place    StorePlace
	store    store.Store
	tr       runtime.Transport
	worker   *runtime.Worker
	cancel   context.CancelFunc
	ended    chan error
	crashed  chan struct{} // closed by the crash

	mu   sync.Mutex
	due  moment
	left int // moments of that kind until the crash; 0: none is planned
	dead bool
	gate chan struct{} // commits wait here while it is there

	stuck     chan struct{}       // one does
	results   chan runtime.Result // of those that did
	producing chan struct{}       // a producer was made
}

const lanes = 2

// start starts a worker on the store of a place.
func (a *stage) start(instance string, place StorePlace) *actor {
	a.Helper()
	w := &actor{a: a, instance: instance, place: place, store: a.open(place), ended: make(chan error, 1), crashed: make(chan struct{})}
	w.stuck, w.results, w.producing = make(chan struct{}, 1), make(chan runtime.Result, 1), make(chan struct{}, 100)
	var err error
	w.tr, err = a.wire.place.Connect()
	a.wire.ok(err)
	top, err := a.run.Case.Build(a.wire.name).Build()
	a.wire.ok(err)
	worker, err := runtime.New(runtime.Config{
		Topology: top, Transport: actorTransport{w.tr, w}, Store: actorStore{w.store, w},
		Instance: a.wire.name(instance), Guarantee: a.run.Guarantee, Lanes: lanes, Logger: a.f.Logger.With("instance", instance),
		CommitInterval: 5 * time.Millisecond, CommitTimeout: 10 * time.Second, ShutdownTimeout: 500 * time.Millisecond,
		Session: 6 * time.Second, Heartbeat: 100 * time.Millisecond, Rebalance: 20 * time.Second, RevokeBudget: time.Second, MemoryBytes: 32 << 20,
	})
	a.wire.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.worker = worker
	go func() { w.ended <- worker.Run(ctx) }()
	a.all = append(a.all, w)
	a.Cleanup(w.stop)
	return w
}

// stop ends the worker in good order, and closes what it had. It may be
// called again.
func (w *actor) stop() {
	w.cancel()
	if w.ended == nil {
		return
	}
	w.open()
	err := <-w.ended
	w.ended = nil
	if err != nil && !w.isDead() {
		w.a.Errorf("worker %s ended: %v", w.instance, err)
	}
	if err := w.tr.Close(); err != nil {
		w.a.Errorf("closing the transport of %s: %v", w.instance, err)
	}
	if err := w.store.Close(); err != nil {
		w.a.Errorf("closing the store of %s: %v", w.instance, err)
	}
}

// crashAt plans a crash at the nth moment of a kind from now on.
func (w *actor) crashAt(m moment, nth int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due, w.left = m, nth
}

// crash waits for the planned crash, or brings one about where nothing
// happens any more, and clears up.
func (w *actor) crash() {
	quiet := time.NewTimer(2 * time.Second)
	defer quiet.Stop()
	select {
	case <-w.crashed:
	case <-quiet.C:
		w.a.Logf("the moment planned for the crash of %s did not come; it is over in a quiet one", w.instance)
		w.die()
	}
	w.stop()
}

func (w *actor) die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dead {
		w.dead = true
		close(w.crashed)
		w.cancel()
	}
}

func (w *actor) isDead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// at is called at each moment; it reports whether the worker lives on.
func (w *actor) at(m moment) bool {
	w.mu.Lock()
	if !w.dead && w.left > 0 && w.due == m {
		w.left--
		if w.left == 0 {
			w.mu.Unlock()
			w.die()
			return false
		}
	}
	defer w.mu.Unlock()
	return !w.dead
}

// hang makes commits wait until open is called, as in a process that stands
// still.
func (w *actor) hang() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate = make(chan struct{})
}

func (w *actor) open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gate != nil {
		close(w.gate)
		w.gate = nil
	}
}

// pass waits at the gate; it reports whether there was one.
func (w *actor) pass() bool {
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	if gate == nil {
		return false
	}
	signal(w.stuck, struct{}{})
	<-gate
	return true
}

// signal gives a value to who may wait for it.
func signal[T any](to chan<- T, v T) {
	select {
	case to <- v:
	default:
	}
}

// actorTransport is what the worker sees of its transport.
type actorTransport struct {
	runtime.Transport

	w *actor
}

// Producer implements runtime.Transport.
func (t actorTransport) Producer(ctx context.Context, id string) (runtime.Producer, error) {
	if t.w.isDead() {
		return nil, errCrashed
	}
	p, err := t.Transport.Producer(ctx, id)
	if err == nil {
		signal(t.w.producing, struct{}{})
	}
	return actorProducer{p, t.w}, err
}

type actorProducer struct {
	runtime.Producer

	w *actor
}

// Commit implements runtime.Producer.
func (p actorProducer) Commit(ctx context.Context, c runtime.Commit) runtime.Result {
	if len(c.Records)+len(c.Offsets) > 0 && p.w.pass() {
		res := p.Producer.Commit(ctx, c)
		signal(p.w.results, res)
		return res
	}
	if len(c.Records)+len(c.Offsets) == 0 {
		return p.Producer.Commit(ctx, c)
	}
	if !p.w.at(beforeCommit) {
		return runtime.Result{Outcome: runtime.Unknown, Err: errCrashed}
	}
	res := p.Producer.Commit(ctx, c)
	if res.Outcome == runtime.Committed && !p.w.at(afterCommit) {
		return runtime.Result{Outcome: runtime.Unknown, Err: errCrashed}
	}
	return res
}

// Recover implements runtime.Producer.
func (p actorProducer) Recover(ctx context.Context) error {
	if p.w.isDead() {
		return errCrashed
	}
	return p.Producer.Recover(ctx)
}

// DeleteRecords implements runtime.Transport.
func (t actorTransport) DeleteRecords(ctx context.Context, before map[record.TopicPartition]int64) error {
	if t.w.isDead() {
		return errCrashed
	}
	return t.Transport.DeleteRecords(ctx, before)
}

// actorStore is what the worker sees of its store.
type actorStore struct {
	store.Store

	w *actor
}

// Apply implements store.Store.
func (s actorStore) Apply(b *store.Batch) error {
	if !s.w.at(beforeApply) {
		return errCrashed
	}
	err := s.Store.Apply(b)
	if err == nil && !s.w.at(afterApply) {
		return errCrashed
	}
	return err
}

// Drop implements store.Store.
func (s actorStore) Drop(sp store.Space, gen store.Generation) error {
	if s.w.isDead() {
		return errCrashed
	}
	return s.Store.Drop(sp, gen)
}
