package weir

import (
	"fmt"
	"iter"

	"github.com/weirstream/weir/core/topology"
)

// A Table is a keyed table that survives crashes and moves: partitioned like
// the streams of the agents that use it, kept in a store on the worker, and
// in the compacted topic <app>-<name>-changelog. An agent sees the partition
// at hand, with its own writes.
//
// Agents name the tables they use with Uses. Entries are in the byte order of
// their encoded keys, which for strings and for all numbers is the usual one.
type Table[K, V any] struct{ base tableBase[K, V] }

// NewTable declares a table.
func NewTable[K, V any](app *App, name string, opts ...TableOption) *Table[K, V] {
	return &Table[K, V]{newTable[K, V](app, topology.Table{Name: name}, opts)}
}

func (t *Table[K, V]) tableRef() *tableDecl {
	if t == nil {
		return nil
	}
	return t.base.decl
}

// Name returns the table's name.
func (t *Table[K, V]) Name() string { return t.base.decl.spec.Name }

// Get returns the value of a key, or the default when it is absent; the
// default is not stored by that.
func (t *Table[K, V]) Get(ctx Context, key K) (V, error) {
	v, found, err := t.Lookup(ctx, key)
	return t.base.orDefault(v, found), err
}

// Lookup returns the value of a key and whether it is there.
func (t *Table[K, V]) Lookup(ctx Context, key K) (V, bool, error) {
	e := ctx.engine()
	k, err := t.base.key().bytes(e, key)
	if err != nil {
		return *new(V), false, err
	}
	return t.base.load(e, k)
}

// Set writes a value.
func (t *Table[K, V]) Set(ctx Context, key K, value V) error {
	e := ctx.engine()
	k, err := t.base.key().bytes(e, key)
	if err != nil {
		return err
	}
	return t.base.store(e, k, value)
}

// Update replaces a value, or the default when it is absent, by what fn makes
// of it.
func (t *Table[K, V]) Update(ctx Context, key K, fn func(V) V) error {
	e := ctx.engine()
	k, err := t.base.key().bytes(e, key)
	if err != nil {
		return err
	}
	return t.base.update(e, k, fn)
}

// Delete removes a key; removing an absent one is fine.
func (t *Table[K, V]) Delete(ctx Context, key K) error {
	e := ctx.engine()
	k, err := t.base.key().bytes(e, key)
	if err != nil {
		return err
	}
	return t.base.remove(e, k)
}

// Range yields the entries with from <= key < to of the partition at hand, in
// key order. An error ends it and is yielded last. The table must not be
// written while it is ranged over.
//
//	for entry, err := range table.Range(ctx, "a", "b") {
//		if err != nil {
//			return err
//		}
//		…
//	}
func (t *Table[K, V]) Range(ctx Context, from, to K) iter.Seq2[Entry[K, V], error] {
	return t.base.between(ctx, from, to)
}

// All yields every entry of the partition at hand, in key order, like Range.
func (t *Table[K, V]) All(ctx Context) iter.Seq2[Entry[K, V], error] {
	return t.base.scan(ctx, nil, nil, 0)
}

// An Entry is one key and value of a table.
type Entry[K, V any] struct {
	Key   K
	Value V
}

// A tableDecl is a table without its types.
type tableDecl struct {
	app          *App
	spec         topology.Table
	keys, values any
	initial      any // func() V
	onClose      any // func(Context, Window, K, V) error
	info         TableInfo
}

func (t *tableDecl) owner() *App { return t.app }

func (t *tableDecl) where() string {
	if t.spec.Global() {
		return fmt.Sprintf("global table %q", t.spec.Name)
	}
	return fmt.Sprintf("table %q", t.spec.Name)
}

// onlyWindowed reports an option that this table cannot have.
func (t *tableDecl) onlyWindowed(option string) {
	if t.spec.Window == nil {
		t.app.problem(t.where(), option+" is an option of windowed tables", "declare it with NewWindowedTable, or drop the option")
	}
}

// A tableBase is what all kinds of tables share.
type tableBase[K, V any] struct {
	decl    *tableDecl
	keys    Codec[K]
	values  Codec[V]
	initial func() V
}

