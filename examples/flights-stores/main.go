// Command flights-stores is the flights example with the stores that are
// modules of their own:
//
//	flights-stores demo --store aerospike
//	flights-stores demo --store rocksdb    # built with -tags rocksdb
//
// The worker finds Aerospike servers through WEIR_AEROSPIKE_HOSTS (host:port,
// separated by commas) and WEIR_AEROSPIKE_NAMESPACE, or the flags of the same
// names; "flights-stores worker --help" lists all settings. A demo without
// AEROSPIKE_HOSTS or WEIR_AEROSPIKE_HOSTS runs a fake server in its own process,
// which outlives the workers that it kills.
package main

import "github.com/weirstream/weir/examples/flights/app"

func main() { app.Main(append(more(), aerospikeStore())...) }
