package store_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/store"
)

func TestBatchOwnsItsBytes(t *testing.T) {
	t.Parallel()
	var b store.Batch
	p := b.Part(store.Space{Table: "t"}, 1)
	key, value := []byte("key"), []byte("value")
	p.Put(key, value)
	p.Delete(key)
	copy(key, "xxx")
	copy(value, "xxxxx")
	ops := b.Parts()[0].Ops
	if string(ops[0].Key) != "key" || string(ops[0].Value) != "value" || string(ops[1].Key) != "key" {
		t.Errorf("the batch changed with its caller's buffers: %q", ops)
	}
}

func TestBatchTellsEmptyFromAbsent(t *testing.T) {
	t.Parallel()
	var b store.Batch
	p := b.Part(store.Space{}, 1)
	p.Put(nil, nil)
	p.Put([]byte{}, []byte{})
	p.Delete(nil)
	ops := b.Parts()[0].Ops
	if ops[0].Value == nil || ops[1].Value == nil {
		t.Error("an empty value became a delete")
	}
	if ops[2].Value != nil {
		t.Error("a delete became a value")
	}
}

func TestBatchEmpty(t *testing.T) {
	t.Parallel()
	var b store.Batch
	if !b.Empty() {
		t.Error("a new batch is not empty")
	}
	p := b.Part(store.Space{Table: "t"}, 1)
	if !b.Empty() {
		t.Error("a part without writes is not empty")
	}
	p.Position = store.Position{Exists: true}
	if b.Empty() {
		t.Error("a batch with only a position is empty")
	}
	b.Reset()
	b.Part(store.Space{Table: "t"}, 1)
	if !b.Empty() {
		t.Error("a position survived Reset")
	}
	b.Part(store.Space{Table: "t"}, 1).Delete([]byte("k"))
	if b.Empty() {
		t.Error("a batch with a delete is empty")
	}
}

func TestBatchPartsKeepTheirOrderAndGeneration(t *testing.T) {
	t.Parallel()
	var b store.Batch
	for i := range 20 {
		b.Part(store.Space{Table: "t", Partition: int32(19 - i)}, store.Generation(i))
	}
	b.Part(store.Space{Table: "t", Partition: 19}, 99).Put([]byte("k"), nil)
	parts := b.Parts()
	if len(parts) != 20 {
		t.Fatalf("%d parts, want 20", len(parts))
	}
	for i, p := range parts {
		if p.Space.Partition != int32(19-i) || p.Generation != store.Generation(i) {
			t.Errorf("part %d is %s in generation %d", i, p.Space, p.Generation)
		}
	}
	if len(parts[0].Ops) != 1 {
		t.Error("a known space was given a second part")
	}
}

// TestBatchIsWhatWasPut fills, reads and resets one batch many times: nothing
// of an earlier life may show, whatever the sizes.
func TestBatchIsWhatWasPut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b store.Batch
		for round := range 4 {
			var want []string
			for i := range rapid.IntRange(0, 40).Draw(t, "ops") {
				sp := store.Space{Table: "t", Partition: rapid.Int32Range(0, 3).Draw(t, "partition")}
				key := fmt.Appendf(nil, "%d-%d", round, i)
				value := bytes.Repeat([]byte{byte(i)}, rapid.IntRange(0, 3000).Draw(t, "size"))
				b.Part(sp, 1).Put(key, value)
				want = append(want, fmt.Sprintf("%s %s %x", sp, key, value))
			}
			got := make(map[string]bool)
			for _, p := range b.Parts() {
				for _, op := range p.Ops {
					got[fmt.Sprintf("%s %s %x", p.Space, op.Key, op.Value)] = true
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d writes, want %d", len(got), len(want))
			}
			for _, w := range want {
				if !got[w] {
					t.Fatalf("lost %.40s", w)
				}
			}
			b.Reset()
		}
	})
}

func TestBatchReuseAllocatesNothing(t *testing.T) {
	var b store.Batch
	key, value := []byte("some key"), make([]byte, 100)
	fill := func() {
		b.Reset()
		for i := range 3 {
			p := b.Part(store.Space{Table: "t", Partition: int32(i)}, 1)
			for range 20 {
				p.Put(key, value)
			}
		}
	}
	fill()
	if n := testing.AllocsPerRun(100, fill); n > 0 {
		t.Errorf("filling a used batch allocates %v times", n)
	}
}
