package weir

import (
	"fmt"
	"iter"
	"time"

	"github.com/weirstream/weir/core/topology"
)

// A Windowing says how a windowed table cuts time.
type Windowing struct{ size time.Duration }

// Tumbling cuts event time into windows of one size that do not overlap,
// aligned to the Unix epoch: with one hour, to full hours UTC.
func Tumbling(size time.Duration) Windowing { return Windowing{size} }

// A Window is one window: Start <= time < End.
type Window struct{ Start, End time.Time }

// DefaultRetain is how long a closed window stays readable unless Retain or
// RetainForever say otherwise.
const DefaultRetain = 24 * time.Hour

// A WindowedTable has an entry for each key and window. What is written for
// an event time goes to the window around it, until stream time passes the
// window's end plus grace: then the window closes, OnClose runs, and records
// for it are late. Late ones change nothing; they are counted, and sent to
// the Late topic if there is one. A closed window can be read for as long as
// Retain says.
type WindowedTable[K, V any] struct{ base tableBase[K, V] }

// NewWindowedTable declares a windowed table. Without options windows have no
// grace, and stay readable for DefaultRetain of stream time after they close.
func NewWindowedTable[K, V any](app *App, name string, windows Windowing, opts ...TableOption) *WindowedTable[K, V] {
	where := fmt.Sprintf("table %q", name)
	app = orDetached(app, where)
	spec := topology.Table{Name: name, Window: &topology.Window{
		Size:   millis(app, where, "window size", windows.size),
		Retain: DefaultRetain.Milliseconds(),
	}}
	t := &WindowedTable[K, V]{newTable[K, V](app, spec, opts)}
	t.setOnClose()
	return t
}

// Grace keeps windows open for that much stream time after their end.
func Grace(d time.Duration) TableOption {
	return windowOption{"Grace", func(t *tableDecl) {
		t.spec.Window.Grace = millis(t.app, t.where(), "grace", d)
	}}
}

// Retain keeps closed windows readable for that much stream time.
func Retain(d time.Duration) TableOption {
	return windowOption{"Retain", func(t *tableDecl) {
		if d < 0 {
			t.app.problem(t.where(), fmt.Sprintf("retains closed windows for %v", d), "give Retain a duration that is not negative, or use RetainForever()")
			return
		}
		t.spec.Window.Retain = millis(t.app, t.where(), "retain", d)
	}}
}

// RetainForever keeps closed windows for good.
func RetainForever() TableOption {
	return windowOption{"RetainForever", func(t *tableDecl) { t.spec.Window.Retain = topology.Forever }}
}

// Late sends records whose write came too late to a topic, as they were read:
// from a batch of a loop, the record of the event time that was written at.
// The topic needs no declaration.
func Late(topic string) TableOption {
	return windowOption{"Late", func(t *tableDecl) { t.spec.Late = topic }}
}

// OnClose runs fn once for each entry of a window that closes, in key order,
// with its final value. What it writes and sends must be declared on the
// table with Uses and Sends.
func OnClose[K, V any](fn func(ctx Context, w Window, key K, value V) error) TableOption {
	return windowOption{"OnClose", func(t *tableDecl) { t.onClose = fn }}
}

type windowOption struct {
	name  string
	apply func(t *tableDecl)
}

func (o windowOption) applyTable(t *tableDecl) {
	if t.onlyWindowed(o.name); t.spec.Window != nil {
		o.apply(t)
	}
}

func (t *WindowedTable[K, V]) setOnClose() {
	d := t.base.decl
	if d.onClose == nil {
		return
	}
	fn, ok := d.onClose.(func(Context, Window, K, V) error)
	if !ok || fn == nil {
		d.app.problem(d.where(), fmt.Sprintf("has keys of type %s and values of type %s but its OnClose is a %T", typeName[K](), typeName[V](), d.onClose),
			"give OnClose a function of the table's types")
		return
	}
	d.spec.OnClose = func(ctx topology.Context, start int64, key, value []byte) error {
		entry, err := t.base.entry(topology.Entry{Key: key, Value: value}, 0)
		if err != nil {
			return err
		}
		e := d.app.enter(ctx, t.base.keys)
		defer d.app.leave(e)
		return fn(e, t.window(start), entry.Key, entry.Value)
	}
}

func (t *WindowedTable[K, V]) tableRef() *tableDecl {
	if t == nil {
		return nil
	}
	return t.base.decl
}

// Name returns the table's name.
func (t *WindowedTable[K, V]) Name() string { return t.base.decl.spec.Name }

// WindowAt returns the window around a time.
func (t *WindowedTable[K, V]) WindowAt(at time.Time) Window {
	return t.window(t.base.decl.spec.Window.Start(at.UnixMilli()))
}

