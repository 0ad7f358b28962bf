package rocksdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/weirstream/weir/core/store"
)

// damagedFile in the directory of a store says that RocksDB gave it up.
const damagedFile = "DAMAGED"

// otherWorker says what to do about a lock.
const otherWorker = "stop the other worker, or give this one a directory of its own"

var errMalformed = errors.New("the catalog has a malformed entry")

// mark adds the sentinels that callers branch on. RocksDB's C interface has
// only texts, which begin with the kind of the error.
func mark(err error) error {
	if err == nil || errors.Is(err, store.ErrCorrupt) {
		return err
	}
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "Corruption") || strings.Contains(text, "checksum mismatch"):
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	case strings.Contains(text, "lock hold by current process") || strings.Contains(text, "While lock file"):
		return fmt.Errorf("%w: %s: %w", store.ErrLocked, otherWorker, err)
	}
	return err
}

// stopped marks the error of a write. When a flush or a compaction met damage
// RocksDB takes no more writes for any space, and would meet it again after each
// start: the whole store is to be begun anew.
func (s *Store) stopped(err error) error {
	if err = mark(err); errors.Is(err, store.ErrCorrupt) {
		return s.stop(err)
	}
	return err
}

// stop has the store begun anew: by the next Open or Drop, or, because of a note
// in the directory, after the end of the process, by what opens the store and gets
// store.ErrCorrupt.
func (s *Store) stop(err error) error {
	err = fmt.Errorf("the store is damaged: its directory %s is put aside when a space is opened again, and its tables are rebuilt from changelogs: %w", s.cfg.Dir, err)
	if !s.damage.CompareAndSwap(nil, &err) {
		return err
	}
	return errors.Join(err, os.WriteFile(filepath.Join(s.cfg.Dir, damagedFile), []byte(err.Error()+"\n"), 0o600))
}

// rotten knows the spaces in which reads met damage, and whether they were dropped
// since. Damage that a Drop does not hide, of an index for example, is the store's.
type rotten struct {
	mu     sync.Mutex
	spaces map[spaceID]bool
}

// met marks the error of a read.
func (s *Store) met(id spaceID, err error) error {
	if err = mark(err); !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	s.rotten.mu.Lock()
	defer s.rotten.mu.Unlock()
	if s.rotten.spaces[id] {
		return s.stop(err)
	}
	if s.rotten.spaces == nil {
		s.rotten.spaces = make(map[spaceID]bool)
	}
	s.rotten.spaces[id] = false
	return err
}

// dropped notes a Drop, and reports whether the space is known to be damaged.
func (r *rotten) dropped(id spaceID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.spaces[id]
	if known {
		r.spaces[id] = true
	}
	return known
}

func (r *rotten) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.spaces)
}

// wasDamaged reports what stopped noted.
func wasDamaged(dir string) error {
	why, err := os.ReadFile(filepath.Join(dir, damagedFile)) //nolint:gosec // the directory is the user's setting
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: remove the directory, its tables are rebuilt from changelogs: %s", store.ErrCorrupt, strings.TrimSpace(string(why)))
}
