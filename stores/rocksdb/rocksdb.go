package rocksdb

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/linxGnu/grocksdb"

	"github.com/weirstream/weir/core/store"
)

// A Store keeps spaces in RocksDB. Its methods may be called from several
// goroutines at once.
//
// Generations are known while the store is open, not across processes: the
// directory's lock already keeps other processes out.
type Store struct {
	cfg  Config
	lock *dirLock

	turn sync.Mutex // held, before mu, by what may end the engine

	mu      sync.RWMutex // held for writing by what changes ownership
	e       *engine      // nil while a damaged store could not be begun anew
	fence   store.Fence
	catalog *catalog
	readers map[store.Space]*reader
	lost    map[store.Space]store.Generation // open when the store was begun anew, and not since
	failed  atomic.Pointer[error]            // the last write, or sync, did
	damage  atomic.Pointer[error]            // why the store has to be begun anew
	rotten  rotten
	closed  bool
	batches sync.Pool // of *batch
	reads   sync.WaitGroup
}

var _ store.Lister = (*Store)(nil)

// Open opens the store in cfg.Dir, or makes one. It fails with
// store.ErrLocked when another process has it, and with store.ErrCorrupt when
// it cannot be read as a whole: then remove the directory, and changelogs
// rebuild the tables.
func Open(cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the directory of the store: %w", err)
	}
	s, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", cfg.Dir, mark(err))
	}
	return s, nil
}

func open(cfg Config) (*Store, error) {
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	e, c, err := openEngine(cfg)
	if err != nil {
		lock.release()
		return nil, err
	}
	s := &Store{
		cfg: cfg, lock: lock, e: e, catalog: c,
		readers: make(map[store.Space]*reader), lost: make(map[store.Space]store.Generation),
	}
	s.batches.New = func() any { return new(batch) }
	return s, nil
}

func openEngine(cfg Config) (*engine, *catalog, error) {
	e := newEngine(cfg)
	var c *catalog
	var err error
	if e.db, err = grocksdb.OpenDb(e.opts, cfg.Dir); err == nil {
		err = errors.Join(wasDamaged(cfg.Dir), clearLoads(cfg.Dir))
	}
	if err == nil {
		c, err = loadCatalog(e)
	}
	if err != nil {
		e.close()
		return nil, nil, err
	}
	return e, c, nil
}

// Open implements store.Store. Where damage has stopped RocksDB it first begins
// the store anew, and then says so with store.ErrCorrupt.
func (s *Store) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.damage.Load() == nil {
		r, pos, err := s.open(sp, gen)
		if s.damage.Load() == nil {
			return r, pos, err
		}
	}
	anew, err := s.beginAnew(nil)
	if err == nil {
		_, _, err = s.open(sp, gen)
	}
	if err == nil {
		err = fmt.Errorf("opening %s: %w", sp, anew)
	}
	return nil, store.Position{}, err
}

func (s *Store) open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, store.ErrClosed)
	}
	changed, err := s.fence.Open(sp, gen)
	if err != nil {
		return nil, store.Position{}, err
	}
	if changed {
		s.end(sp, store.ErrFenced)
		id, err := s.catalog.id(s.e, sp)
		if err != nil {
			s.fence.Release(sp, gen)
			return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, s.stopped(s.wrote(err)))
		}
		s.readers[sp] = &reader{store: s, space: sp, gen: gen, id: id}
		delete(s.lost, sp)
	}
	r := s.readers[sp]
	pos, err := r.position()
	if err != nil {
		return nil, store.Position{}, err
	}
	return r, pos, nil
}

// check says whether gen may write the space now. The store's lock is held.
func (s *Store) check(sp store.Space, gen store.Generation) error {
	if s.closed {
		return store.ErrClosed
	}
	err := s.fence.Check(sp, gen)
	if lost, ok := s.lost[sp]; ok && lost == gen && err != nil {
		return fmt.Errorf("writing %s: %w: the store was damaged and is begun anew: open the space again", sp, store.ErrCorrupt)
	}
	return err
}

// end makes the present reader of a space fail.
func (s *Store) end(sp store.Space, why error) {
	if r := s.readers[sp]; r != nil {
		err := fmt.Errorf("reading %s: %w", sp, why)
		r.ended.Store(&err)
		delete(s.readers, sp)
	}
}

