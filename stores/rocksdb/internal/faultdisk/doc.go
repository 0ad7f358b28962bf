// Package faultdisk makes a directory a disk that fails, for tests of what
// RocksDB does then. A program that imports it has its own write, fsync, rename
// and the like of the C library, which stand before those that RocksDB is
// linked to; Go's files do not go through them. It is empty elsewhere than on
// Linux, and needs a C library that is linked dynamically.
package faultdisk
