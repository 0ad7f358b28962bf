//go:build !linux

package rocksdb_test

import "github.com/weirstream/weir/conformance"

// onFailingDisk does nothing: package faultdisk is for Linux.
func onFailingDisk(conformance.TB, string, *conformance.StorePlace) {}

func failingDisk() []conformance.Capability { return nil }
