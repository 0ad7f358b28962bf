//go:build !rocksdb

package main

// addRocksDB adds nothing: RocksDB needs cgo and its headers.
func addRocksDB(map[string]kind) {}
