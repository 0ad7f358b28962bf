//go:build unix

package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/weirstream/weir/core/store"
)

// lockDir keeps a second worker out of a state directory, whatever store it
// uses. The system drops the lock when the process ends, however it ends.
func lockDir(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the directory is the user's setting
	if err != nil {
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { _ = f.Close() }, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: state directory %s; give each worker its own with --state-dir", store.ErrLocked, dir)
	}
	return nil, fmt.Errorf("locking the state directory %s: %w", dir, err)
}
