//go:build rocksdb

package main

import (
	"github.com/linxGnu/grocksdb"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
)

func addRocksDB(ks map[string]kind) {
	ks["rocksdb"] = kind{suite: "stores/rocksdb", plain: openPlainRocksDB, open: func(_ options, dir string, memory int64) (store.Store, error) {
		return rocksdb.Open(rocksdb.Config{Dir: dir, MemoryBytes: memory})
	}}
}

// A plainRocksDB is RocksDB as a program without weir has it: its write-ahead
// log on, no fsync for each record, and the same memory.
type plainRocksDB struct {
	db    *grocksdb.DB
	write *grocksdb.WriteOptions
}

func openPlainRocksDB(dir string, memory int64) (putter, error) {
	table := grocksdb.NewDefaultBlockBasedTableOptions()
	table.SetBlockCache(grocksdb.NewLRUCache(uint64(memory / 4 * 3)))
	table.SetFilterPolicy(grocksdb.NewBloomFilter(10))
	o := grocksdb.NewDefaultOptions()
	o.SetCreateIfMissing(true)
	o.SetBlockBasedTableFactory(table)
	o.SetWriteBufferSize(uint64(memory / 8))
	db, err := grocksdb.OpenDb(o, dir)
	return &plainRocksDB{db, grocksdb.NewDefaultWriteOptions()}, err
}

func (p *plainRocksDB) Put(key, value []byte) error { return p.db.Put(p.write, key, value) }
func (p *plainRocksDB) Close() error                { p.db.Close(); return nil }
