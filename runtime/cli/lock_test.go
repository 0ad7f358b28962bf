package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/core/store"
)

// lockedFor is a directory that another process gives up at the nth attempt.
func lockedFor(n int) (open func() error, tries *int) {
	tries = new(int)
	return func() error {
		if *tries++; *tries < n {
			return fmt.Errorf("%w: by a test", store.ErrLocked)
		}
		return nil
	}, tries
}

func lockEnv() (*Env, *bytes.Buffer) {
	var log bytes.Buffer
	e := &Env{Log: slog.New(slog.NewTextHandler(&log, nil))}
	e.Settings.LockTimeout = 55 * time.Second
	e.Settings.StateDir = "state"
	return e, &log
}

// TestLockedStateIsWaitedFor: the directory of a worker that is being replaced
// is locked until that has stopped. (In Faust it is number 41.)
func TestLockedStateIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, log := lockEnv()
		open, tries := lockedFor(3)
		begun := time.Now()
		if err := e.whenUnlocked(t.Context(), open); err != nil || *tries != 3 {
			t.Fatalf("%v after %d tries", err, *tries)
		}
		if waited := time.Since(begun); waited != 300*time.Millisecond {
			t.Errorf("waited %v, want 100 ms and 200 ms", waited)
		}
		for _, says := range []string{"in use by another process", "at_most=55s", "is free", "waited=300ms"} {
			if strings.Count(log.String(), says) != 1 {
				t.Errorf("%q is not said once:\n%s", says, log)
			}
		}
	})
}

func TestLockedStateIsNotWaitedForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _ := lockEnv()
		open, _ := lockedFor(1 << 30)
		begun := time.Now()
		err := e.whenUnlocked(t.Context(), open)
		if waited := time.Since(begun); !errors.Is(err, store.ErrLocked) || waited != 55*time.Second {
			t.Errorf("%v after %v, want a locked store after 55 s", err, waited)
		}
	})
}

// A worker that is stopped while it waits stops, and what is not a lock is not
// waited for.
func TestLockedStateAndOtherEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, log := lockEnv()
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		open, _ := lockedFor(1 << 30)
		if err := e.whenUnlocked(ctx, open); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("stopped: %v after %v", err, time.Since(begun))
		}
		log.Reset()
		broken := errors.New("no such device")
		if err := e.whenUnlocked(t.Context(), func() error { return broken }); !errors.Is(err, broken) || log.Len() > 0 {
			t.Errorf("another failure: %v\n%s", err, log)
		}
	})
}
