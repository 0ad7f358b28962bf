// Package memorytest makes a Broker a place for the suites of package
// conformance. It is for tests: of this transport, and of stores that run the
// applications of the suite.
package memorytest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/memory"
)

// Can lists what a Place can do: all there is, but a Broker is always there.
func Can() []conformance.Capability {
	return slices.DeleteFunc(conformance.TransportCapabilities(), func(c conformance.Capability) bool { return c == conformance.GoesAway })
}

// New returns a place on a Broker of its own, as factories want it.
func New(conformance.TB) conformance.TransportPlace { return Place(memory.NewBroker()) }

// Place returns a place on a Broker.
func Place(b *memory.Broker) conformance.TransportPlace {
	connect := func(timeout time.Duration) func() (runtime.Transport, error) {
		return func() (runtime.Transport, error) {
			return memory.New(memory.Config{Broker: b, TransactionTimeout: timeout})
		}
	}
	return conformance.TransportPlace{
		Connect: connect(0), ConnectHasty: connect(time.Second),
		Expel: func(_, memberID string) error { return b.Expel(memberID) },
		Begin: func(id string) (conformance.ForeignTransaction, error) {
			return foreign{b, b.InitProducer(id)}, nil
		},
		LoseEnd: func(applied bool, gone func()) (mend func()) {
			b.Fail(func(op memory.Op) error {
				if op.Step != memory.End || op.Done != applied {
					return nil
				}
				gone()
				return errors.New("the connection broke")
			})
			return func() { b.Fail(nil) }
		},
		Compact: func(tp record.TopicPartition) error { return b.Compact(tp, false) },
	}
}

// foreign is a transaction by way of the Broker.
type foreign struct {
	b   *memory.Broker
	pid memory.Producer
}

func (f foreign) Append(_ context.Context, recs []record.Record) error {
	for i := range recs {
		if _, err := f.b.AppendTxn(f.pid, recs[i].TP(), recs[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (f foreign) Offsets(_ context.Context, group, memberID string, generation int32, offsets map[record.TopicPartition]runtime.Offset) error {
	return f.b.TxnOffsets(f.pid, group, memory.Membership{Member: memberID, Generation: generation}, offsets)
}

func (f foreign) End(_ context.Context, commit bool) error { return f.b.EndTxn(f.pid, commit) }