func (t *WindowedTable[K, V]) window(start int64) Window {
	size := t.base.decl.spec.Window.Size
	return Window{time.UnixMilli(start).UTC(), time.UnixMilli(start + size).UTC()}
}

// Get returns the value of a key in the window around the event time at hand,
// or the default when it is absent.
func (t *WindowedTable[K, V]) Get(ctx Context, key K) (V, error) {
	v, found, err := t.Lookup(ctx, key)
	return t.base.orDefault(v, found), err
}

// GetAt is Get for the window around another time.
func (t *WindowedTable[K, V]) GetAt(ctx Context, key K, at time.Time) (V, error) {
	v, found, err := t.LookupAt(ctx, key, at)
	return t.base.orDefault(v, found), err
}

// Lookup returns the value of a key in the window around the event time at
// hand and whether it is there.
func (t *WindowedTable[K, V]) Lookup(ctx Context, key K) (V, bool, error) {
	return t.lookup(ctx.engine(), key, ctx.engine().millis())
}

// LookupAt is Lookup for the window around another time.
func (t *WindowedTable[K, V]) LookupAt(ctx Context, key K, at time.Time) (V, bool, error) {
	return t.lookup(ctx.engine(), key, at.UnixMilli())
}

func (t *WindowedTable[K, V]) lookup(e *engine, key K, ms int64) (V, bool, error) {
	k, err := t.storageKey(e, t.base.decl.spec.Window.Start(ms), key)
	if err != nil {
		return *new(V), false, err
	}
	return t.base.load(e, k)
}

// Set writes a value in the window around the event time at hand. When that
// window is closed nothing is written and there is no error: the record is
// late.
func (t *WindowedTable[K, V]) Set(ctx Context, key K, value V) error {
	e := ctx.engine()
	k, open, err := t.openKey(e, key, e.millis())
	if err != nil || !open {
		return err
	}
	return t.base.store(e, k, value)
}

// SetAt is Set for the window around another time.
func (t *WindowedTable[K, V]) SetAt(ctx Context, key K, at time.Time, value V) error {
	e := ctx.engine()
	k, open, err := t.openKey(e, key, at.UnixMilli())
	if err != nil || !open {
		return err
	}
	return t.base.store(e, k, value)
}

// Update replaces a value in the window around the event time at hand, or the
// default when it is absent, by what fn makes of it. When that window is
// closed fn is not called and there is no error: the record is late.
func (t *WindowedTable[K, V]) Update(ctx Context, key K, fn func(V) V) error {
	e := ctx.engine()
	k, open, err := t.openKey(e, key, e.millis())
	if err != nil || !open {
		return err
	}
	return t.base.update(e, k, fn)
}

// UpdateAt is Update for the window around another time.
func (t *WindowedTable[K, V]) UpdateAt(ctx Context, key K, at time.Time, fn func(V) V) error {
	e := ctx.engine()
	k, open, err := t.openKey(e, key, at.UnixMilli())
	if err != nil || !open {
		return err
	}
	return t.base.update(e, k, fn)
}

// Delete removes a key from the window around the event time at hand, unless
// that window is closed.
func (t *WindowedTable[K, V]) Delete(ctx Context, key K) error {
	e := ctx.engine()
	k, open, err := t.openKey(e, key, e.millis())
	if err != nil || !open {
		return err
	}
	return t.base.remove(e, k)
}

// RangeWindow yields the entries of one window of the partition at hand, in
// key order, like Table.Range. Use WindowAt to name the window.
func (t *WindowedTable[K, V]) RangeWindow(ctx Context, w Window) iter.Seq2[Entry[K, V], error] {
	start := w.Start.UnixMilli()
	lo := topology.AppendWindowStart(nil, start)
	hi := topology.AppendWindowStart(nil, start+1)
	return t.base.scan(ctx, lo, hi, len(lo))
}

// openKey returns the storage key for a write at a time, or false when its
// window is closed.
func (t *WindowedTable[K, V]) openKey(e *engine, key K, ms int64) ([]byte, bool, error) {
	c, err := e.writer()
	if err != nil {
		return nil, false, err
	}
	start, open, err := c.Window(&t.base.decl.spec, ms)
	if err != nil || !open {
		return nil, false, err
	}
	k, err := t.storageKey(e, start, key)
	return k, err == nil, err
}

func (t *WindowedTable[K, V]) storageKey(e *engine, start int64, key K) ([]byte, error) {
	k, err := t.base.keys.Append(topology.AppendWindowStart(e.key[:0], start), key)
	if err != nil {
		return nil, encodeError(t.base.decl.where(), "key", err)
	}
	e.key = k
	return k, nil
}
