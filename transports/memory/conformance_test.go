package memory

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func TestTransport(t *testing.T) {
	t.Parallel()
	conformance.Transport(t, conformance.TransportFactory{
		Name: "memory",
		New:  func(conformance.TB) conformance.TransportPlace { return place(NewBroker()) },
		Can: slices.DeleteFunc(conformance.TransportCapabilities(), func(c conformance.Capability) bool {
			return c == conformance.GoesAway // a Broker is always there
		}),
	})
}

func place(b *Broker) conformance.TransportPlace {
	connect := func(timeout time.Duration) func() (runtime.Transport, error) {
		return func() (runtime.Transport, error) { return New(Config{Broker: b, TransactionTimeout: timeout}) }
	}
	return conformance.TransportPlace{
		Connect: connect(0), ConnectHasty: connect(time.Second),
		Expel: func(_, memberID string) error { return b.Expel(memberID) },
		Begin: func(id string) (conformance.ForeignTransaction, error) {
			return foreign{b, b.InitProducer(id)}, nil
		},
		LoseEnd: func(applied bool, gone func()) (mend func()) {
			b.Fail(func(op Op) error {
				if op.Step != End || op.Done != applied {
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
	b   *Broker
	pid Producer
}

func (f foreign) Append(_ context.Context, recs []record.Record) error {
	for _, r := range split([][]record.Record{recs}) {
		if _, err := f.b.AppendTxn(f.pid, r.tp, r.recs); err != nil {
			return err
		}
	}
	return nil
}

func (f foreign) Offsets(_ context.Context, group, memberID string, generation int32, offsets map[record.TopicPartition]runtime.Offset) error {
	return f.b.TxnOffsets(f.pid, group, Membership{memberID, generation}, offsets)
}

func (f foreign) End(_ context.Context, commit bool) error { return f.b.EndTxn(f.pid, commit) }

func connect(t *testing.T, b *Broker) *Transport {
	t.Helper()
	tr, err := New(Config{Broker: b})
	must(t, err)
	t.Cleanup(func() { must(t, tr.Close()) })
	return tr
}
