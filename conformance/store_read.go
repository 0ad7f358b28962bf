package conformance

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/weirstream/weir/core/store"
)

func readChecks() []StoreCheck {
	return []StoreCheck{
		{Name: "read/get", Run: checkGet},
		{Name: "read/get-large", Run: checkGetLarge},
		{Name: "read/get-owns", Run: checkGetOwns},
		{Name: "read/multi", Run: checkGetMulti},
		{Name: "read/scan-order", Run: checkScanOrder},
		{Name: "read/scan-ranges", Run: checkScanRanges},
		{Name: "read/scan-stop", Run: checkScanStop},
		{Name: "read/scan-moment", Run: checkScanMoment},
		{Name: "read/spaces-apart", Run: checkSpacesApart},
	}
}

func spaceA() store.Space { return store.Space{Table: "orders", Partition: 0} }
func spaceB() store.Space { return store.Space{Table: "counts", Partition: 3} }

// awkwardKeys are keys that a wrong order, a separator or an escape would
// betray.
func awkwardKeys() []string {
	keys := []string{
		"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "\x01\x00", "\x7f", "\x80", "\x80\x00",
		"\xfe", "\xfe\xff", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"a", "a\x00", "a\x00b", "a\xff", "aa", "ab", "b", "B", "1", "10", "2", "é", "orders", "orders/0",
	}
	for _, n := range []int{1, 2, 3, 7, 8, 9, 255, 256, 4096} {
		keys = append(keys, strings.Repeat("k", n), strings.Repeat("\xff", n)+"z", strings.Repeat("\x00", n)+"z")
	}
	return keys
}

func putAll(b *store.Batch, sp store.Space, gen store.Generation, keys []string) {
	for _, k := range keys {
		b.Part(sp, gen).Put([]byte(k), []byte("value of "+k))
	}
}

func checkGet(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	mustLack(tb, r, "absent")
	mustLack(tb, r, "")
	fx.put(spaceA(), 1, "key", "value")
	fx.put(spaceA(), 1, "no value", "")
	fx.put(spaceA(), 1, "", "of the empty key")
	mustGet(tb, r, "key", "value")
	mustGet(tb, r, "no value", "")
	mustGet(tb, r, "", "of the empty key")
	for _, absent := range []string{"ke", "key\x00", "kez", "k", "\x00"} {
		mustLack(tb, r, absent)
	}
	got, found, err := r.Get([]byte("key"), []byte("before "))
	if string(got) != "before value" || !found || err != nil {
		tb.Errorf("Get does not append to dst: %q, %v, %v", got, found, err)
	}
	fx.apply(func(b *store.Batch) { b.Part(spaceA(), 1).Delete([]byte("key")) })
	mustLack(tb, r, "key")
	fx.put(spaceA(), 1, "key", "again")
	mustGet(tb, r, "key", "again")
	fx.unchanged("after gets", spaceA(), 1)
}

func checkGetLarge(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	sizes := []int{0, 1, 1 << 10, 1<<15 - 1, 1 << 15, 1<<15 + 1, 1 << 16, 1 << 20}
	fx.apply(func(b *store.Batch) {
		for _, n := range sizes {
			b.Part(spaceA(), 1).Put(fmt.Appendf(nil, "%d", n), pattern(n))
		}
	})
	for _, n := range sizes {
		mustGet(tb, r, fmt.Sprint(n), string(pattern(n)))
	}
	fx.unchanged("with large values", spaceA(), 1)
}

// pattern returns n bytes in which a shift would show.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i / 251)
	}
	return b
}

// checkGetOwns: neither side may see the other's later changes to a buffer.
func checkGetOwns(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	fx.put(spaceA(), 1, "key", "value")
	got, _, err := r.Get([]byte("key"), nil)
	if err != nil {
		tb.Fatalf("Get: %v", err)
	}
	copy(got, "XXXXX")
	mustGet(tb, r, "key", "value")
	buf := make([]byte, 0, 64)
	if got, _, _ = r.Get([]byte("key"), buf); len(got) > 0 && &got[0] != &buf[:1][0] {
		tb.Errorf("Get does not use the room in dst")
	}
	fx.put(spaceA(), 1, "key", "other")
	if string(got) != "value" {
		tb.Errorf("a value changed after it was read: %q", got)
	}
}

func checkGetMulti(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r, ok := fx.space(spaceA(), 1).(store.MultiReader)
	if !ok {
		tb.Skipf("%s has no MultiReader", f.Name)
	}
	keys := awkwardKeys()
	fx.apply(func(b *store.Batch) { putAll(b, spaceA(), 1, keys) })
	var ask [][]byte
	for i := len(keys) - 1; i >= 0; i-- {
		ask = append(ask, []byte(keys[i]), []byte(keys[i]+" absent"))
	}
	answered := make([]int, len(ask))
	err := r.GetMulti(ask, func(i int, value []byte, found bool) {
		answered[i]++
		want, exists := fx.model.at(spaceA()).entries[string(ask[i])]
		if found != exists || string(value) != want {
			tb.Errorf("key %.40q is %.40q, %v; want %.40q, %v", ask[i], value, found, want, exists)
		}
	})
	if err != nil {
		tb.Fatalf("GetMulti: %v", err)
	}
	for i, n := range answered {
		if n != 1 {
			tb.Errorf("key %.40q was answered %d times", ask[i], n)
		}
	}
	if err := fx.store.Release(spaceA(), 1); err != nil {
		tb.Fatalf("releasing: %v", err)
	}
	mustFail(tb, "GetMulti after Release", r.GetMulti(ask, func(int, []byte, bool) { tb.Errorf("GetMulti serves data after Release") }), store.ErrClosed)
}

