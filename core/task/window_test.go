package task

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

func TestFloorDiv(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want int64 }{
		{0, 10, 0}, {9, 10, 0}, {10, 10, 1}, {-1, 10, -1}, {-10, 10, -1}, {-11, 10, -2},
		{math.MaxInt64, 1, math.MaxInt64}, {math.MinInt64, 1, math.MinInt64},
	} {
		if got := floorDiv(c.a, c.b); got != c.want {
			t.Errorf("floorDiv(%d, %d) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64Range(1, math.MaxInt64).Draw(t, "b")
		// Euclidean division of math/big is floor for b > 0.
		if got, want := floorDiv(a, b), new(big.Int).Div(big.NewInt(a), big.NewInt(b)).Int64(); got != want {
			t.Fatalf("floorDiv(%d, %d) = %d, want %d", a, b, got, want)
		}
	})
}

// TestWindowBoundaries shows that windows have no holes and do not overlap, and
// that each of them closes in exactly one advance of stream time.
func TestWindowBoundaries(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := topology.Window{
			Size:  rapid.Int64Range(1, 50).Draw(t, "size"),
			Grace: rapid.Int64Range(0, 60).Draw(t, "grace"),
		}
		for at := int64(-120); at < 120; at++ {
			start := w.Start(at)
			if start > at || at >= start+w.Size || floorDiv(start, w.Size)*w.Size != start {
				t.Fatalf("time %d is in the window at %d of size %d", at, start, w.Size)
			}
		}
		after := w.Size + w.Grace
		closed := map[int64]int{}
		from := record.NoTime
		for range rapid.IntRange(1, 20).Draw(t, "advances") {
			to := from + rapid.Int64Range(1, 90).Draw(t, "advance")
			var c cursor
			c.over(&w, from, to, after)
			for start := floorDiv(-400, w.Size) * w.Size; start < to+100; start += w.Size {
				due := start+after <= to && (from == record.NoTime || start+after > from)
				if got := covers(&c, start); got != due {
					t.Fatalf("from %d to %d: window %d of size %d is due %t, covered %t", from, to, start, w.Size, due, got)
				}
				if due {
					closed[start]++
				}
			}
			from = to
			for start := floorDiv(-400, w.Size) * w.Size; start < from+100; start += w.Size {
				want := 0
				if from >= w.CloseAt(start) {
					want = 1
				}
				if closed[start] != want {
					t.Fatalf("at %d window %d closed %d times, want %d", from, start, closed[start], want)
				}
			}
		}
	})
}

// covers reports whether the cursor's range has the entries of a window.
func covers(c *cursor, start int64) bool {
	in := func(key []byte) bool {
		return c.active && string(key) >= string(c.from) && string(key) < string(c.to)
	}
	first, last := topology.WindowKey(start, nil), topology.WindowKey(start, []byte("\xff\xff\xff\xff"))
	if in(first) != in(last) {
		panic("a window is cut in two")
	}
	return in(first)
}

func FuzzParseMetadata(f *testing.F) {
	for _, s := range []string{"", "weir1:", "weir1:-1", "weir1:12", "weir1:x", "weir2:1", "weir1:9223372036854775808", "weir1:+5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseMetadata(s)
		if err != nil && at != record.NoTime {
			t.Errorf("%q gives %d and %v", s, at, err)
		}
		if err == nil && at != record.NoTime {
			if again, err := ParseMetadata(Metadata(at)); again != at || err != nil {
				t.Errorf("%q gives %d, which comes back as %d: %v", s, at, again, err)
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64().Draw(t, "at")
		if got, err := ParseMetadata(Metadata(at)); got != at || err != nil {
			t.Fatalf("%d comes back as %d: %v", at, got, err)
		}
	})
	if at, err := ParseMetadata("somebody else's"); at != record.NoTime || err != nil {
		t.Errorf("metadata of others = %d, %v; want none", at, err)
	}
	if _, err := ParseMetadata("weir1:noon"); err == nil {
		t.Error("damaged metadata is taken")
	}
}
