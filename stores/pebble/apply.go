package pebble

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/weirstream/weir/core/store"
)

// Apply implements store.Store: one Pebble batch for all parts.
func (s *Store) Apply(b *store.Batch) error {
	s.wait()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	parts := b.Parts()
	for i := range parts {
		if err := s.fence.Check(parts[i].Space, parts[i].Generation); err != nil {
			return err
		}
		if err := s.readers[parts[i].Space].err(); err != nil {
			return fmt.Errorf("applying a batch: %w", err)
		}
	}
	if b.Empty() {
		return nil
	}
	return s.commit(func(pb *pebble.Batch) error {
		for i := range parts {
			if err := s.collect(pb, &parts[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// collect adds a part to the batch. Keys are built in place: no copies but
// the one into the batch.
func (s *Store) collect(pb *pebble.Batch, p *store.Part) error {
	id := s.catalog.ids[p.Space]
	for i := range p.Ops {
		key, value := p.Ops[i].Key, p.Ops[i].Value
		var op *pebble.DeferredBatchOp
		if value == nil {
			op = pb.DeleteDeferred(idLen + len(key))
		} else {
			op = pb.SetDeferred(idLen+len(key), len(value))
			copy(op.Value, value)
		}
		copy(id.appendData(op.Key[:0])[idLen:idLen+len(key)], key)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	if !p.Position.Exists {
		return nil
	}
	return pb.Set(id.appendPosition(nil), store.AppendPosition(nil, p.Position), nil)
}

// commit writes a batch to the log and waits until the operating system has
// it; see doc.go for why that is called Sync.
func (s *Store) commit(fill func(*pebble.Batch) error) error {
	pb, _ := s.batches.Get().(*pebble.Batch)
	if err := fill(pb); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	if err := s.db.Apply(pb, pebble.Sync); err != nil {
		return fmt.Errorf("applying a batch: %w", mark(err))
	}
	if err := s.disk.err(); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	pb.Reset()
	s.batches.Put(pb)
	return nil
}

// Drop implements store.Store: one range tombstone over entries and position.
// Damage that is known is cut out before: reads and compactions would meet it
// under the tombstone.
func (s *Store) Drop(sp store.Space, gen store.Generation) error {
	s.heal()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return fmt.Errorf("dropping %s: %w", sp, err)
	}
	if err := s.fence.Check(sp, gen); err != nil {
		return err
	}
	id := s.catalog.ids[sp]
	err := s.commit(func(pb *pebble.Batch) error { return pb.DeleteRange(id.appendData(nil), id.appendEnd(nil), nil) })
	if err == nil {
		s.readers[sp].lost.Store(false)
	}
	return err
}
