package aerospike

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/store"
)

func someHead() head {
	return head{
		session: 7, sealed: true, pending: true, txn: txnID{1, 2, 3},
		now:   state{seq: 9, slots: 300, count: 12, sum: 1 << 63, position: []byte("pos")},
		next:  state{seq: 10, slots: 301, count: 13, sum: 5, position: []byte("next")},
		bases: []layer{{1, 2, 3}, {4, 5, 6}}, garbage: []garbage{{7, 8, true}, {9, 10, false}},
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	h := someHead()
	if got, err := decodeHead(h.encode()); err != nil || !reflect.DeepEqual(*got, h) {
		t.Errorf("head: %+v, %v", got, err)
	}
	for _, gen := range []store.Generation{0, 1, -1, 1 << 62, -1 << 63} {
		o := ownerRecord{session: 1, generation: gen, current: 1 << 63}
		if got, err := decodeOwner(o.encode()); err != nil || got != o {
			t.Errorf("owner: %+v, %v", got, err)
		}
	}
	m := meta{kind: kindEntry, seq: 1 << 40, hash: 1 << 63, more: []uint32{1, 1 << 31}, key: []byte("key\x00")}
	if got, err := decodeMeta(m.encode()); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("meta: %+v, %v", got, err)
	}
	for _, v := range []verdict{committed, aborted} {
		if got, err := decodeVerdict(v.encode(3)); err != nil || got != v {
			t.Errorf("verdict: %v, %v", got, err)
		}
	}
}

// FuzzDecode: whatever a server sends back is read right or is corrupt.
func FuzzDecode(f *testing.F) {
	h := someHead()
	f.Add(h.encode())
	f.Add(ownerRecord{session: 1, generation: 2, current: 3}.encode())
	f.Add((&meta{kind: kindTombstone, seq: 3, key: []byte("k")}).encode())
	f.Add(committed.encode(1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, finish(append([]byte{formatVersion}, b...))} {
			if h, err := decodeHead(b); err == nil {
				again, err := decodeHead(h.encode())
				if err != nil || !bytes.Equal(again.encode(), h.encode()) {
					t.Errorf("a head reads as %+v and is written otherwise: %v", h, err)
				}
			} else if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("head: %v", err)
			}
			if _, err := decodeOwner(b); err != nil && !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("owner: %v", err)
			}
			if _, err := decodeMeta(b); err != nil && !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("meta: %v", err)
			}
			if _, err := decodeVerdict(b); err != nil && !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("verdict: %v", err)
			}
		}
	})
}

// TestEveryBitCounts flips each bit of an encoding: none goes unnoticed.
func TestEveryBitCounts(t *testing.T) {
	t.Parallel()
	h := someHead()
	b := h.encode()
	for i := range 8 * len(b) {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if _, err := decodeHead(c); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("bit %d: %v", i, err)
		}
	}
}

func TestSetNames(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for _, table := range []string{
		"orders", "orders.by-day", "", strings.Repeat("x", 63), strings.Repeat("x", 64), "a;b", "a:b", "ünïcode", "a\tb",
	} {
		name := setName("app", table)
		if len(name) > maxSet || strings.ContainsAny(name, ";:\t\n") {
			t.Errorf("%q is in set %q", table, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q are in set %q", table, other, name)
		}
		seen[name] = table
	}
}
