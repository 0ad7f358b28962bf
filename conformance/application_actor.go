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

// String says it in messages.
func (m moment) String() string {
	return [moments]string{"before its commit", "after its commit", "before its batch is in the store", "after its batch is in the store"}[m]
}

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

	mu      sync.Mutex
	due     moment
	planned bool // the crash, at the next moment that is due
	dead    bool
	gate    chan struct{} // commits wait here while it is there

	stuck     chan struct{}       // one does
	results   chan runtime.Result // of those that did
	producing chan struct{}       // a producer was made
	assigned  chan struct{}       // it has partitions
}

const lanes = 2

// start starts a worker on the store of a place.
func (a *stage) start(instance string, place StorePlace) *actor {
	a.Helper()
	w := a.enter(instance, place)
	w.run()
	return w
}

// enter makes a worker on the store of a place.
func (a *stage) enter(instance string, place StorePlace) *actor {
	a.Helper()
	w := &actor{a: a, instance: instance, place: place, store: a.open(place), ended: make(chan error, 1), crashed: make(chan struct{})}
	w.stuck, w.results, w.producing = make(chan struct{}, 1), make(chan runtime.Result, 1), make(chan struct{}, 100)
	w.assigned = make(chan struct{}, 1)
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
	w.worker = worker
	return w
}

// run starts it.
func (w *actor) run() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.ended <- w.worker.Run(ctx) }()
	w.a.all = append(w.a.all, w)
	w.a.Cleanup(w.stop)
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

// crashAt plans a crash at the next moment of a kind.
func (w *actor) crashAt(m moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due, w.planned = m, true
}

// crash waits for the planned crash, which input that nobody has handled has
// to bring about, and clears up.
func (w *actor) crash() {
	w.a.Helper()
	select {
	case <-w.crashed:
	case <-w.a.ctx.Done():
		w.a.Logf("what there is:\n%s", w.a.told.scene())
		w.a.Fatalf("the planned crash of %s %v does not come", w.instance, w.due)
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
	crash := w.planned && w.due == m
	w.mu.Unlock()
	if crash {
		w.die()
	}
	return !w.isDead()
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

// Join implements runtime.Transport.
func (t actorTransport) Join(ctx context.Context, cfg runtime.GroupConfig, l runtime.Listener) (runtime.Group, error) {
	return t.Transport.Join(ctx, cfg, actorListener{l.(runtime.BriefedListener), t.w})
}

// actorListener is what the transport sees of the worker.
type actorListener struct {
	runtime.BriefedListener

	w *actor
}

// Assigned implements runtime.Listener.
func (l actorListener) Assigned(session int64, parts []record.TopicPartition) {
	l.BriefedListener.Assigned(session, parts)
	if len(parts) > 0 {
		signal(l.w.assigned, struct{}{})
	}
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
