package task

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/store"
)

// A mapReader is a store's space in a map.
type mapReader map[string]string

func (m mapReader) Get(key, dst []byte) ([]byte, bool, error) {
	v, ok := m[string(key)]
	return append(dst, v...), ok, nil
}

func (m mapReader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		snapshot := maps.Clone(m)
		for _, k := range slices.Sorted(maps.Keys(snapshot)) {
			if k < string(from) || to != nil && k >= string(to) {
				continue
			}
			if !yield(store.Entry{Key: []byte(k), Value: []byte(snapshot[k])}, nil) {
				return
			}
		}
	}
}

// A spaceModel is what a space must look like: whole contents instead of
// layers, and copies of them instead of a journal.
type spaceModel struct {
	stored map[string]string // what the store holds
	sealed map[string]string // with the epoch in flight
	now    map[string]string // with the current epoch
	dirty  map[string]bool   // keys written in the current epoch
	saved  []savedModel
}

type savedModel struct {
	mark  int
	now   map[string]string
	dirty map[string]bool
}

// spaceTest is the machine that rapid drives.
type spaceTest struct {
	s       *space
	j       journal
	store   mapReader
	model   spaceModel
	flying  bool
	sealing map[string]bool // keys of the epoch in flight
}

var spaceKeys = rapid.SampledFrom([]string{"", "a", "aa", "ab", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "z"})

func TestSpace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		st := mapReader{}
		for range rapid.IntRange(0, 8).Draw(t, "stored") {
			st[spaceKeys.Draw(t, "key")] = "s"
		}
		x := &spaceTest{store: st, s: newSpace("t", 0, "c", st, rapid.SampledFrom([]int{0, 400, 1 << 20}).Draw(t, "cache"))}
		x.model = spaceModel{stored: maps.Clone(map[string]string(st)), sealed: maps.Clone(map[string]string(st)), now: maps.Clone(map[string]string(st)), dirty: map[string]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"":         x.check,
			"put":      func(t *rapid.T) { x.write(spaceKeys.Draw(t, "key"), rapid.StringN(0, 3, 3).Draw(t, "value"), false) },
			"delete":   func(t *rapid.T) { x.write(spaceKeys.Draw(t, "key"), "", true) },
			"many":     x.many,
			"get":      x.get,
			"scan":     x.scan,
			"save":     x.save,
			"rollback": x.rollback,
			"step":     func(*rapid.T) { x.j.reset(); x.model.saved = nil },
			"seal":     x.seal,
			"stored":   x.storeSealed,
			"applied":  x.applied,
			"abort":    x.abort,
		})
	})
}

func (x *spaceTest) write(key, value string, deleted bool) {
	x.s.write(&x.j, []byte(key), []byte(value), deleted)
	x.model.dirty[key] = true
	if deleted {
		delete(x.model.now, key)
	} else {
		x.model.now[key] = value
	}
}

// many writes enough keys for a sort that merges.
func (x *spaceTest) many(t *rapid.T) {
	for _, k := range rapid.SliceOfNDistinct(spaceKeys, 2, 15, rapid.ID[string]).Draw(t, "keys") {
		x.write(k, "m", false)
	}
}

func (x *spaceTest) get(t *rapid.T) {
	key := spaceKeys.Draw(t, "key")
	got, found, err := x.s.get([]byte(key), []byte("dst"))
	want, has := x.model.now[key]
	if err != nil || found != has || string(got) != "dst"+want {
		t.Fatalf("get %q = %q %t %v, want %q %t", key, got, found, err, want, has)
	}
}

func (x *spaceTest) save(*rapid.T) {
	x.model.saved = append(x.model.saved, savedModel{x.j.mark(), maps.Clone(x.model.now), maps.Clone(x.model.dirty)})
}

func (x *spaceTest) rollback(t *rapid.T) {
	n := len(x.model.saved)
	if n == 0 {
		t.Skip("no savepoint")
	}
	to := rapid.IntRange(0, n-1).Draw(t, "savepoint")
	s := x.model.saved[to]
	x.j.rollback(s.mark)
	x.model.now, x.model.dirty, x.model.saved = s.now, s.dirty, x.model.saved[:to]
}

func (x *spaceTest) seal(t *rapid.T) {
	if x.flying {
		t.Skip("in flight")
	}
	x.j.reset()
	x.model.saved = nil
	x.s.seal()
	x.flying = true
	x.sealing = x.model.dirty
	x.model.sealed, x.model.dirty = maps.Clone(x.model.now), map[string]bool{}
	seen := map[string]bool{}
	for _, e := range x.s.fly.order {
		if v, ok := x.model.sealed[e.key]; seen[e.key] || !x.sealing[e.key] || ok == e.deleted || v != string(e.value) {
			t.Fatalf("epoch has %q=%q deleted %t; want it once, as %q %t", e.key, e.value, e.deleted, v, ok)
		}
		seen[e.key] = true
	}
	if len(seen) != len(x.sealing) {
		t.Fatalf("epoch has %d keys, %d were written", len(seen), len(x.sealing))
	}
}

// storeSealed lets the store take the batch; the space is told later.
func (x *spaceTest) storeSealed(t *rapid.T) {
	if !x.flying {
		t.Skip("nothing in flight")
	}
	x.take()
}

func (x *spaceTest) take() {
	for _, e := range x.s.fly.order {
		if e.deleted {
			delete(x.store, e.key)
		} else {
			x.store[e.key] = string(e.value)
		}
	}
	x.model.stored = maps.Clone(x.model.sealed)
}

