package rocksdb

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockFile in the directory of a store is locked for as long as the store is open.
// RocksDB's own lock is free while the store is begun anew.
const lockFile = "OWNER"

// A dirLock is a lock on a directory. It ends with the process.
type dirLock struct{ f *os.File }

// lockDir fails with store.ErrLocked when somebody else has the directory.
func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the directory is the user's setting
	if err != nil {
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	if err := flock(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	return &dirLock{f}, nil
}

// release unlocks before it closes: a child process that is being started has the
// file, too, for a moment, and closing alone would leave the lock with it.
func (l *dirLock) release() {
	funlock(l.f)
	_ = l.f.Close()
}
