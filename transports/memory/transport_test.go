package memory

import (
	"testing"

	"github.com/weirstream/weir/runtime"
)

func TestTransport(t *testing.T) {
	t.Parallel()
	testTransport(t, func(t *testing.T) func() runtime.Transport {
		t.Helper()
		b := NewBroker()
		return func() runtime.Transport { return connect(t, b) }
	})
}

func connect(t *testing.T, b *Broker) *Transport {
	t.Helper()
	tr, err := New(Config{Broker: b})
	must(t, err)
	t.Cleanup(func() { must(t, tr.Close()) })
	return tr
}
