package rocksdb_test

import (
	"encoding/binary"
	"testing"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
)

// BenchmarkRead compares single reads with reads of many keys in one call, of
// 200,000 keys in random order that fit into memory.
func BenchmarkRead(b *testing.B) {
	const keys, many = 200_000, 256
	s, err := rocksdb.Open(rocksdb.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	sp := store.Space{Table: "t"}
	r, _, err := s.Open(sp, 1)
	if err != nil {
		b.Fatal(err)
	}
	key := func(i int) []byte {
		return binary.BigEndian.AppendUint64(nil, uint64(i%keys)*0x9e3779b97f4a7c15)
	}
	l, err := s.Load(sp, 1, 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	for i := range keys {
		if err := l.Add(key(i), make([]byte, 100)); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Commit(store.Position{Exists: true}); err != nil {
		b.Fatal(err)
	}
	b.Run("get", func(b *testing.B) {
		var dst []byte
		for i := range b.N {
			if dst, _, err = r.Get(key(i*7919), dst[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("multi", func(b *testing.B) {
		ks := make([][]byte, many)
		for i := 0; i < b.N; i += many {
			for j := range ks {
				ks[j] = key((i + j) * 7919)
			}
			if err := r.(store.MultiReader).GetMulti(ks, func(int, []byte, bool) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
