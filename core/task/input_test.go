package task

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/record"
)

// TestInput adds fetches that overlap, leave gaps and end in control records, and
// takes records out: each is taken once, in order, and the offset to commit never
// passes one that was not taken.
func TestInput(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// present says which offsets hold records.
		present := rapid.SliceOfN(rapid.Bool(), 0, 60).Draw(t, "log")
		start := rapid.Int64Range(0, int64(len(present))).Draw(t, "start")
		in := &input{}
		in.start(start)
		fetched, taken := start, start // everything before was fetched, taken
		for fetched < int64(len(present)) || in.count > 0 {
			if fetched < int64(len(present)) && rapid.Bool().Draw(t, "fetch") {
				from := max(fetched-rapid.Int64Range(0, 3).Draw(t, "early"), 0)
				next := min(from+rapid.Int64Range(1, 8).Draw(t, "span"), int64(len(present)))
				var rs []record.Record
				fresh := 0
				for at := from; at < next; at++ {
					if present[at] {
						rs = append(rs, record.Record{Offset: at, Key: []byte("k")})
						if at >= fetched {
							fresh++
						}
					}
				}
				if got := in.add(rs, next); len(got) != fresh {
					t.Fatalf("%d records are new, want %d", len(got), fresh)
				}
				if in.count == 0 {
					in.settle()
				}
				fetched = max(fetched, next)
			} else if r := in.peek(); r != nil {
				for ; taken < r.Offset; taken++ {
					if present[taken] {
						t.Fatalf("%d was skipped, at %d", taken, r.Offset)
					}
				}
				if r.Offset != taken {
					t.Fatalf("took %d again, at %d", r.Offset, taken)
				}
				in.pop()
				taken++
			}
			checkInput(t, in, present, taken, fetched)
		}
		if in.next != int64(len(present)) {
			t.Fatalf("next %d at the end, want %d", in.next, len(present))
		}
	})
}

func checkInput(t *rapid.T, in *input, present []bool, taken, fetched int64) {
	waiting := 0
	for at := taken; at < fetched; at++ {
		if !present[at] {
			continue
		}
		if in.next > at {
			t.Fatalf("next %d passes %d, which waits", in.next, at)
		}
		waiting++
	}
	if in.count != waiting || in.bytes != waiting*(1+128) {
		t.Fatalf("%d records and %d bytes wait, want %d", in.count, in.bytes, waiting)
	}
	if waiting == 0 && in.next != fetched {
		t.Fatalf("next %d, but all was taken before %d", in.next, fetched)
	}
}

func TestEarliest(t *testing.T) {
	t.Parallel()
	queue := func(times ...int64) *input {
		in := &input{}
		var rs []record.Record
		for i, at := range times {
			rs = append(rs, record.Record{Offset: int64(i), Time: at})
		}
		in.add(rs, int64(len(rs)))
		return in
	}
	for _, c := range []struct {
		name   string
		inputs []*input
		want   int
	}{
		{"nothing", []*input{queue(), queue()}, -1},
		{"the older head", []*input{queue(5, 1), queue(3)}, 1},
		{"the first wins a tie", []*input{queue(), queue(3), queue(3)}, 1},
		{"a record without a time comes first", []*input{queue(0), queue(record.NoTime)}, 1},
		{"the last time there is", []*input{queue(1<<63 - 1)}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := earliest(c.inputs)
			if c.want < 0 && got != nil || c.want >= 0 && got != c.inputs[c.want] {
				t.Errorf("not input %d", c.want)
			}
		})
	}
}
