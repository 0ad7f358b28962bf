//go:build rocksdb

package main

import (
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/examples/flights/app"
	"github.com/weirstream/weir/runtime/cli"
	"github.com/weirstream/weir/stores/rocksdb"
)

// more are the stores that need cgo.
func more() []app.Store {
	return []app.Store{{Name: "rocksdb", Open: func(cfg cli.StoreConfig) (store.Store, error) {
		return rocksdb.Open(rocksdb.Config{Dir: cfg.Dir, MemoryBytes: int64(cfg.MemoryBytes)})
	}}}
}
