package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike"
	"github.com/weirstream/weir/stores/memory"
	"github.com/weirstream/weir/stores/pebble"
)

// A kind is a store that can be measured.
type kind struct {
	open func(o options, dir string, memory int64) (store.Store, error)
	// suite is the directory of its package.
	suite string
	// plain opens what a program without weir would put records in, or is
	// nil where there is no such thing on local disk.
	plain func(dir string, memory int64) (putter, error)
}

// A putter puts one record.
type putter interface {
	Put(key, value []byte) error
	Close() error
}

func all() map[string]kind {
	ks := map[string]kind{
		"memory": {suite: "stores/memory", open: func(options, string, int64) (store.Store, error) { return memory.New(), nil }},
		"pebble": {suite: "stores/pebble", plain: openPlainPebble, open: func(_ options, dir string, memory int64) (store.Store, error) {
			return pebble.Open(pebble.Config{Dir: dir, MemoryBytes: memory})
		}},
		"aerospike": {suite: "stores/aerospike", open: func(o options, dir string, memory int64) (store.Store, error) {
			return aerospike.Open(aerospike.Config{Hosts: []string{o.fake}, Namespace: "test", Prefix: filepath.Base(filepath.Dir(dir)), MemoryBytes: memory})
		}},
	}
	addRocksDB(ks)
	return ks
}

func kinds() []string { return slices.Sorted(maps.Keys(all())) }

func plainLoop(s string) bool { return all()[s].plain != nil }

// storeMemory is the share of the store in a worker's memory, as the command
// of applications divides it.
func (o options) storeMemory() int64 { return int64(o.memory) << 20 / 3 }

// openStore opens a store that is removed by the function it returns.
func openStore(o options) (store.Store, func(), error) {
	dir, err := os.MkdirTemp("", "benchstores")
	if err != nil {
		return nil, nil, err
	}
	s, err := all()[o.store].open(o, filepath.Join(dir, "store"), o.storeMemory())
	if err != nil {
		return nil, nil, fmt.Errorf("opening the store: %w", err)
	}
	return s, func() { _ = s.Close(); _ = os.RemoveAll(dir) }, nil
}
