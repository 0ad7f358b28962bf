//go:build !rocksdb

package main

import "github.com/weirstream/weir/examples/flights/app"

// more are the stores that need cgo: none without the build tag.
func more() []app.Store { return nil }
