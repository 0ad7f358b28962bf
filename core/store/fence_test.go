package store_test

import (
	"errors"
	"testing"

	"github.com/weirstream/weir/core/store"
)

func TestFence(t *testing.T) {
	t.Parallel()
	var f store.Fence
	a, other := store.Space{Table: "a"}, store.Space{Table: "a", Partition: 1}
	want := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) || want == nil && got != nil {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	opened := func(what string, sp store.Space, gen store.Generation, changes bool) {
		t.Helper()
		changed, err := f.Open(sp, gen)
		want(what, err, nil)
		if changed != changes {
			t.Errorf("%s: changed hands is %v, want %v", what, changed, changes)
		}
	}
	want("write before open", f.Check(a, 5), store.ErrClosed)
	opened("first open", a, 5, true)
	want("write", f.Check(a, 5), nil)
	want("write of a generation to come", f.Check(a, 6), store.ErrClosed)
	want("write elsewhere", f.Check(other, 5), store.ErrClosed)
	opened("open again", a, 5, false)
	opened("take over", a, 7, true)
	want("write of the old owner", f.Check(a, 5), store.ErrFenced)
	_, err := f.Open(a, 6)
	want("open by an older generation", err, store.ErrFenced)
	if f.Release(a, 5) {
		t.Error("the old owner released the space of the new one")
	}
	want("write after a foreign release", f.Check(a, 7), nil)
	if !f.Release(a, 7) || f.Release(a, 7) {
		t.Error("release must work once")
	}
	want("write after release", f.Check(a, 7), store.ErrClosed)
	want("old owner after release", f.Check(a, 5), store.ErrFenced)
	_, err = f.Open(a, 5)
	want("old owner opens after release", err, store.ErrFenced)
	opened("open in the same generation after release", a, 7, true)
}
