package weir

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/core/topology"
)

// A Timer is a set of durable timers, at most one for each key. A timer fires
// once, when the stream time of its partition reaches the time that was set,
// on whichever worker the partition then is.
type Timer[K any] struct {
	decl *timerDecl
	keys Codec[K]
}

// A timerDecl is a timer without its type.
type timerDecl struct {
	app  *App
	spec topology.Timer
	keys any // Codec[K]
}

func (t *timerDecl) owner() *App   { return t.app }
func (t *timerDecl) where() string { return fmt.Sprintf("timer %q", t.spec.Name) }

// NewTimer declares a timer. fire gets the key; what it uses and sends must be
// declared with Uses and Sends. Agents that set it declare it with Sets.
func NewTimer[K any](app *App, name string, fire func(ctx Context, key K) error, opts ...TimerOption) *Timer[K] {
	d := &timerDecl{spec: topology.Timer{Name: name}}
	d.app = orDetached(app, d.where())
	d.spec.Policy = d.app.policy
	for _, o := range opts {
		o.applyTimer(d)
	}
	t := &Timer[K]{d, codecOf[K](d.app, d.where(), "key", d.keys)}
	if fire == nil {
		d.app.problem(d.where(), "has a nil function", "pass a function")
	}
	d.spec.Fire = func(ctx topology.Context, key []byte) error {
		k, err := t.keys.Decode(key)
		if err != nil {
			return fmt.Errorf("%w: key of %s: %w", ErrDecode, d.where(), err)
		}
		e := d.app.enter(ctx, t.keys)
		defer d.app.leave(e)
		return fire(e, k)
	}
	d.app.timers = append(d.app.timers, d)
	return t
}

func (t *Timer[K]) timerRef() *timerDecl {
	if t == nil {
		return nil
	}
	return t.decl
}

func (t *Timer[K]) key() encoder[K] { return encoder[K]{t.keys, t.decl} }

// Name returns the timer's name.
func (t *Timer[K]) Name() string { return t.decl.spec.Name }

// Set sets the timer of a key, or moves it to another time.
func (t *Timer[K]) Set(ctx Context, key K, at time.Time) error {
	e := ctx.engine()
	k, err := t.key().bytes(e, key)
	if err != nil {
		return err
	}
	c, err := e.writer()
	if err != nil {
		return err
	}
	return c.SetTimer(&t.decl.spec, k, at.UnixMilli())
}

// Cancel removes the timer of a key; without one it does nothing.
func (t *Timer[K]) Cancel(ctx Context, key K) error {
	e := ctx.engine()
	k, err := t.key().bytes(e, key)
	if err != nil {
		return err
	}
	c, err := e.writer()
	if err != nil {
		return err
	}
	return c.CancelTimer(&t.decl.spec, k)
}
