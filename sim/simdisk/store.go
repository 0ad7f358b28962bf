package simdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
)

const (
	logName     = "log"
	rewriteName = "log.new"
	// rewriteBytes is when a log is first written anew.
	rewriteBytes = 1 << 20
)

// A Store is a store.Store on a Disk.
type Store struct {
	disk  *Disk
	epoch int

	mu    sync.Mutex // held by what writes
	fence store.Fence
	mem   *memory.Store
	// known are the spaces that have anything, in order of appearance.
	known   []store.Space
	open    map[store.Space]store.Generation
	corrupt map[store.Space]bool // damaged and not yet dropped
	damaged bool                 // the log was: all spaces are, until dropped
	size    int                  // of the log
	synced  int                  // how much of it certainly survives
	rewrite int                  // size at which the log is written anew
	broken  error                // a sync failed: nobody knows what is on the disk
	closed  bool
	scratch []byte
}

var _ store.Lister = (*Store)(nil)

// Open opens the store of a disk and recovers what its log holds. It fails
// with store.ErrLocked while another process has it.
func Open(d *Disk) (*Store, error) {
	epoch, err := d.lock()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrLocked, err)
	}
	s := &Store{disk: d, epoch: epoch, open: make(map[store.Space]store.Generation), corrupt: make(map[store.Space]bool), rewrite: rewriteBytes}
	if err := s.recover(); err != nil {
		d.unlock(epoch)
		return nil, fmt.Errorf("simdisk: opening the store: %w", err)
	}
	return s, nil
}

// recoveryGeneration owns the spaces while a log is replayed.
const recoveryGeneration = 1

// recover replays the log.
func (s *Store) recover() error {
	log, err := s.disk.read(s.epoch, logName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	payloads, end, damaged := split(log)
	mem := memory.New()
	for _, p := range payloads {
		parts, err := decodeParts(p)
		if err != nil {
			damaged = true
			break
		}
		if err := s.replay(mem, parts); err != nil {
			return err
		}
	}
	if damaged {
		// Which spaces the lost records were about is not known, nor how
		// to go on behind them: the log begins anew, and what it held is
		// only remembered as damaged.
		s.damaged = true
		mem, end, s.known = memory.New(), 0, nil
	}
	if end < len(log) {
		if err := s.disk.truncate(s.epoch, logName, end); err != nil {
			return err
		}
	}
	if damaged {
		if err := s.remember(); err != nil {
			return err
		}
		end = s.size
	}
	s.mem, s.size = mem.Snapshot(), end
	return nil
}

// damagedSpace marks, in a log that began anew, that the one before was
// damaged: spaces that were not dropped since are still corrupt.
var damagedSpace = store.Space{Table: "\x00damaged"}

func (s *Store) remember() error {
	frame := appendFrame(nil, appendPart(nil, damagedSpace, false, store.Position{}, nil), 0)
	if err := s.disk.append(s.epoch, logName, frame); err != nil {
		return err
	}
	s.size = len(frame)
	return s.disk.sync(s.epoch, logName)
}

func (s *Store) replay(mem *memory.Store, parts []part) error {
	var b store.Batch
	for _, p := range parts {
		if p.space == damagedSpace {
			s.damaged = true
			continue
		}
		if _, _, err := mem.Open(p.space, recoveryGeneration); err != nil {
			return err
		}
		s.note(p.space)
		if p.drop {
			s.corrupt[p.space] = false
			if err := mem.Drop(p.space, recoveryGeneration); err != nil {
				return err
			}
		}
		out := b.Part(p.space, recoveryGeneration)
		for _, op := range p.ops {
			if op.Value == nil {
				out.Delete(op.Key)
			} else {
				out.Put(op.Key, op.Value)
			}
		}
		out.Position = p.pos
	}
	return mem.Apply(&b)
}

func (s *Store) note(sp store.Space) {
	for _, k := range s.known {
		if k == sp {
			return
		}
	}
	s.known = append(s.known, sp)
}

// isCorrupt reports whether a space must be dropped before use.
func (s *Store) isCorrupt(sp store.Space) bool {
	bad, known := s.corrupt[sp]
	return bad || s.damaged && !known
}

// Open implements store.Store.
func (s *Store) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, store.ErrClosed)
	}
	if _, err := s.fence.Open(sp, gen); err != nil {
		return nil, store.Position{}, err
	}
	r, pos, err := s.mem.Open(sp, gen)
	if err != nil {
		return nil, store.Position{}, err
	}
	s.open[sp] = gen
	if s.isCorrupt(sp) {
		return nil, store.Position{}, fmt.Errorf("opening %s: %w: its log is damaged", sp, store.ErrCorrupt)
	}
	return r, pos, nil
}

// Position is what the store says of a space that is open, for who looks on
// beside the owner.
func (s *Store) Position(sp store.Space) (pos store.Position, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gen, ok := s.open[sp]
	if !ok || s.closed || s.isCorrupt(sp) {
		return store.Position{}, false
	}
	_, pos, err := s.mem.Open(sp, gen)
	return pos, err == nil
}