func (x *spaceTest) applied(t *rapid.T) {
	if !x.flying {
		t.Skip("nothing in flight")
	}
	x.take()
	x.s.applied()
	x.flying = false
}

func (x *spaceTest) abort(t *rapid.T) {
	if x.flying && maps.Equal(x.model.stored, x.model.sealed) && len(x.sealing) > 0 {
		t.Skip("the store may have it: an abort is not possible any more")
	}
	x.s.abort()
	x.j.reset()
	x.flying = false
	x.model.saved, x.model.dirty = nil, map[string]bool{}
	x.model.now, x.model.sealed = maps.Clone(x.model.stored), maps.Clone(x.model.stored)
}

// scan compares a range, and writes while it runs: each key comes once, in
// order, and what was not written meanwhile is as it was.
func (x *spaceTest) scan(t *rapid.T) {
	from, to := spaceKeys.Draw(t, "from"), []byte(nil)
	if rapid.Bool().Draw(t, "bounded") {
		to = []byte(spaceKeys.Draw(t, "to"))
	}
	writes := rapid.Bool().Draw(t, "writes")
	before := maps.Clone(x.model.now)
	touched := map[string]bool{}
	got := map[string]string{}
	last := ""
	limit := rapid.IntRange(1, 40).Draw(t, "limit")
	for e, err := range x.s.scan([]byte(from), to) {
		k := string(e.Key)
		if err != nil || k < from || to != nil && k >= string(to) || len(got) > 0 && k <= last {
			t.Fatalf("scan [%q,%q) gives %q after %q: %v", from, to, k, last, err)
		}
		got[k], last = string(e.Value), k
		if len(got) == limit {
			break
		}
		if writes {
			w := rapid.SampledFrom([]string{k, spaceKeys.Draw(t, "other")}).Draw(t, "written")
			touched[w] = true
			if rapid.Bool().Draw(t, "deleted") {
				x.write(w, "", true)
			} else {
				x.write(w, "w", false)
			}
		}
	}
	for k, v := range before {
		in := k >= from && (to == nil || k < string(to)) && (len(got) < limit || k <= last)
		if g, ok := got[k]; !touched[k] && ok != in || ok && g != v && !touched[k] {
			t.Fatalf("scan [%q,%q) has %q=%q %t, want %q %t", from, to, k, g, ok, v, in)
		}
	}
	for k := range got {
		if _, ok := before[k]; !ok && !touched[k] {
			t.Fatalf("scan made %q up", k)
		}
	}
}

func (x *spaceTest) check(t *rapid.T) {
	size := 0
	for _, e := range x.s.cur.order {
		size += e.cost()
	}
	if size != x.s.cur.bytes || len(x.s.cur.byKey) != len(x.s.cur.order) {
		t.Fatalf("the layer counts %d bytes and %d keys, it has %d and %d", x.s.cur.bytes, len(x.s.cur.byKey), size, len(x.s.cur.order))
	}
	got := map[string]string{}
	for e := range x.s.scan(nil, nil) {
		got[string(e.Key)] = string(e.Value)
	}
	if !maps.Equal(got, x.model.now) {
		t.Fatalf("space %v, want %v", got, x.model.now)
	}
}

// A failing store gives its error and leaves dst alone.
func TestSpaceReadError(t *testing.T) {
	t.Parallel()
	s := newSpace("t", 0, "c", failing{}, 100)
	dst, found, err := s.get([]byte("k"), []byte("dst"))
	if string(dst) != "dst" || found || err == nil {
		t.Errorf("get = %q %t %v, want dst as it was and the error", dst, found, err)
	}
	s.write(&journal{}, []byte("k"), []byte("v"), false)
	if dst, found, err := s.get([]byte("k"), nil); string(dst) != "v" || !found || err != nil {
		t.Errorf("get = %q %t %v, want what was written", dst, found, err)
	}
	for e, err := range s.scan(nil, nil) {
		if err == nil {
			t.Errorf("scan gives %q from a store that fails", e.Key)
		}
	}
}

type failing struct{}

func (failing) Get(_, dst []byte) ([]byte, bool, error) {
	return append(dst, "junk"...), false, store.ErrCorrupt
}

func (failing) Scan(_, _ []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) { yield(store.Entry{}, store.ErrCorrupt) }
}

// TestCache shows that the cache gives what was put last, keeps what is in use,
// and stays within its bound.
func TestCache(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 2000).Draw(t, "max")
		c := newCache(limit)
		last := map[string]*entry{}
		for i := range rapid.IntRange(0, 200).Draw(t, "ops") {
			k := spaceKeys.Draw(t, "key")
			if rapid.Bool().Draw(t, "put") {
				e := &entry{key: k, value: fmt.Appendf(nil, "%d", i)}
				last[k] = e
				c.put(e)
			} else if e := c.get([]byte(k)); e != nil && e != last[k] {
				t.Fatalf("%q is %q, want %q", k, e.value, last[k].value)
			}
			held := 0
			for _, gen := range []map[string]*entry{c.young, c.old} {
				for _, e := range gen {
					held += e.size()
				}
			}
			// One entry may be more than half of the bound by itself.
			if held > limit+2*(96+64) {
				t.Fatalf("holds %d bytes, bound %d", held, limit)
			}
		}
	})
	t.Run("hot", func(t *testing.T) {
		t.Parallel()
		c := newCache(1000)
		c.put(&entry{key: "hot"})
		for i := range 100 {
			c.put(&entry{key: fmt.Sprint("cold", i)})
			if c.get([]byte("hot")) == nil {
				t.Fatalf("a key in use was forgotten after %d others", i)
			}
		}
	})
}
