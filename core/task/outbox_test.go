package task

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/record"
)

// TestOutbox adds, goes back to savepoints and starts over: records keep their
// bytes whatever happens to the memory around them.
func TestOutbox(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := &outbox{}
		var want []record.Record
		type saved struct {
			mark outMark
			n    int
		}
		marks := []saved{{o.mark(), 0}}
		content := rapid.Custom(func(t *rapid.T) []byte {
			switch n := rapid.SampledFrom([]int{-1, 0, 1, 10, 1000, chunkBytes / 2, chunkBytes + 1}).Draw(t, "size"); n {
			case -1:
				return nil
			default:
				return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
			}
		})
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { checkOutbox(t, o, want) },
			"add": func(t *rapid.T) {
				r := record.Record{Topic: "t", Key: content.Draw(t, "key"), Value: content.Draw(t, "value")}
				if rapid.Bool().Draw(t, "headers") {
					r.Headers = []record.Header{{Key: "h", Value: content.Draw(t, "header")}}
				}
				want = append(want, cloneRecord(r))
				o.add(r)
				for _, b := range [][]byte{r.Key, r.Value} {
					clear(b) // the sender may use its bytes again
				}
			},
			"mark": func(*rapid.T) { marks = append(marks, saved{o.mark(), len(want)}) },
			"truncate": func(t *rapid.T) {
				i := rapid.IntRange(0, len(marks)-1).Draw(t, "mark")
				o.truncate(marks[i].mark)
				want, marks = want[:marks[i].n], marks[:i+1]
			},
			"reset": func(*rapid.T) {
				o.reset()
				want, marks = nil, []saved{{o.mark(), 0}}
			},
		})
	})
}

func cloneRecord(r record.Record) record.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	if r.Headers != nil {
		r.Headers = []record.Header{{Key: r.Headers[0].Key, Value: bytes.Clone(r.Headers[0].Value)}}
	}
	return r
}

func checkOutbox(t *rapid.T, o *outbox, want []record.Record) {
	if len(o.records) != len(want) {
		t.Fatalf("%d records, want %d", len(o.records), len(want))
	}
	size := 0
	same := func(what string, got, want []byte) {
		if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Fatalf("%s has %d bytes, nil %t; want %d, %t", what, len(got), got == nil, len(want), want == nil)
		}
	}
	for i, r := range o.records {
		same("key", r.Key, want[i].Key)
		same("value", r.Value, want[i].Value)
		for k, h := range r.Headers {
			same("header", h.Value, want[i].Headers[k].Value)
		}
		size += outputCost(&r)
	}
	if size != o.bytes {
		t.Fatalf("counts %d bytes, has %d", o.bytes, size)
	}
}

// A record that is tried again and again does not use more and more memory.
func TestOutboxRetries(t *testing.T) {
	t.Parallel()
	o := &outbox{}
	for range 10_000 {
		m := o.mark()
		o.add(record.Record{Value: make([]byte, 1000)})
		o.truncate(m)
	}
	if n := len(o.arena.chunks); n > 1 {
		t.Errorf("%d chunks are kept for nothing", n)
	}
}
