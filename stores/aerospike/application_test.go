package aerospike

import (
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike/asfake"
	"github.com/weirstream/weir/transports/memory/memorytest"
)

// TestApplication runs the applications of the suite with the fake server.
func TestApplication(t *testing.T) {
	t.Parallel()
	conformance.Application(t, conformance.ApplicationFactory{
		Name:      "memory and the fake aerospike",
		Transport: memorytest.New,
		Store: func(tb conformance.TB) conformance.StorePlace {
			cfg := config(startFake(tb, asfake.Options{}).Addr())
			return conformance.StorePlace{Open: func() (store.Store, error) { return Open(cfg) }}
		},
		Can: []conformance.Capability{conformance.Reopens},
	})
}
