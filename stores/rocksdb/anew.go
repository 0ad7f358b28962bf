package rocksdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/weirstream/weir/core/store"
)

// beginAnew puts the files of a damaged store aside and begins with an empty one.
// Nobody else gets the directory meanwhile. What was open fails with
// store.ErrCorrupt until it is opened again, so that nothing is written behind
// what is gone; but keep, if any, stays open. It waits for reads that are under
// way. It returns what to tell of it.
//
// s.turn is held and s.mu is not: scans that end may read once more.
func (s *Store) beginAnew(keep *reader) (anew, err error) {
	aside := s.cfg.Dir + ".damaged"
	anew = fmt.Errorf("the store is begun anew, what was damaged is in %s: %w", aside, *s.damage.Load())
	if err := s.endAll(anew); err != nil {
		return nil, err
	}
	s.reads.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.e != nil {
		s.e.close()
		s.e = nil
	}
	if err = s.replace(aside, keep); err != nil {
		// Whoever opens the space is to try again.
		return nil, fmt.Errorf("beginning the damaged store in %s anew: %w: %w", s.cfg.Dir, store.ErrUnavailable, err)
	}
	return anew, nil
}

// endAll ends all readers.
func (s *Store) endAll(why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	for sp, r := range s.readers {
		s.fence.Release(sp, r.gen)
		s.lost[sp] = r.gen
		s.end(sp, why)
	}
	return nil
}

// replace opens a new engine. The store's lock is held.
func (s *Store) replace(aside string, keep *reader) error {
	if err := putAside(s.cfg.Dir, aside); err != nil {
		return err
	}
	e, c, err := openEngine(s.cfg)
	if err != nil {
		return err
	}
	s.e, s.catalog = e, c
	s.damage.Store(nil)
	s.failed.Store(nil)
	s.rotten.clear()
	if keep == nil {
		return nil
	}
	if keep.id, err = c.id(e, keep.space); err != nil {
		return s.stopped(s.wrote(err))
	}
	if _, err := s.fence.Open(keep.space, keep.gen); err != nil {
		return err
	}
	delete(s.lost, keep.space)
	s.readers[keep.space] = keep
	keep.ended.Store(nil)
	return nil
}

// putAside moves what is in a directory, but for the lock, to another, whose
// former content goes. The note that the store is damaged goes last, so that one
// that a crash left half moved is known.
func putAside(dir, aside string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(aside), os.Mkdir(aside, 0o750)); err != nil {
		return err
	}
	noted := false
	for _, f := range files {
		switch f.Name() {
		case lockFile:
		case damagedFile:
			noted = true
		default:
			if err := os.Rename(filepath.Join(dir, f.Name()), filepath.Join(aside, f.Name())); err != nil {
				return err
			}
		}
	}
	if noted {
		if err := os.Rename(filepath.Join(dir, damagedFile), filepath.Join(aside, damagedFile)); err != nil {
			return err
		}
	}
	d, err := os.Open(dir) //nolint:gosec // the directory is the user's setting
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
