package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weirstream/weir/core/store"
)

// A state directory that is in use is tried again after a wait that doubles
// between these.
const (
	lockWaitMin = 100 * time.Millisecond
	lockWaitMax = 5 * time.Second
)

// whenUnlocked opens something that another process may still have locked: one
// that is being replaced holds its state until it has stopped, or until whoever
// watches over it has killed it.
func (e *Env) whenUnlocked(ctx context.Context, open func() error) error {
	limit := e.Settings.LockTimeout
	waited := time.Duration(0)
	for wait := lockWaitMin; ; wait = min(2*wait, lockWaitMax) {
		err := open()
		switch {
		case !errors.Is(err, store.ErrLocked):
			if waited > 0 && err == nil {
				e.Log.Info("the state directory is free", "state_dir", e.stateDir(), "waited", waited)
			}
			return err
		case waited >= limit:
			return fmt.Errorf("after waiting for %v: %w", waited, err)
		case waited == 0:
			e.Log.Warn("the state directory is in use by another process; waiting for it to end", "state_dir", e.stateDir(), "at_most", limit, "error", err)
		}
		wait = min(wait, limit-waited)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
			waited += wait
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
