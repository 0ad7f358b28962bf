package pebble

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/weirstream/weir/core/store"
)

// A reader reads a space on behalf of one owner.
type reader struct {
	store *Store
	space store.Space
	id    spaceID

	// mu is held for reading while Pebble is being asked, so that Close does
	// not pull it away.
	mu    sync.RWMutex
	ended atomic.Pointer[error]
	lost  atomic.Bool // the space was damaged and cut out, which its owner has not answered to
}

var _ store.Reader = (*reader)(nil)

func (r *reader) end(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended.Store(&why)
}

// err says why the reader may not read, or nil.
func (r *reader) err() error {
	if p := r.ended.Load(); p != nil {
		return *p
	}
	if r.lost.Load() {
		return fmt.Errorf("%w: %s was damaged and is gone: drop and rebuild it", store.ErrCorrupt, r.space)
	}
	return r.store.disk.err()
}

// lose makes everything fail until the owner drops the space or opens it.
func (r *reader) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost.Store(true)
}

// Get implements store.Reader.
func (r *reader) Get(key, dst []byte) ([]byte, bool, error) {
	buf, _ := r.store.keys.Get().(*[]byte)
	*buf = append(r.id.appendData((*buf)[:0]), key...)
	dst, found, err := r.get(*buf, dst)
	r.store.keys.Put(buf)
	return dst, found, err
}

func (r *reader) get(key, dst []byte) ([]byte, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if err := r.err(); err != nil {
		return dst, false, err
	}
	v, closer, err := r.store.db.Get(key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return dst, false, nil
		}
		return dst, false, fmt.Errorf("reading %s: %w", r.space, mark(err))
	}
	dst = append(dst, v...)
	if err := closer.Close(); err != nil {
		return dst, true, fmt.Errorf("reading %s: %w", r.space, mark(err))
	}
	return dst, true, nil
}

// position reads the position of the space.
func (r *reader) position() (store.Position, error) {
	v, found, err := r.get(r.id.appendPosition(nil), nil)
	if err != nil || !found {
		return store.Position{}, err
	}
	pos, err := store.DecodePosition(v)
	if err != nil {
		return pos, fmt.Errorf("opening %s: %w", r.space, err)
	}
	return pos, nil
}

// Scan implements store.Reader. A Pebble iterator sees the moment at which it
// was made.
func (r *reader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		it, err := r.iterator(from, to)
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		if it == nil {
			return
		}
		defer r.store.scans.Done()
		defer func() { _ = it.Close() }()
		for ok := it.First(); ok; ok = it.Next() {
			v, err := it.ValueAndErr()
			if err = errors.Join(r.err(), err); err != nil {
				yield(store.Entry{}, mark(err))
				return
			}
			if !yield(store.Entry{Key: it.Key()[idLen:], Value: v}, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(store.Entry{}, fmt.Errorf("scanning %s: %w", r.space, mark(err)))
		}
	}
}

// iterator returns an iterator that Close waits for, or nil when the range is
// empty by its bounds.
func (r *reader) iterator(from, to []byte) (*pebble.Iterator, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if err := r.err(); err != nil {
		return nil, err
	}
	o := pebble.IterOptions{LowerBound: append(r.id.appendData(nil), from...), UpperBound: r.id.appendPosition(nil)}
	if to != nil {
		if string(from) >= string(to) {
			return nil, nil
		}
		o.UpperBound = append(r.id.appendData(nil), to...)
	}
	it, err := r.store.db.NewIter(&o)
	if err != nil {
		return nil, fmt.Errorf("scanning %s: %w", r.space, mark(err))
	}
	r.store.scans.Add(1)
	return it, nil
}