func newTable[K, V any](app *App, spec topology.Table, opts []TableOption) tableBase[K, V] {
	d := &tableDecl{spec: spec}
	d.app = orDetached(app, d.where())
	if spec.Window != nil {
		d.spec.Policy = d.app.policy
	}
	for _, o := range opts {
		o.applyTable(d)
	}
	b := tableBase[K, V]{decl: d}
	b.keys = codecOf[K](d.app, d.where(), "key", d.keys)
	b.values = codecOf[V](d.app, d.where(), "value", d.values)
	d.spec.KeyType, d.spec.ValueType = b.keys.Name(), b.values.Name()
	if d.initial != nil {
		b.initial = initialOf[V](d)
	}
	d.info = tableInfo(b)
	d.app.tables = append(d.app.tables, d)
	return b
}

func (b *tableBase[K, V]) key() encoder[K] { return encoder[K]{b.keys, b.decl} }

func (b *tableBase[K, V]) orDefault(v V, found bool) V {
	if !found && b.initial != nil {
		return b.initial()
	}
	return v
}

// load reads the value under a storage key.
func (b *tableBase[K, V]) load(e *engine, key []byte) (v V, found bool, err error) {
	buf, found, err := e.core().Get(&b.decl.spec, key, e.val[:0])
	e.val = buf
	if err != nil || !found {
		return v, false, err
	}
	if v, err = b.values.Decode(buf); err != nil {
		return v, false, b.corrupt("value", err)
	}
	return v, true, nil
}

// store writes a value under a storage key.
func (b *tableBase[K, V]) store(e *engine, key []byte, v V) error {
	c, err := e.writer()
	if err != nil {
		return err
	}
	buf, err := b.values.Append(e.val[:0], v)
	if err != nil {
		return encodeError(b.decl.where(), "value", err)
	}
	e.val = buf
	return c.Put(&b.decl.spec, key, present(buf))
}

func (b *tableBase[K, V]) update(e *engine, key []byte, fn func(V) V) error {
	v, found, err := b.load(e, key)
	if err != nil {
		return err
	}
	// fn may use tables itself; the key in the scratch is not theirs.
	scratch := e.key
	e.key = nil
	v = fn(b.orDefault(v, found))
	e.key = scratch
	return b.store(e, key, v)
}

func (b *tableBase[K, V]) remove(e *engine, key []byte) error {
	c, err := e.writer()
	if err != nil {
		return err
	}
	return c.Delete(&b.decl.spec, key)
}

// between scans the entries of a plain table from one key to another.
func (b *tableBase[K, V]) between(ctx Context, from, to K) iter.Seq2[Entry[K, V], error] {
	lo, err := encode(b.keys, from)
	if err == nil {
		var hi []byte
		if hi, err = encode(b.keys, to); err == nil {
			return b.scan(ctx, lo, hi, 0)
		}
	}
	return func(yield func(Entry[K, V], error) bool) {
		yield(Entry[K, V]{}, encodeError(b.decl.where(), "key", err))
	}
}

// scan yields the entries from lo to hi without the first prefix bytes of
// their keys.
func (b *tableBase[K, V]) scan(ctx Context, lo, hi []byte, prefix int) iter.Seq2[Entry[K, V], error] {
	return func(yield func(Entry[K, V], error) bool) {
		for raw, err := range ctx.Core().Scan(&b.decl.spec, lo, hi) {
			var entry Entry[K, V]
			if err == nil {
				entry, err = b.entry(raw, prefix)
			}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
}

func (b *tableBase[K, V]) entry(raw topology.Entry, prefix int) (entry Entry[K, V], err error) {
	if len(raw.Key) < prefix {
		return entry, b.corrupt("key", fmt.Errorf("has %d bytes", len(raw.Key)))
	}
	if entry.Key, err = b.keys.Decode(raw.Key[prefix:]); err != nil {
		return entry, b.corrupt("key", err)
	}
	if entry.Value, err = b.values.Decode(raw.Value); err != nil {
		return entry, b.corrupt("value", err)
	}
	return entry, nil
}

// corrupt says that what a table holds is no value of its type.
func (b *tableBase[K, V]) corrupt(part string, err error) error {
	return fmt.Errorf("%w: %s in %s: %w; if the type or codec was changed, change it back, or `reset` the application to build the table anew",
		ErrDecode, part, b.decl.where(), err)
}
