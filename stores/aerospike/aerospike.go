package aerospike

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	as "github.com/aerospike/aerospike-client-go/v7"

	"github.com/weirstream/weir/core/store"
)

// A Store keeps spaces on Aerospike servers. Its methods may be called from
// several goroutines at once.
//
// Generations are known to all stores with the same namespace and prefix, also
// after all were closed.
type Store struct {
	cfg     Config
	client  *as.Client
	session uint64
	hooks   hooks
	stop    context.Context
	cancel  context.CancelFunc
	wake    chan struct{}
	room    room
	ops     sync.WaitGroup // calls that run
	back    sync.WaitGroup // the collector

	mu      sync.Mutex
	fence   store.Fence
	spaces  map[store.Space]*space
	retired []txnID
	warned  int64 // what keys took when that was said
	closed  bool
}

// Open connects to the servers. It fails when none answers within cfg.Timeout.
func Open(cfg Config) (*Store, error) { return open(cfg, hooks{}) }

func open(cfg Config, h hooks) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := connect(cfg)
	if err != nil {
		return nil, fmt.Errorf("aerospike: connecting to %v (check the hosts, their namespace %q, user and TLS): %w", cfg.Hosts, cfg.Namespace, err)
	}
	s := &Store{cfg: cfg, client: client, session: randomID(), hooks: h, wake: make(chan struct{}, 1), room: newRoom(min(roomBytes, max(cfg.MemoryBytes/4, 1))), spaces: make(map[store.Space]*space)}
	s.stop, s.cancel = context.WithCancel(context.Background())
	s.back.Go(s.collect)
	return s, nil
}

func connect(cfg Config) (*as.Client, error) {
	p := as.NewClientPolicy()
	p.Timeout, p.LoginTimeout = cfg.Timeout, cfg.Timeout
	p.ConnectionQueueSize = cfg.Concurrency
	p.ClusterName, p.User, p.Password, p.TlsConfig = cfg.ClusterName, cfg.User, cfg.Password, cfg.TLS
	hosts, err := as.NewHosts(cfg.Hosts...)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		h.TLSName = cfg.TLSName
	}
	client, err := as.NewClientWithPolicyAndHost(p, hosts...)
	if err != nil {
		return nil, err
	}
	return client, nil
}

func fillRandom(b []byte) { _, _ = rand.Read(b) } // never fails

// Shared reports that the spaces are those of all workers.
func (s *Store) Shared() bool { return true }

// InHeap reports that keys and calls are in the Go heap.
func (s *Store) InHeap() bool { return true }

// begin starts a call that Close waits for; ops.Done ends it.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.ops.Add(1)
	return nil
}

// space returns the state of a space, making it when it is new.
func (s *Store) space(sp store.Space) *space {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.spaces[sp]
	if p == nil {
		p = &space{name: sp, set: setName(s.cfg.Prefix, sp.Table), index: newTree(), scans: make(map[*scan]uint64), seen: make(map[incarnation]bool)}
		s.spaces[sp] = p
	}
	return p
}

// check asks the fence.
func (s *Store) check(sp store.Space, gen store.Generation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fence.Check(sp, gen)
}

// Open implements store.Store. A space that this store has not open is loaded:
// the keys of its entries are read from the server, and checked against what
// was committed.
func (s *Store) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	if err := s.begin(); err != nil {
		return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, err)
	}
	defer s.ops.Done()
	p := s.space(sp)
	p.work.Lock()
	defer p.work.Unlock()
	s.mu.Lock()
	changed, err := s.fence.Open(sp, gen)
	s.mu.Unlock()
	if err != nil {
		return nil, store.Position{}, err
	}
	if changed {
		p.end(store.ErrFenced)
	}
	if err := s.take(p, gen, changed); err != nil {
		if changed && !errors.Is(err, store.ErrCorrupt) {
			s.mu.Lock()
			s.fence.Release(sp, gen)
			s.mu.Unlock()
		}
		return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, err)
	}
	s.kick()
	s.heed()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reader == nil {
		p.reader = &reader{store: s, space: p}
	}
	return p.reader, clonePosition(p.position), nil
}

