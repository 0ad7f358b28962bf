// Command flights-stores is the flights example with the stores that are
// modules of their own:
//
//	flights-stores demo --store aerospike
//	flights-stores demo --store rocksdb    # built with -tags rocksdb
//
// The worker finds Aerospike servers through AEROSPIKE_HOSTS (host:port,
// separated by commas), AEROSPIKE_NAMESPACE (default: test) and
// AEROSPIKE_PREFIX (default: flights). A demo without AEROSPIKE_HOSTS runs a
// fake server in its own process, which outlives the workers that it kills.
package main

import "github.com/weirstream/weir/examples/flights/app"

func main() { app.Main(append(more(), aerospikeStore())...) }
