package rocksdb

import (
	"bytes"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/core/store"
)

// A reader reads a space on behalf of one owner.
type reader struct {
	store *Store
	space store.Space
	gen   store.Generation
	id    spaceID // changes when the store is begun anew in a Drop of the space
	ended atomic.Pointer[error]
}

var _ store.MultiReader = (*reader)(nil)

// begin says why the reader may not read, or keeps the store open, and the number
// of the space as it is, until the read is done.
func (r *reader) begin() error {
	r.store.mu.RLock()
	defer r.store.mu.RUnlock()
	if p := r.ended.Load(); p != nil {
		return *p
	}
	r.store.reads.Add(1)
	return nil
}

// keys are buffers for building keys.
var keys = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // free memory, not state

// Get implements store.Reader.
func (r *reader) Get(key, dst []byte) ([]byte, bool, error) {
	if err := r.begin(); err != nil {
		return dst, false, err
	}
	defer r.store.reads.Done()
	buf, _ := keys.Get().(*[]byte)
	*buf = append(r.id.appendData((*buf)[:0]), key...)
	dst, found, err := r.get(*buf, dst)
	keys.Put(buf)
	return dst, found, err
}

func (r *reader) get(key, dst []byte) ([]byte, bool, error) {
	v, err := r.store.e.db.GetPinned(r.store.e.read, key)
	if err != nil {
		return dst, false, fmt.Errorf("reading %s: %w", r.space, r.store.met(r.id, err))
	}
	defer v.Destroy()
	if !v.Exists() {
		return dst, false, nil
	}
	return append(dst, v.Data()...), true, nil
}

// position reads the position of the space. The store's lock is held.
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

// GetMulti implements store.MultiReader: one call of RocksDB, which looks
// keys of one block up together.
func (r *reader) GetMulti(ks [][]byte, got func(i int, value []byte, found bool)) error {
	if err := r.begin(); err != nil {
		return err
	}
	defer r.store.reads.Done()
	full := make([][]byte, len(ks))
	for i, k := range ks {
		full[i] = append(r.id.appendData(make([]byte, 0, idLen+len(k))), k...)
	}
	values, err := r.store.e.db.MultiGet(r.store.e.read, full...)
	if err != nil {
		return fmt.Errorf("reading %s: %w", r.space, r.store.met(r.id, err))
	}
	defer values.Destroy()
	for i, v := range values {
		got(i, v.Data(), v.Exists())
	}
	return nil
}

// Scan implements store.Reader. A RocksDB iterator sees the moment at which
// it was made. Its bounds are checked here and not by RocksDB, which would
// keep a pointer into Go's memory.
func (r *reader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		if to != nil && bytes.Compare(from, to) >= 0 {
			if p := r.ended.Load(); p != nil {
				yield(store.Entry{}, *p)
			}
			return
		}
		if err := r.begin(); err != nil {
			yield(store.Entry{}, err)
			return
		}
		defer r.store.reads.Done()
		it := r.store.e.db.NewIterator(r.store.e.scan)
		defer it.Close()
		end := r.id.appendPosition(nil)
		if to != nil {
			end = append(r.id.appendData(nil), to...)
		}
		for it.Seek(append(r.id.appendData(nil), from...)); it.Valid(); it.Next() {
			if p := r.ended.Load(); p != nil {
				yield(store.Entry{}, *p)
				return
			}
			// Both point into RocksDB's block; nothing is to be freed.
			k, v := it.Key().Data(), []byte{}
			if bytes.Compare(k, end) >= 0 {
				return
			}
			if value := it.Value(); value != nil && value.Size() > 0 {
				v = value.Data()
			}
			if !yield(store.Entry{Key: k[idLen:], Value: v}, nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(store.Entry{}, fmt.Errorf("scanning %s: %w", r.space, r.store.met(r.id, err)))
		}
	}
}