// take makes a space ready for a generation: what this store has loaded is
// kept, when nobody else wrote the owner record.
func (s *Store) take(p *space, gen store.Generation, changed bool) error {
	if p.isCondition(ready) {
		if !changed {
			return nil
		}
		err := s.writeOwner(p, gen, p.own().id)
		if !errors.Is(err, errLost) {
			return err
		}
	}
	damage := p.damage()
	err := s.acquire(p, gen)
	if err == nil && damage != nil {
		// What a reader met does not show when the keys are loaded.
		return p.spoil(damage)
	}
	return err
}

// Drop implements store.Store: the space begins a new incarnation.
func (s *Store) Drop(sp store.Space, gen store.Generation) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("dropping %s: %w", sp, err)
	}
	defer s.ops.Done()
	p := s.space(sp)
	p.work.Lock()
	defer p.work.Unlock()
	if err := s.check(sp, gen); err != nil {
		return err
	}
	if err := s.regain(p); err != nil && !errors.Is(err, store.ErrCorrupt) {
		return fmt.Errorf("dropping %s: %w", sp, err)
	}
	dead := append([]garbage(nil), p.head.garbage...)
	gone := len(p.layers) - 1 - len(p.head.bases)
	for _, l := range p.layers[gone:] {
		dead = append(dead, garbage{id: l.id, slots: max(l.slots, p.head.now.slots)})
	}
	err := s.renew(p, gen, dead)
	if errors.Is(err, errLost) {
		err = s.blame(p)
	}
	if err != nil {
		p.doubtful()
		return fmt.Errorf("dropping %s: %w", sp, err)
	}
	s.kick()
	return nil
}

// Release implements store.Store. It tells the server, once, that the next
// owner may go on where this one stopped; if that does not arrive, the next
// owner takes the space over.
func (s *Store) Release(sp store.Space, gen store.Generation) error {
	if s.begin() != nil {
		return nil
	}
	defer s.ops.Done()
	p := s.space(sp)
	p.work.Lock()
	defer p.work.Unlock()
	s.mu.Lock()
	released := s.fence.Release(sp, gen)
	s.mu.Unlock()
	if !released {
		return nil
	}
	p.end(store.ErrClosed)
	if w := s.leave(p); w != nil {
		_ = s.attempt([]as.BatchRecordIfc{w})
		p.left(w)
	}
	p.forget()
	return nil
}

// left notes how a release went.
func (p *space) left(w as.BatchRecordIfc) {
	if judge(w.BatchRec().ResultCode) == done {
		p.txn.settle()
	}
	p.txn = nil
}

// leave makes the write that releases a space, or nil when its next owner must
// not go on in this incarnation: a write that is still on its way could reach
// it.
func (s *Store) leave(p *space) as.BatchRecordIfc {
	if !p.isCondition(ready) || len(p.tainted) > 0 {
		return nil
	}
	h := p.nextHead(s.session)
	h.released = true
	w := &swap{key: s.headKey(p.set, p.own().id), gen: p.headGen, data: h.encode()}
	return w.record()
}

// forget gives the memory of a space back.
func (p *space) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.condition, p.index, p.keyBytes, p.more, p.free = unloaded, newTree(), 0, nil, freeList{}
}

// Flush implements store.Store. Aerospike decides when it writes to its
// device; what it loses in a crash is noticed when a space is opened or read,
// and the changelog supplies it.
func (s *Store) Flush() error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("flushing: %w", err)
	}
	s.ops.Done()
	return nil
}

// Close implements store.Store. It releases all spaces in one call.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	spaces := s.spaces
	s.mu.Unlock()
	s.cancel()
	for _, p := range spaces {
		p.end(store.ErrClosed)
	}
	s.ops.Wait()
	s.back.Wait()
	s.leaveAll(spaces)
	s.deleteTxns(1)
	s.client.Close()
	return nil
}

// leaveAll releases spaces in one call, or several when they are many.
func (s *Store) leaveAll(spaces map[store.Space]*space) {
	var writes []as.BatchRecordIfc
	var left []*space
	for _, p := range spaces {
		if w := s.leave(p); w != nil {
			writes, left = append(writes, w), append(left, p)
		}
	}
	for from := 0; from < len(writes); from += s.cfg.BatchRecords {
		to := min(from+s.cfg.BatchRecords, len(writes))
		if err := s.attempt(writes[from:to]); err != nil {
			s.cfg.Logger.Warn("spaces could not be released: their next owners take them over", "spaces", to-from, "error", err)
		}
		for i := from; i < to; i++ {
			left[i].left(writes[i])
		}
	}
}