func checkScanOrder(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	if d, err := fx.model.at(spaceA()).scanDifference(r, nil, nil); d != "" || err != nil {
		tb.Fatalf("empty space: %s %v", d, err)
	}
	keys := awkwardKeys()
	fx.apply(func(b *store.Batch) { putAll(b, spaceA(), 1, keys) })
	var last []byte
	n := 0
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			tb.Fatalf("scanning: %v", err)
		}
		if n > 0 && bytes.Compare(last, e.Key) >= 0 {
			tb.Fatalf("key %.40q comes after %.40q", e.Key, last)
		}
		last = append(last[:0], e.Key...)
		n++
	}
	fx.unchanged("after a scan", spaceA(), 1)
}

func checkScanRanges(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	// Neighbours on both sides must not show through a missing bound.
	fx.space(store.Space{Table: "orders", Partition: 1}, 1)
	fx.space(spaceB(), 1)
	keys := awkwardKeys()
	fx.apply(func(b *store.Batch) {
		putAll(b, spaceA(), 1, keys)
		putAll(b, spaceB(), 1, keys)
		putAll(b, store.Space{Table: "orders", Partition: 1}, 1, keys)
	})
	bounds := [][]byte{nil}
	for _, k := range keys {
		if len(k) < 10 {
			bounds = append(bounds, []byte(k), []byte(k+"\x00"))
		}
	}
	for _, from := range bounds {
		for _, to := range bounds {
			d, err := fx.model.at(spaceA()).scanDifference(r, from, to)
			if d != "" || err != nil {
				tb.Fatalf("%s %v", d, err)
			}
		}
	}
}

// checkScanStop: a scan may be left at any entry, may run inside another, and
// holds nothing back.
func checkScanStop(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	fx.apply(func(b *store.Batch) { putAll(b, spaceA(), 1, awkwardKeys()) })
	m := fx.model.at(spaceA())
	want := m.keys(nil, nil)
	for stop := range len(want) {
		i := 0
		for e, err := range r.Scan(nil, nil) {
			if err != nil || string(e.Key) != want[i] {
				tb.Fatalf("entry %d is %.40q, %v; want %.40q", i, e.Key, err, want[i])
			}
			if d, err := m.scanDifference(r, e.Key, nil); d != "" || err != nil {
				tb.Fatalf("a scan inside a scan: %s %v", d, err)
			}
			if i == stop {
				break
			}
			i++
		}
	}
	seq := r.Scan(nil, nil)
	for range 2 {
		n := 0
		for range seq {
			n++
		}
		if n != len(want) {
			tb.Fatalf("ranging again over a scan yields %d entries, want %d", n, len(want))
		}
	}
	if err := fx.store.Close(); err != nil {
		tb.Fatalf("closing after scans that were left: %v", err)
	}
}

// checkScanMoment: writes and a drop during a scan do not show in it.
func checkScanMoment(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	const n = 500
	fx.apply(func(b *store.Batch) {
		for i := range n {
			b.Part(spaceA(), 1).Put(fmt.Appendf(nil, "key %04d", 2*i), []byte("old"))
		}
	})
	i := 0
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			tb.Fatalf("scanning: %v", err)
		}
		if want := fmt.Sprintf("key %04d", 2*i); string(e.Key) != want || string(e.Value) != "old" {
			tb.Fatalf("a scan sees %q = %q, written or removed after it began; want %q = old", e.Key, e.Value, want)
		}
		switch i {
		case 3:
			fx.apply(func(b *store.Batch) {
				p := b.Part(spaceA(), 1)
				for j := range n {
					p.Put(fmt.Appendf(nil, "key %04d", 2*j+1), []byte("new"))
					if j%3 == 0 {
						p.Delete(fmt.Appendf(nil, "key %04d", 2*j))
					} else {
						p.Put(fmt.Appendf(nil, "key %04d", 2*j), []byte("new"))
					}
				}
			})
			fx.unchanged("after writes during a scan", spaceA(), 1)
		case 200:
			if err := fx.store.Drop(spaceA(), 1); err != nil {
				tb.Fatalf("dropping: %v", err)
			}
			fx.model.drop(spaceA())
		}
		i++
	}
	if i != n {
		tb.Fatalf("a scan ends after %d of the %d entries that were there when it began", i, n)
	}
	fx.unchanged("after a drop during a scan", spaceA(), 1)
}

// checkSpacesApart fills spaces whose names are easy to confuse.
func checkSpacesApart(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	var spaces []store.Space
	for _, table := range []string{"t", "t\x00", "t\xff", "tt", "t/1", "T", "", "日本", strings.Repeat("long", 50)} {
		for _, p := range []int32{0, 1, 10, 255, 256, 65536, math.MaxInt32} {
			spaces = append(spaces, store.Space{Table: table, Partition: p})
		}
	}
	for _, sp := range spaces {
		fx.space(sp, 1)
	}
	fx.apply(func(b *store.Batch) {
		for i, sp := range spaces {
			p := b.Part(sp, 1)
			for _, k := range []string{"", "\x00", "k", "\xff\xff"} {
				p.Put([]byte(k), fmt.Appendf(nil, "%q of %s", k, sp))
			}
			p.Position = store.Position{Changelog: int64(i), Exists: true}
		}
	})
	for _, sp := range spaces {
		fx.unchanged("beside other spaces", sp, 1)
	}
	gone := spaces[len(spaces)/2]
	if err := fx.store.Drop(gone, 1); err != nil {
		tb.Fatalf("dropping %s: %v", gone, err)
	}
	fx.model.drop(gone)
	for _, sp := range spaces {
		fx.unchanged("after another space was dropped", sp, 1)
	}
}
