package conformance_test

import (
	"fmt"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/memory"
)

// A test of an adapter names itself, makes places, and says what they can do.
func ExampleTransport() {
	test := func(t *testing.T) { // in a file of tests: func TestTransport(t *testing.T)
		conformance.Transport(t, conformance.TransportFactory{
			Name: "memory",
			New: func(conformance.TB) conformance.TransportPlace {
				b := memory.NewBroker()
				return conformance.TransportPlace{
					Connect: func() (runtime.Transport, error) { return memory.New(memory.Config{Broker: b}) },
					Expel:   func(_, memberID string) error { return b.Expel(memberID) },
				}
			},
			Can: []conformance.Capability{conformance.Expels},
		})
	}
	_ = test
}

// A Recorder runs one check on its own, here to see that it finds a transport
// that never commits offsets.
func ExampleRecord() {
	f := faultyFactory(changed(func(c *runtime.Commit) { c.Offsets = nil }), 0)
	for _, c := range conformance.TransportChecks() {
		if c.Name == "commit/offsets-only" {
			r := conformance.Record(c.Name, func(tb conformance.TB) { c.Run(tb, f) })
			fmt.Println(r.Failed(), r.Messages())
		}
	}
	// Output: true [committed ""; want "in/1:7"]
}
