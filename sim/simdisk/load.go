package simdisk

import (
	"fmt"

	"github.com/weirstream/weir/core/store"
)

var _ store.BulkLoader = (*Store)(nil)

// Load implements store.BulkLoader: what is added is collected in memory and
// becomes one record of the log.
func (s *Store) Load(sp store.Space, gen store.Generation, _ int) (store.Loader, error) {
	if err := s.Drop(sp, gen); err != nil {
		return nil, err
	}
	l := &loader{s: s, space: sp}
	l.part = l.batch.Part(sp, gen)
	return l, nil
}

type loader struct {
	s     *Store
	space store.Space
	batch store.Batch
	part  *store.Part
	ended bool
}

// Add implements store.Loader.
func (l *loader) Add(key, value []byte) error {
	switch {
	case l.ended:
		return l.over()
	case value == nil:
		l.part.Delete(key)
	default:
		l.part.Put(key, value)
	}
	return nil
}

func (l *loader) over() error {
	return fmt.Errorf("loading %s: %w: the load has ended", l.space, store.ErrClosed)
}

// Commit implements store.Loader.
func (l *loader) Commit(p store.Position) error {
	if l.ended {
		return l.over()
	}
	l.ended = true
	l.part.Position = p
	return l.s.Apply(&l.batch)
}

// Abort implements store.Loader.
func (l *loader) Abort() { l.ended = true }
