//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package rocksdb

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/weirstream/weir/core/store"
)

func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s: %w", store.ErrLocked, otherWorker, err)
	}
	return err
}

func funlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
