package memory

import (
	"iter"

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
	it := p.items[string(key)]
	if it == nil {
		return dst, false, nil
	}
	return append(dst, it.value...), true, nil
}

// Scan implements store.Reader. It walks a clone of the tree, which costs
// nothing until one of the two is written, and holds no lock while the caller
// looks at an entry.
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
		upper := btreemap.Max[string]()
		if to != nil {
			upper = btreemap.LT(string(to))
		}
		var key []byte
		for k, v := range snapshot.Ascend(btreemap.GE(string(from)), upper) {
			if err := r.err(); err != nil {
				yield(store.Entry{}, err)
				return
			}
			key = append(key[:0], k...)
			if !yield(store.Entry{Key: key, Value: v}, nil) {
				return
			}
		}
	}
}

func (r *reader) snapshot() (*tree, error) {
	r.space.mu.Lock()
	defer r.space.mu.Unlock()
	if r.ended != nil {
		return nil, r.ended
	}
	return r.space.inOrder(), nil
}

func (r *reader) err() error {
	r.space.mu.RLock()
	defer r.space.mu.RUnlock()
	return r.ended
}
