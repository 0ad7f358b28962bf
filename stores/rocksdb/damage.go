package rocksdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weirstream/weir/core/store"
)

// damagedFile in the directory of a store says that RocksDB gave it up.
const damagedFile = "DAMAGED"

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
		return fmt.Errorf("%w: stop the other worker, or give this one a directory of its own: %w", store.ErrLocked, err)
	}
	return err
}

// stopped marks the error of a write. When a flush or a compaction met damage
// RocksDB takes no more writes, so that a space cannot even be dropped, and
// would meet it again after each start. A note in the directory therefore
// makes the next Open fail with store.ErrCorrupt: then the whole store is to be
// rebuilt.
func (s *Store) stopped(err error) error {
	err = mark(err)
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	note := os.WriteFile(filepath.Join(s.dir, damagedFile), []byte(err.Error()+"\n"), 0o600)
	return errors.Join(fmt.Errorf("the store takes no more writes: restart the worker with the directory %s removed, and its tables are rebuilt from changelogs: %w", s.dir, err), note)
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
