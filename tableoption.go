package weir

import (
	"fmt"
)

// Default sets the value that Get and Update see for an absent key. Values
// that share memory when copied, such as maps and slices, want DefaultFunc.
func Default[V any](v V) TableOption { return defaultOption{func() V { return v }} }

// DefaultFunc sets the function that makes the value that Get and Update see
// for an absent key.
func DefaultFunc[V any](fn func() V) TableOption { return defaultOption{fn} }

type defaultOption struct{ fn any }

func (o defaultOption) applyTable(t *tableDecl) { t.initial = o.fn }

// initialOf returns the default of a table, or reports that it is of another
// type.
func initialOf[V any](d *tableDecl) func() V {
	fn, ok := d.initial.(func() V)
	if !ok || fn == nil {
		d.app.problem(d.where(), fmt.Sprintf("has values of type %s but a default that is a %T", typeName[V](), d.initial),
			"write weir.Default["+typeName[V]()+"](…)")
		return nil
	}
	return fn
}

// Store names the kind of store to keep a table in, such as "memory" or
// "pebble"; without it the worker decides.
func Store(kind string) TableOption { return storeOption(kind) }

type storeOption string

func (o storeOption) applyTable(t *tableDecl) { t.spec.Store = string(o) }
