package cli

import (
	"errors"
	"maps"
	"slices"

	"github.com/weirstream/weir/core/store"
)

// A routed store keeps each table in the kind of store that was chosen for it.
// A batch is atomic within each kind only. That is enough: every space has a
// position of its own, and what a crash between two kinds left behind is read
// back from the changelog, space by space.
type routed struct {
	def    string
	tables map[string]string // table to kind
	stores map[string]store.Store
}

// route combines stores by kind. It returns the store itself when there is
// only one, so that nothing that it can do is hidden.
func route(def string, tables map[string]string, stores map[string]store.Store) store.Store {
	if len(stores) == 1 {
		return stores[def]
	}
	r := &routed{def: def, tables: tables, stores: stores}
	for _, s := range stores {
		if _, ok := s.(store.BulkLoader); !ok {
			return r
		}
	}
	return &routedLoader{r}
}

func (r *routed) kind(table string) string {
	if kind, ok := r.tables[table]; ok {
		return kind
	}
	return r.def
}

func (r *routed) of(sp store.Space) store.Store { return r.stores[r.kind(sp.Table)] }

// kinds are in a fixed order.
func (r *routed) kinds() []string { return slices.Sorted(maps.Keys(r.stores)) }

// Open implements store.Store.
func (r *routed) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	return r.of(sp).Open(sp, gen)
}

// Apply implements store.Store.
func (r *routed) Apply(b *store.Batch) error {
	split := make(map[string]*store.Batch)
	for _, p := range b.Parts() {
		kind := r.kind(p.Space.Table)
		if split[kind] == nil {
			split[kind] = new(store.Batch)
		}
		q := split[kind].Part(p.Space, p.Generation)
		q.Ops, q.Position = p.Ops, p.Position
	}
	var errs []error
	for _, kind := range r.kinds() {
		switch part := split[kind]; {
		case part == nil:
		case len(split) == 1:
			return r.stores[kind].Apply(b)
		default:
			errs = append(errs, r.stores[kind].Apply(part))
		}
	}
	return errors.Join(errs...)
}

// Drop implements store.Store.
func (r *routed) Drop(sp store.Space, gen store.Generation) error { return r.of(sp).Drop(sp, gen) }

// Release implements store.Store.
func (r *routed) Release(sp store.Space, gen store.Generation) error {
	return r.of(sp).Release(sp, gen)
}

// Flush implements store.Store.
func (r *routed) Flush() error { return r.each(store.Store.Flush) }

// Close implements store.Store.
func (r *routed) Close() error { return r.each(store.Store.Close) }

func (r *routed) each(f func(store.Store) error) error {
	var errs []error
	for _, kind := range r.kinds() {
		errs = append(errs, f(r.stores[kind]))
	}
	return errors.Join(errs...)
}

// Shared reports whether some of the spaces are those of all workers.
func (r *routed) Shared() bool {
	return slices.ContainsFunc(r.kinds(), func(kind string) bool { return store.Shared(r.stores[kind]) })
}

// A routedLoader is a routed store of stores that all load in bulk.
type routedLoader struct{ *routed }

// Load implements store.BulkLoader.
func (r *routedLoader) Load(sp store.Space, gen store.Generation, memory int) (store.Loader, error) {
	return r.of(sp).(store.BulkLoader).Load(sp, gen, memory)
}

// Metrics implements store.Meter, with the kind in front of each name.
func (r *routed) Metrics() []store.Metric {
	var all []store.Metric
	for _, kind := range r.kinds() {
		if m, ok := r.stores[kind].(store.Meter); ok {
			for _, n := range m.Metrics() {
				n.Name = kind + "_" + n.Name
				all = append(all, n)
			}
		}
	}
	return all
}
