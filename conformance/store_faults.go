package conformance

import (
	"bytes"
	"errors"
	"iter"
	"slices"

	"github.com/weirstream/weir/core/store"
)

// storeFaults are the bugs that StoreFaults plants.
func storeFaults() []*storeFault {
	return slices.Concat(writeFaults(), dropFaults(), serverFaults(), readFaults(), loadFaults())
}

func writeFaults() []*storeFault {
	return []*storeFault{
		{name: "batch without position", by: []string{"write/position", "crash/power-loss", "random/model"}, apply: func(s *faultyStore, b *store.Batch) error {
			return s.Store.Apply(partsOf(b, func(from store.Part, to *store.Part) { addOps(from, to, anyOp) }))
		}},
		{name: "failed write swallowed", by: []string{"crash/full-disk", "crash/failing-disk"}, apply: func(s *faultyStore, b *store.Batch) error {
			_ = s.Store.Apply(b)
			return nil
		}},
		{name: "lost tombstone", by: []string{"write/order-in-part", "read/get", "random/model"}, apply: func(s *faultyStore, b *store.Batch) error {
			return s.Store.Apply(partsOf(b, func(from store.Part, to *store.Part) {
				to.Position = from.Position
				addOps(from, to, func(op store.Op) bool { return op.Value != nil })
			}))
		}},
		{name: "empty value as delete", by: []string{"read/get", "read/get-large"}, apply: func(s *faultyStore, b *store.Batch) error {
			return s.Store.Apply(partsOf(b, func(from store.Part, to *store.Part) {
				to.Position = from.Position
				for _, op := range from.Ops {
					if len(op.Value) == 0 {
						to.Delete(op.Key)
					} else {
						to.Put(op.Key, op.Value)
					}
				}
			}))
		}},
		{name: "zombie write accepted", by: []string{"owner/fencing", "owner/fenced-batch-is-atomic", "random/model"}, apply: func(s *faultyStore, b *store.Batch) error {
			return s.Store.Apply(partsOf(b, func(from store.Part, to *store.Part) {
				to.Generation, to.Position = s.newestOf(from.Space, from.Generation), from.Position
				addOps(from, to, anyOp)
			}))
		}},
		{name: "position ahead of data", by: []string{"crash/power-loss"}, apply: func(s *faultyStore, b *store.Batch) error {
			first := partsOf(b, func(from store.Part, to *store.Part) { to.Position = from.Position })
			if err := s.Store.Apply(first); err != nil {
				return err
			}
			return s.Store.Apply(b)
		}},
		{name: "spaces of a batch apart", by: []string{"owner/fenced-batch-is-atomic", "write/not-open", "crash/power-loss"}, apply: func(s *faultyStore, b *store.Batch) error {
			for _, p := range b.Parts() {
				var one store.Batch
				to := one.Part(p.Space, p.Generation)
				to.Position = p.Position
				addOps(p, to, anyOp)
				if err := s.Store.Apply(&one); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "restore from the wrong offset", by: []string{"write/position"}, open: func(s *faultyStore, sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
			r, pos, err := s.openRight(sp, gen)
			if pos.Exists {
				pos.Changelog++
			}
			return r, pos, err
		}},
		{name: "position without its log", by: []string{"write/position", "crash/power-loss"}, apply: func(s *faultyStore, b *store.Batch) error {
			return s.Store.Apply(partsOf(b, func(from store.Part, to *store.Part) {
				to.Position, to.Position.Log = from.Position, store.LogID{}
				addOps(from, to, anyOp)
			}))
		}},
		{
			name: "a delete comes back after reopening", by: []string{"life/reopen", "random/model", "server/deletes-back"}, apply: (*faultyStore).applyNoting,
			open: func(s *faultyStore, sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
				first := s.first(sp)
				r, pos, err := s.openRight(sp, gen)
				if err != nil || !first {
					return r, pos, err
				}
				var b store.Batch
				s.place.space(sp, func(f *faultySpace) {
					for key, v := range f.deleted {
						b.Part(sp, gen).Put([]byte(key), v)
					}
				})
				return r, pos, s.Store.Apply(&b)
			},
		},
		{name: "use after close", by: []string{"life/close", "life/reopen"}, close: func(*faultyStore) error { return nil }},
	}
}

func dropFaults() []*storeFault {
	return []*storeFault{
		{name: "drop keeps the position", by: []string{"write/drop", "random/model"}, drop: func(s *faultyStore, sp store.Space, gen store.Generation) error {
			_, pos, err := s.Store.Open(sp, gen)
			if err != nil {
				return err
			}
			if err := s.Store.Drop(sp, gen); err != nil {
				return err
			}
			var b store.Batch
			b.Part(sp, gen).Position = pos
			return s.Store.Apply(&b)
		}},
		{name: "drop keeps the data", by: []string{"write/drop", "random/model"}, drop: func(s *faultyStore, sp store.Space, gen store.Generation) error {
			r, _, err := s.Store.Open(sp, gen)
			if err != nil {
				return err
			}
			var b store.Batch
			for e, err := range r.Scan(nil, nil) {
				if err != nil {
					return err
				}
				b.Part(sp, gen).Put(e.Key, e.Value)
			}
			if err := s.Store.Drop(sp, gen); err != nil {
				return err
			}
			return s.Store.Apply(&b)
		}},
	}
}

// serverFaults are mistakes with a server that fails.
func serverFaults() []*storeFault {
	return []*storeFault{
		{name: "unknown taken for done", by: []string{"server/answers-lost"}, apply: func(s *faultyStore, b *store.Batch) error {
			if err := s.Store.Apply(b); !errors.Is(err, store.ErrUnavailable) {
				return err
			}
			return nil
		}},
		{
			name: "unknown taken for failed", by: []string{"server/answers-lost"}, apply: (*faultyStore).applyNoting,
			open: openAt(func(_, noted store.Position) store.Position { return noted }),
		},
		{
			name: "position outlives the data", by: []string{"server/writes-lost", "server/deletes-back"}, apply: (*faultyStore).applyNoting,
			open: openAt(func(pos, noted store.Position) store.Position {
				if noted.Changelog > pos.Changelog {
					return noted
				}
				return pos
			}),
		},
	}
}

// openAt opens spaces at another position than theirs, made of that and the
// last one that was applied.
func openAt(change func(pos, noted store.Position) store.Position) func(*faultyStore, store.Space, store.Generation) (store.Reader, store.Position, error) {
	return func(s *faultyStore, sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
		r, pos, err := s.openRight(sp, gen)
		s.place.space(sp, func(f *faultySpace) { pos = change(pos, clonePosition(f.position)) })
		return r, pos, err
	}
}

func readFaults() []*storeFault {
	scanning := func(scan func(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error]) func(store.Reader) store.Reader {
		return func(r store.Reader) store.Reader { return faultyReader{Reader: r, scan: scan} }
	}
	return []*storeFault{
		{name: "wrong order of 0x00 and 0xff", by: []string{"read/scan-order", "read/scan-ranges", "random/model"}, reader: scanning(scanSigned)},
		{name: "scan sees later writes", by: []string{"read/scan-moment"}, reader: scanning(scanLive)},
		{name: "upper bound included", by: []string{"read/scan-ranges", "random/model"}, reader: scanning(func(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error] {
			if to != nil {
				to = append(bytes.Clone(to), 0)
			}
			return r.Scan(from, to)
		})},
		{name: "Get replaces dst", by: []string{"read/get", "read/get-owns"}, reader: func(r store.Reader) store.Reader {
			return faultyReader{Reader: r, get: func(r store.Reader, key, dst []byte) ([]byte, bool, error) {
				v, found, err := r.Get(key, nil)
				if !found {
					return dst, found, err
				}
				return v, found, err
			}}
		}},
	}
}

func loadFaults() []*storeFault {
	return []*storeFault{
		{name: "load shows before its end", by: []string{"load/contents"}, loader: func(s *faultyStore, sp store.Space, gen store.Generation, l store.Loader) store.Loader {
			return &faultyLoader{Loader: l, add: func(l store.Loader, key, value []byte) error {
				var b store.Batch
				if value == nil {
					b.Part(sp, gen).Delete(key)
				} else {
					b.Part(sp, gen).Put(key, value)
				}
				if err := s.Store.Apply(&b); err != nil {
					return nil //nolint:nilerr // Commit says it
				}
				return l.Add(key, value)
			}}
		}},
		{name: "load with its position ahead", by: []string{"load/contents"}, loader: func(s *faultyStore, sp store.Space, gen store.Generation, l store.Loader) store.Loader {
			var pos store.Batch
			return &faultyLoader{Loader: l, add: func(l store.Loader, key, value []byte) error {
				if pos.Empty() {
					pos.Part(sp, s.newestOf(sp, gen)).Position = loadedPosition(1000)
					_ = s.Store.Apply(&pos)
				}
				return l.Add(key, value)
			}}
		}},
		{name: "load without position", by: []string{"load/contents"}, loader: func(_ *faultyStore, _ store.Space, _ store.Generation, l store.Loader) store.Loader {
			return &faultyLoader{Loader: l, commit: func(l store.Loader, _ store.Position) error { return l.Commit(store.Position{}) }}
		}},
		{name: "load keeps what was deleted", by: []string{"load/contents"}, loader: func(_ *faultyStore, _ store.Space, _ store.Generation, l store.Loader) store.Loader {
			return &faultyLoader{Loader: l, add: func(l store.Loader, key, value []byte) error {
				if value == nil {
					return nil
				}
				return l.Add(key, value)
			}}
		}},
		{name: "load that lost its space commits", by: []string{"load/owner"}, loader: func(s *faultyStore, sp store.Space, gen store.Generation, l store.Loader) store.Loader {
			return &faultyLoader{Loader: l, commit: func(l store.Loader, p store.Position) error {
				_ = l.Commit(p)
				var b store.Batch
				b.Part(sp, s.newestOf(sp, gen)).Position = p
				return s.Store.Apply(&b)
			}}
		}},
	}
}
