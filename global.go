package weir

import (
	"iter"

	"github.com/weirstream/weir/core/topology"
)

// A GlobalTable is the full content of a topic, the newest value of each key,
// on every worker. It is read-only: write it by sending to its topic. It is
// named like the topic and follows it with a small delay.
type GlobalTable[K, V any] struct{ base tableBase[K, V] }

// NewGlobalTable declares a global table of a topic. The topic should be
// compacted.
func NewGlobalTable[K, V any](app *App, topic *Topic[K, V]) *GlobalTable[K, V] {
	if topic == nil {
		app = orDetached(app, "global table of a nil topic")
		app.problem("global table", "was given a nil topic", "declare the topic before the table")
		return &GlobalTable[K, V]{newTable[K, V](NewApp(""), topology.Table{}, nil)}
	}
	spec := topology.Table{Name: topic.Name(), Source: topic.Name()}
	opts := []TableOption{KeyCodec(topic.keys), ValueCodec(topic.values)}
	t := &GlobalTable[K, V]{newTable[K, V](app, spec, opts)}
	owned(t.base.decl.app, topic.decl, t.base.decl.where(), "topic")
	return t
}

func (t *GlobalTable[K, V]) tableRef() *tableDecl {
	if t == nil {
		return nil
	}
	return t.base.decl
}

// Name returns the table's name, which is that of its topic.
func (t *GlobalTable[K, V]) Name() string { return t.base.decl.spec.Name }

// Lookup returns the value of a key and whether it is there.
func (t *GlobalTable[K, V]) Lookup(ctx Context, key K) (V, bool, error) {
	e := ctx.engine()
	k, err := t.base.key().bytes(e, key)
	if err != nil {
		return *new(V), false, err
	}
	return t.base.load(e, k)
}

// Range yields the entries with from <= key < to, in key order, like
// Table.Range.
func (t *GlobalTable[K, V]) Range(ctx Context, from, to K) iter.Seq2[Entry[K, V], error] {
	return t.base.between(ctx, from, to)
}

// All yields every entry, in key order.
func (t *GlobalTable[K, V]) All(ctx Context) iter.Seq2[Entry[K, V], error] {
	return t.base.scan(ctx, nil, nil, 0)
}
