package memory

import (
	"iter"
	"slices"

	"github.com/RaduBerinde/btreemap"

	"github.com/weirstream/weir/core/store"
)

// A reader reads a space on behalf of one owner.
type reader struct {
	space *space
	name  store.Space
	ended error // why it may no longer read, or nil; under the space's lock
}

var _ store.Reader = (*reader)(nil)

// Get implements store.Reader.
func (r *reader) Get(key, dst []byte) ([]byte, bool, error) {
	p := r.space
	p.mu.RLock()
	defer p.mu.RUnlock()
	if r.ended != nil {
		return dst, false, r.ended
	}
	_, v, found := p.entries.Get(key)
	if !found {
		return dst, false, nil
	}
	return append(dst, v...), true, nil
}

// Scan implements store.Reader. It walks a clone of the tree and holds no
// lock while the caller looks at an entry.
func (r *reader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		snapshot, err := r.snapshot()
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		if to != nil && string(from) >= string(to) {
			return
		}
		upper := btreemap.Max[[]byte]()
		if to != nil {
			upper = btreemap.LT(slices.Clone(to))
		}
		for k, v := range snapshot.Ascend(btreemap.GE(from), upper) {
			if err := r.err(); err != nil {
				yield(store.Entry{}, err)
				return
			}
			if !yield(store.Entry{Key: k, Value: v}, nil) {
				return
			}
		}
	}
}

// snapshot takes the write lock: cloning marks the tree as shared.
func (r *reader) snapshot() (*tree, error) {
	r.space.mu.Lock()
	defer r.space.mu.Unlock()
	if r.ended != nil {
		return nil, r.ended
	}
	return r.space.entries.Clone(), nil
}

func (r *reader) err() error {
	r.space.mu.RLock()
	defer r.space.mu.RUnlock()
	return r.ended
}
