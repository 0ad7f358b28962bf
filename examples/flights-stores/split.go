package main

import (
	"errors"

	"github.com/weirstream/weir/core/store"
)

// globalTable is the table of which each worker has a copy of its own.
const globalTable = "airports"

// A split keeps the global table in memory, where it is read again at each
// start: on servers that all workers share, they would take it from each other.
type split struct {
	store.Store
	local store.Store
}

func (s *split) of(sp store.Space) store.Store {
	if sp.Table == globalTable {
		return s.local
	}
	return s.Store
}

func (s *split) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	return s.of(sp).Open(sp, gen)
}

// Apply implements store.Store: the batches of the global table are its own.
func (s *split) Apply(b *store.Batch) error {
	parts := b.Parts()
	for i := range parts {
		if parts[i].Space.Table == globalTable {
			if len(parts) > 1 {
				return errors.New("a batch over the global table and others cannot be atomic here")
			}
			return s.local.Apply(b)
		}
	}
	return s.Store.Apply(b)
}

func (s *split) Drop(sp store.Space, gen store.Generation) error { return s.of(sp).Drop(sp, gen) }

func (s *split) Release(sp store.Space, gen store.Generation) error {
	return s.of(sp).Release(sp, gen)
}

func (s *split) Close() error { return errors.Join(s.Store.Close(), s.local.Close()) }
