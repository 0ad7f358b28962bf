package store_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/store"
)

func drawPosition(t *rapid.T) store.Position {
	p := store.Position{
		Log:        store.LogID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "log")),
		Changelog:  rapid.Int64().Draw(t, "changelog"),
		StreamTime: rapid.Int64().Draw(t, "stream time"),
		At:         rapid.Int64().Draw(t, "at"),
		Exists:     true,
	}
	for range rapid.IntRange(0, 5).Draw(t, "inputs") {
		p.Inputs = append(p.Inputs, store.InputOffset{
			Topic:     rapid.String().Draw(t, "topic"),
			Partition: rapid.Int32().Draw(t, "partition"),
			Offset:    rapid.Int64().Draw(t, "offset"),
		})
	}
	return p
}

func TestPositionRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawPosition(t)
		b := store.AppendPosition([]byte("before"), want)
		got, err := store.DecodePosition(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

// TestPositionDamage changes one bit, or cuts the end off: CRC-32C finds each.
func TestPositionDamage(t *testing.T) {
	t.Parallel()
	whole := store.AppendPosition(nil, store.Position{
		Changelog: 1 << 40, StreamTime: 1700000000000, At: -1, Exists: true,
		Inputs: []store.InputOffset{{Topic: "orders", Partition: 3, Offset: 77}},
	})
	for i := range whole {
		if _, err := store.DecodePosition(whole[:i]); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("the first %d of %d bytes: %v", i, len(whole), err)
		}
		for bit := range 8 {
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= 1 << bit
			if _, err := store.DecodePosition(damaged); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("bit %d of byte %d changed: %v", bit, i, err)
			}
		}
	}
}

// TestPositionFormat holds the bytes still: stores on disk have them.
func TestPositionFormat(t *testing.T) {
	t.Parallel()
	got := hex.EncodeToString(store.AppendPosition(nil, store.Position{
		Log: store.LogID{0: 0xab, 15: 0xcd}, Changelog: 5, StreamTime: -1, At: 1, Exists: true,
		Inputs: []store.InputOffset{{Topic: "in", Partition: 2, Offset: 300}},
	}))
	const want = "02" + "ab0000000000000000000000000000cd" + "0a0102" + "01" + "02696e" + "04" + "d804" + "ef6f009d"
	if got != want {
		t.Errorf("got %s, want %s: a new format needs a new version", got, want)
	}
}

// TestPositionVersion1 reads what stores hold that were written before
// positions had a log.
func TestPositionVersion1(t *testing.T) {
	t.Parallel()
	old, err := hex.DecodeString("010a0102" + "01" + "02696e" + "04" + "d804" + "5dbf377c")
	if err != nil {
		t.Fatal(err)
	}
	want := store.Position{
		Changelog: 5, StreamTime: -1, At: 1, Exists: true,
		Inputs: []store.InputOffset{{Topic: "in", Partition: 2, Offset: 300}},
	}
	if got, err := store.DecodePosition(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	newer := store.WithChecksum(append([]byte{3}, old[1:len(old)-4]...))
	if _, err := store.DecodePosition(newer); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a version that is not known gives %v", err)
	}
}

func FuzzDecodePosition(f *testing.F) {
	f.Add([]byte{})
	f.Add(store.AppendPosition(nil, store.Position{}))
	f.Add(store.AppendPosition(nil, store.Position{Changelog: 9, Inputs: []store.InputOffset{{Topic: "a", Offset: 1}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		// As it is, and with a right checksum, so that fields are reached.
		for _, in := range [][]byte{b, store.WithChecksum(b)} {
			p, err := store.DecodePosition(in)
			if err != nil {
				if !errors.Is(err, store.ErrCorrupt) {
					t.Fatalf("error is not ErrCorrupt: %v", err)
				}
				continue
			}
			again, err := store.DecodePosition(store.AppendPosition(nil, p))
			if err != nil || !reflect.DeepEqual(p, again) {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
	})
}
