package rocksdb

import (
	"errors"
	"testing"

	"github.com/weirstream/weir/core/store"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	sp := store.Space{Table: "t", Partition: 3}
	r, pos, err := s.Open(sp, 1)
	if err != nil || pos.Exists {
		t.Fatal(err, pos)
	}
	var b store.Batch
	p := b.Part(sp, 1)
	p.Put([]byte("a"), []byte("1"))
	p.Put([]byte{}, []byte{})
	p.Put([]byte{0xff, 0xff}, []byte("z"))
	p.Position = store.Position{Changelog: 7, Exists: true}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	v, ok, err := r.Get([]byte("a"), nil)
	if string(v) != "1" || !ok || err != nil {
		t.Fatal(v, ok, err)
	}
	n := 0
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%q=%q", e.Key, e.Value)
		n++
	}
	if n != 3 {
		t.Fatal(n)
	}
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, store.ErrLocked) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, pos, err = s.Open(sp, 1)
	if err != nil || pos.Changelog != 7 {
		t.Fatal(err, pos)
	}
	if err := s.Drop(sp, 1); err != nil {
		t.Fatal(err)
	}
	_, pos, err = s.Open(sp, 2)
	if err != nil || pos.Exists {
		t.Fatal(err, pos)
	}
}
