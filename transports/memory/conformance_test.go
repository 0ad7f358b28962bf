package memory_test

import (
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/transports/memory/memorytest"
)

func TestTransport(t *testing.T) {
	t.Parallel()
	conformance.Transport(t, conformance.TransportFactory{Name: "memory", New: memorytest.New, Can: memorytest.Can()})
}