// Apply implements store.Store: one record of the log, then memory.
func (s *Store) Apply(b *store.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable("applying a batch"); err != nil {
		return err
	}
	payload := s.scratch[:0]
	for i := range b.Parts() {
		p := &b.Parts()[i]
		if err := s.fence.Check(p.Space, p.Generation); err != nil {
			return err
		}
		if s.isCorrupt(p.Space) {
			return fmt.Errorf("writing %s: %w: drop it first", p.Space, store.ErrCorrupt)
		}
		payload = appendPart(payload, p.Space, false, p.Position, p.Ops)
	}
	s.scratch = payload
	if len(payload) == 0 {
		return nil
	}
	if err := s.log(payload); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	for i := range b.Parts() {
		s.note(b.Parts()[i].Space)
	}
	return s.mem.Apply(b)
}

func (s *Store) usable(doing string) error {
	switch {
	case s.closed:
		return fmt.Errorf("%s: %w", doing, store.ErrClosed)
	case s.broken != nil:
		return fmt.Errorf("%s: the disk failed before, restart to recover: %w", doing, s.broken)
	}
	return nil
}

// log appends one record; when that fails the log is as before.
func (s *Store) log(payload []byte) error {
	frame := appendFrame(nil, payload, s.synced)
	if err := s.disk.append(s.epoch, logName, frame); err != nil {
		if cut := s.disk.truncate(s.epoch, logName, s.size); cut != nil {
			s.broken = cut
		}
		return err
	}
	s.size += len(frame)
	if s.size > s.rewrite {
		return s.shrink()
	}
	return nil
}

// shrink writes the log anew, once it is much larger than what it holds. The
// record at hand is not in memory yet, so it goes along.
func (s *Store) shrink() error {
	log, err := s.disk.read(s.epoch, logName)
	if err != nil {
		return err
	}
	payloads, end, damaged := split(log)
	if damaged || end != len(log) {
		return nil // found at the next start
	}
	mem := memory.New()
	for _, p := range payloads {
		parts, err := decodeParts(p)
		if err != nil {
			return nil
		}
		if err := s.replay(mem, parts); err != nil {
			return err
		}
	}
	var out []byte
	if s.damaged {
		out = appendFrame(out, appendPart(nil, damagedSpace, false, store.Position{}, nil), 0)
	}
	for _, sp := range s.known {
		r, pos, err := mem.Open(sp, recoveryGeneration)
		if err != nil {
			return err
		}
		var ops []store.Op
		for e, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			ops = append(ops, store.Op{Key: append([]byte{}, e.Key...), Value: append([]byte{}, e.Value...)})
		}
		_, dropped := s.corrupt[sp]
		out = appendFrame(out, appendPart(nil, sp, dropped, pos, ops), 0)
	}
	if err := s.replace(out); err != nil {
		// The old log is whole: go on with it, and try again later.
		s.rewrite = 2 * s.size
		return nil
	}
	s.size, s.synced, s.rewrite = len(out), len(out), max(rewriteBytes, 3*len(out))
	return nil
}

func (s *Store) replace(log []byte) error {
	if err := s.disk.truncate(s.epoch, rewriteName, 0); err != nil {
		return err
	}
	if err := s.disk.append(s.epoch, rewriteName, log); err != nil {
		_ = s.disk.truncate(s.epoch, rewriteName, 0)
		return err
	}
	if err := s.disk.sync(s.epoch, rewriteName); err != nil {
		return err
	}
	return s.disk.rename(s.epoch, rewriteName, logName)
}

// Drop implements store.Store.
func (s *Store) Drop(sp store.Space, gen store.Generation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable("dropping " + sp.String()); err != nil {
		return err
	}
	if err := s.fence.Check(sp, gen); err != nil {
		return err
	}
	if err := s.log(appendPart(nil, sp, true, store.Position{}, nil)); err != nil {
		return fmt.Errorf("dropping %s: %w", sp, err)
	}
	s.note(sp)
	s.corrupt[sp] = false
	return s.mem.Drop(sp, gen)
}

// Spaces implements store.Lister.
func (s *Store) Spaces() []store.Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known)
}

// Release implements store.Store.
func (s *Store) Release(sp store.Space, gen store.Generation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.fence.Release(sp, gen) {
		return nil
	}
	delete(s.open, sp)
	return s.mem.Release(sp, gen)
}

// Flush implements store.Store. After a failed sync nobody knows what is on
// the disk, so nothing is written any more until the store is opened anew.
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable("flushing"); err != nil {
		return err
	}
	return s.flush()
}

func (s *Store) flush() error {
	if err := s.disk.sync(s.epoch, logName); err != nil {
		s.broken = err
		return fmt.Errorf("flushing: %w", err)
	}
	if s.synced == s.size {
		return nil
	}
	s.synced = s.size
	// An empty frame notes how far the log was synced, so that damage is
	// told from loss even when nothing more is written.
	if err := s.log(nil); err != nil {
		return fmt.Errorf("flushing: %w", err)
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if s.broken == nil {
		err = s.flush()
	}
	s.disk.unlock(s.epoch)
	return errors.Join(err, s.mem.Close())
}
