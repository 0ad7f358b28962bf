package topology_test

import (
	"bytes"
	"cmp"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/topology"
)

func TestWindowStart(t *testing.T) {
	t.Parallel()
	w := topology.Window{Size: 1000, Grace: 50}
	for _, c := range []struct{ at, start int64 }{
		{0, 0}, {1, 0}, {999, 0}, {1000, 1000}, {1001, 1000}, {-1, -1000}, {-1000, -1000}, {-1001, -2000},
	} {
		if got := w.Start(c.at); got != c.start {
			t.Errorf("Start(%d) = %d, want %d", c.at, got, c.start)
		}
	}
	if got := w.CloseAt(3000); got != 4050 {
		t.Errorf("CloseAt(3000) = %d, want 4050", got)
	}
}

// Byte order of storage keys is order of time, then of keys.
func TestWindowKeyOrder(t *testing.T) {
	t.Parallel()
	starts := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-3, 3))
	keys := rapid.SliceOfN(rapid.Byte(), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		s1, s2 := starts.Draw(t, "s1"), starts.Draw(t, "s2")
		k1, k2 := keys.Draw(t, "k1"), keys.Draw(t, "k2")
		want := cmp.Or(cmp.Compare(s1, s2), bytes.Compare(k1, k2))
		w1, w2 := topology.WindowKey(s1, k1), topology.WindowKey(s2, k2)
		if got := bytes.Compare(w1, w2); got != want {
			t.Fatalf("order is %d, want %d", got, want)
		}
		start, key, ok := topology.SplitWindowKey(w1)
		if !ok || start != s1 || !bytes.Equal(key, k1) {
			t.Fatalf("split gives %d %x %v", start, key, ok)
		}
	})
}

func TestWindowKeyFormat(t *testing.T) {
	t.Parallel()
	// The format is on disk and in changelogs: it must not change.
	for _, c := range []struct {
		start int64
		want  string
	}{
		{0, "\x80\x00\x00\x00\x00\x00\x00\x00k"},
		{1, "\x80\x00\x00\x00\x00\x00\x00\x01k"},
		{-1, "\x7f\xff\xff\xff\xff\xff\xff\xffk"},
		{math.MinInt64, "\x00\x00\x00\x00\x00\x00\x00\x00k"},
	} {
		if got := topology.WindowKey(c.start, []byte("k")); string(got) != c.want {
			t.Errorf("WindowKey(%d) = %x, want %x", c.start, got, c.want)
		}
	}
	if _, _, ok := topology.SplitWindowKey([]byte("1234567")); ok {
		t.Error("7 bytes were split")
	}
}

func FuzzSplitWindowKey(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("12345678"))
	f.Add([]byte("12345678key"))
	f.Fuzz(func(t *testing.T, b []byte) {
		start, key, ok := topology.SplitWindowKey(b)
		if ok != (len(b) >= 8) {
			t.Fatalf("split of %d bytes: %v", len(b), ok)
		}
		if ok && !bytes.Equal(topology.WindowKey(start, key), b) {
			t.Fatalf("%x does not come back", b)
		}
	})
}
