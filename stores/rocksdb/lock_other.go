//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd

package rocksdb

import "os"

// flock does nothing: RocksDB's own lock must do.
func flock(*os.File) error { return nil }

func funlock(*os.File) {}
