package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	backoffMin = 20 * time.Millisecond
	backoffMax = 2 * time.Second
)

// backoff returns how long to wait before try n (from 1): exponential, with
// up to a fifth of jitter so that workers do not come back in step.
func backoff(n int) time.Duration {
	d := backoffMax
	if n < 8 {
		d = min(backoffMin<<max(n-1, 0), backoffMax)
	}
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}

// wait waits, or returns the error of the context if that ends first.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// retry calls fn until it succeeds, fails in a way that does not pass, or the
// context ends; then the last failure is part of the error.
func retry(ctx context.Context, fn func() error) error {
	return retryWhen(ctx, passing, fn)
}

// retry is retry that ends when the transport is closed.
func (t *Transport) retry(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.life, func() { cancel(errClosed) })()
	err := retry(ctx, func() error { return fn(ctx) })
	if err != nil && t.life.Err() != nil {
		return errors.Join(errClosed, err)
	}
	return err
}

func retryWhen(ctx context.Context, passes func(error) bool, fn func() error) error {
	for n := 1; ; n++ {
		err := fn()
		if err == nil || !passes(err) {
			return err
		}
		if werr := wait(ctx, backoff(n)); werr != nil {
			if errors.Is(err, werr) {
				return err
			}
			return errors.Join(werr, err)
		}
	}
}

// passing tells failures that time may heal from those that it will not.
// What a broker answered is judged by the protocol's own retriable flag; what
// happened on the way to it always passes, wrong certificates aside.
func passing(err error) bool {
	var permanent *permanentError
	if errors.As(err, &permanent) {
		return false
	}
	var ke *kerr.Error
	if errors.As(err, &ke) {
		return ke.Retriable || errors.Is(ke, kerr.ConcurrentTransactions) || errors.Is(ke, kerr.UnstableOffsetCommit)
	}
	var cert *tls.CertificateVerificationError
	return !errors.Is(err, kgo.ErrClientClosed) && !errors.Is(err, context.Canceled) && !errors.As(err, &cert)
}

// A permanentError is one that trying again does not heal.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func contextEnded(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