// Spaces implements store.Lister.
func (s *Store) Spaces() []store.Space {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.catalog.ids))
}

// Release implements store.Store.
func (s *Store) Release(sp store.Space, gen store.Generation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.fence.Release(sp, gen) {
		s.end(sp, store.ErrClosed)
	}
	if lost, ok := s.lost[sp]; ok && lost == gen {
		delete(s.lost, sp)
	}
	return nil
}

// Apply implements store.Store: one write for all parts.
func (s *Store) Apply(b *store.Batch) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("applying a batch: %w", store.ErrClosed)
	}
	parts := b.Parts()
	for i := range parts {
		if err := s.check(parts[i].Space, parts[i].Generation); err != nil {
			return err
		}
	}
	if b.Empty() {
		return nil
	}
	w, _ := s.batches.Get().(*batch)
	w.reset()
	for i := range parts {
		w.part(s.catalog.ids[parts[i].Space], &parts[i])
	}
	err := s.wrote(w.write(s.e))
	s.batches.Put(w)
	if err != nil {
		return fmt.Errorf("applying a batch: %w", s.stopped(err))
	}
	return nil
}

// Drop implements store.Store: one range tombstone over entries and position.
// Tables that hold nothing else are removed. Where damage is in the way it begins
// the store anew.
func (s *Store) Drop(sp store.Space, gen store.Generation) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	r, err := s.drop(sp, gen)
	if err == nil || r == nil || s.damage.Load() == nil {
		return err
	}
	_, err = s.beginAnew(r)
	return err
}

// drop returns the reader of the space if it may be dropped.
func (s *Store) drop(sp store.Space, gen store.Generation) (*reader, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.check(sp, gen); err != nil {
		return nil, fmt.Errorf("dropping %s: %w", sp, err)
	}
	r := s.readers[sp]
	begin, end := r.id.appendData(nil), r.id.appendEnd(nil)
	wb := grocksdb.NewWriteBatch()
	defer wb.Destroy()
	wb.DeleteRange(begin, end)
	if err := s.wrote(s.e.db.Write(s.e.write, wb)); err != nil {
		return r, fmt.Errorf("dropping %s: %w", sp, s.stopped(err))
	}
	if s.rotten.dropped(r.id) {
		_, err := r.position() // can be read now, or never
		return r, err
	}
	return r, s.giveBack(r.id)
}

// giveBack removes the tables that hold nothing but what was dropped; of the
// others compactions take care, when the tombstone reaches them. The tombstone
// must be on the disk before: after a loss of power there must be no position
// whose entries are gone.
func (s *Store) giveBack(id spaceID) error {
	if err := s.sync(); err != nil {
		return err
	}
	// Nothing depends on it but the room on the disk. The limit is inclusive.
	_ = s.e.db.DeleteFileInRange(grocksdb.Range{Start: id.appendData(nil), Limit: id.appendPosition(nil)})
	return nil
}

// Flush implements store.Store: it syncs the log.
func (s *Store) Flush() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("flushing: %w", store.ErrClosed)
	}
	if s.e == nil {
		return nil // nothing is applied
	}
	if err := s.sync(); err != nil {
		return fmt.Errorf("flushing: %w", mark(err))
	}
	return nil
}

// wrote notes whether the log took the last write. RocksDB may come back by
// itself, with a new log.
func (s *Store) wrote(err error) error {
	if err != nil {
		s.failed.Store(&err)
	} else if s.failed.Load() != nil {
		s.failed.Store(nil)
	}
	return err
}

// sync syncs the log. A log that could not be written is left alone: RocksDB
// built with assertions, as Debian's is, aborts the process otherwise.
func (s *Store) sync() error {
	if failed := s.failed.Load(); failed != nil {
		return fmt.Errorf("the log could not be written (what was applied before is kept; check the disk and restart the worker): %w", *failed)
	}
	err := s.e.db.FlushWAL(true)
	if err != nil {
		s.failed.Store(&err)
	}
	return err
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for sp := range s.readers {
		s.end(sp, store.ErrClosed)
	}
	s.mu.Unlock()
	s.reads.Wait()
	defer s.lock.release()
	if s.e == nil {
		return nil
	}
	err := s.sync()
	s.e.close()
	if err != nil {
		return fmt.Errorf("closing the store: %w", mark(err))
	}
	return nil
}
