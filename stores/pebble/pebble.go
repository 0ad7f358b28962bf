package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/weirstream/weir/core/store"
)

// bloomBits per key make one absent key in a hundred cost a read.
const bloomBits = 10

// maxKeptBatch is how much memory an idle batch keeps for the next Apply.
const maxKeptBatch = 16 << 20

// A Store keeps spaces on local disk. Its methods may be called from several
// goroutines at once.
//
// Generations are known while the store is open, not across processes: the
// directory's lock already keeps other processes out.
type Store struct {
	db      *pebble.DB
	disk    *disk
	lock    *pebble.Lock
	dir     string
	tables  sstable.WriterOptions // of tables that loads make
	batches sync.Pool             // of *pebble.Batch
	keys    sync.Pool             // of *[]byte, for building keys
	options *pebble.Options
	stall   *stall
	damage  *damage

	mu      sync.RWMutex // held for writing by what changes ownership
	fence   store.Fence
	catalog *catalog
	readers map[store.Space]*reader
	closed  bool

	flush    sync.Mutex
	scans    sync.WaitGroup
	watching sync.WaitGroup
	done     chan struct{} // closed by Close
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
	d := &disk{FS: cfg.FS, log: cfg.Logger}
	lock, err := lockDir(cfg)
	if err != nil {
		return nil, err
	}
	s, err := open(cfg, d, lock)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("opening the store in %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func open(cfg Config, d *disk, lock *pebble.Lock) (*Store, error) {
	// What this creates must be on disk before anything is built on it.
	d.sync.Store(true)
	if err := cfg.FS.RemoveAll(cfg.FS.PathJoin(cfg.Dir, loadDir)); err != nil {
		return nil, err
	}
	s := &Store{
		disk: d, lock: lock, dir: cfg.Dir, readers: make(map[store.Space]*reader), done: make(chan struct{}),
		stall: &stall{wake: make(chan struct{}, 1)}, damage: &damage{found: make(chan struct{}, 1)},
	}
	o := s.optionsFor(cfg)
	db, err := pebble.Open(cfg.Dir, o)
	if err != nil {
		if pebble.IsCorruptionError(err) {
			return nil, fmt.Errorf("%w: remove the directory, its tables are rebuilt from changelogs: %w", store.ErrCorrupt, err)
		}
		return nil, err
	}
	c, err := loadCatalog(db)
	if err = errors.Join(err, d.err()); err != nil {
		return nil, errors.Join(mark(err), db.Close())
	}
	d.sync.Store(false)
	s.db, s.options, s.tables, s.catalog = db, o, tableOptions(db, o), c
	s.keys.New = func() any { return new([]byte) }
	s.batches.New = func() any { return db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxKeptBatch)) }
	s.watching.Add(1)
	go s.watch()
	return s, nil
}

func lockDir(cfg Config) (*pebble.Lock, error) {
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of the store: %w", err)
	}
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	if err == nil {
		return lock, nil
	}
	if !heldByOther(err) {
		return nil, fmt.Errorf("making the lock of the store: %w", err)
	}
	return nil, fmt.Errorf("opening the store in %s: %w: stop the other worker, or give this one a directory of its own: %w", cfg.Dir, store.ErrLocked, err)
}

// heldByOther tells a lock that is taken from one that cannot be made:
// fcntl's bare error, or Pebble's for a directory this process has open.
func heldByOther(err error) bool {
	var path *fs.PathError
	var errno syscall.Errno
	return !errors.As(err, &path) && errors.As(err, &errno) || err.Error() == "lock held by current process"
}

func (s *Store) optionsFor(cfg Config) *pebble.Options {
	o := &pebble.Options{
		FS:                          s.disk,
		Lock:                        s.lock,
		Logger:                      logger{s.disk},
		EventListener:               s.listener(),
		FormatMajorVersion:          pebble.FormatColumnarBlocks, // below FormatWALSyncChunks: see doc.go
		CacheSize:                   cfg.MemoryBytes,             // memtables are reserved in it
		MemTableSize:                uint64(cfg.MemTableBytes),
		MemTableStopWritesThreshold: 2,
		L0StopWritesThreshold:       outOfReach,
		MaxOpenFiles:                cfg.MaxOpenFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, cfg.Compactions },
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	return o
}

// mark adds ErrCorrupt to what Pebble calls corruption.
func mark(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return err
}

// Open implements store.Store.
func (s *Store) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, err)
	}
	changed, err := s.fence.Open(sp, gen)
	if err != nil {
		return nil, store.Position{}, err
	}
	if changed {
		s.end(sp, store.ErrFenced)
		id, err := s.catalog.id(s.db, sp)
		if err == nil {
			err = s.disk.err()
		}
		if err != nil {
			s.fence.Release(sp, gen)
			return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, mark(err))
		}
		s.readers[sp] = &reader{store: s, space: sp, id: id}
	}
	r := s.readers[sp]
	r.lost.Store(false) // who has no position begins anew
	pos, err := r.position()
	if err != nil {
		return nil, store.Position{}, err
	}
	return r, pos, nil
}

// usable says why the store takes no calls, or nil.
func (s *Store) usable() error {
	if s.closed {
		return store.ErrClosed
	}
	return s.disk.err()
}

// end makes the present reader of a space fail.
func (s *Store) end(sp store.Space, why error) {
	if r := s.readers[sp]; r != nil {
		r.end(fmt.Errorf("reading %s: %w", sp, why))
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
	return nil
}

// Flush implements store.Store: it syncs the log.
func (s *Store) Flush() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return fmt.Errorf("flushing: %w", err)
	}
	return s.syncLog()
}

func (s *Store) syncLog() error {
	s.flush.Lock()
	defer s.flush.Unlock()
	s.disk.sync.Store(true)
	defer s.disk.sync.Store(false)
	// An empty note in the log: its commit syncs everything before it.
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("flushing: %w", err)
	}
	return s.disk.err()
}

// Close implements store.Store.
func (s *Store) Close() error {
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
	close(s.done)
	s.watching.Wait()
	s.scans.Wait()
	// Pebble syncs the log when it closes it.
	err := s.db.Close()
	return errors.Join(s.disk.err(), err, s.lock.Close())
}
